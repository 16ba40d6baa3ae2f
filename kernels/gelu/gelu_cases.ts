/**
 * The cases of GELU, for tests and benches.
 *
 * @module
 */

/** Edges first; then the networks' expanded layers. */
export const GELU_CASES: readonly { readonly name: string; readonly shape: readonly number[] }[] = [
  { name: "one element", shape: [1] },
  { name: "primes", shape: [7, 13] },
  { name: "a multiple of 4, not of a workgroup", shape: [5, 4, 3] },
  { name: "cnn_transformer of the demo", shape: [288, 384] },
  { name: "cnn_transformer of the paper", shape: [72, 3072] },
];

/** Of erf's own value: 5e-7 of the formula in float32, and a few ulp of exp. */
export const ERF_TOLERANCE = 1e-6;
/** Of the largest value: the formula's error and three roundings. */
export const GELU_TOLERANCE = 1e-6;
