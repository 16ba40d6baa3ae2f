/**
 * The cases of layer normalisation, for tests and benches.
 *
 * @module
 */

/** A named shape [.., D]. */
export interface LayerNormCase {
  readonly name: string;
  readonly shape: readonly number[];
  /** of x; the deviation is 1 */
  readonly mean?: number;
}

/** Edges first; then layers of the networks. */
export const LAYER_NORM_CASES: readonly LayerNormCase[] = [
  { name: "one column: y is beta", shape: [3, 1] },
  { name: "one row", shape: [8] },
  { name: "primes", shape: [7, 13] },
  { name: "no multiple of the tile", shape: [3, 3, 20] },
  { name: "far from 0", shape: [5, 64], mean: 100 },
  { name: "more chunks than one", shape: [1030, 12] },
  { name: "a row of more elements than an invocation takes", shape: [2, 9001] },
  { name: "cnn_transformer of the demo", shape: [32, 9, 96] },
  { name: "cnn_transformer of the paper", shape: [8, 9, 768] },
];

/**
 * Of an output's largest magnitude: float32 sums of D or M terms, and x - mean, whose digits cancel as |mean| grows.
 */
export function toleranceOf({ shape, mean = 0 }: LayerNormCase): number {
  return 1e-6 * Math.sqrt(Math.max(...shape)) + 2e-7 * mean;
}
