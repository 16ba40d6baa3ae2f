/**
 * The cases of dropout, for tests and benches.
 *
 * @module
 */

/** A named shape and rate. */
export interface DropoutCase {
  readonly name: string;
  readonly shape: readonly number[];
  readonly rate: number;
}

/** Edges first; then layers of the networks. */
export const DROPOUT_CASES: readonly DropoutCase[] = [
  { name: "one element", shape: [1], rate: 0.5 },
  { name: "primes", shape: [7, 13], rate: 0.3 },
  { name: "four elements", shape: [2, 2], rate: 0.5 },
  { name: "rate 0", shape: [3, 5, 4], rate: 0 },
  { name: "almost everything", shape: [64, 31], rate: 0.99 },
  { name: "more workgroups than one dimension takes", shape: [65536 * 64 + 1], rate: 0.5 },
  { name: "cnn_transformer of the demo, embedded", shape: [32, 9, 96], rate: 0.2 },
  { name: "cnn_transformer of the paper, expanded", shape: [8, 9, 3072], rate: 0.5 },
];

/** A dropped element is exactly 0; a kept one is one float32 product, as in the reference. */
export const DROPOUT_TOLERANCE = 1.2e-7;
