/**
 * The cases of ReLU, for tests and benches.
 *
 * @module
 */

/** Edges first; then the states of the networks' GRUs. */
export const RELU_CASES: readonly { readonly name: string; readonly shape: readonly number[] }[] = [
  { name: "one element", shape: [1] },
  { name: "primes", shape: [7, 13] },
  { name: "a multiple of 4, not of a workgroup", shape: [5, 4, 3] },
  { name: "cnn_rnn of the demo", shape: [32, 9, 96] },
  { name: "cnn_rnn of the paper", shape: [96, 9, 768] },
];
