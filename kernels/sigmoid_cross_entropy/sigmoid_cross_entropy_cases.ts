/**
 * The cases of sigmoid cross-entropy, for tests and benches.
 *
 * @module
 */

/** A named shape. */
export interface SigmoidCrossEntropyCase {
  readonly name: string;
  /** M */
  readonly rows: number;
  /** K */
  readonly classes: number;
  /** positive weights in [0, 4) */
  readonly weighted?: boolean;
  /** share of the entries that are ignored */
  readonly ignored?: number;
  /** deviation of the logits; default 2 */
  readonly spread?: number;
}

/** Edges first; then the 12 action units of Aff-Wild2. */
export const SIGMOID_CROSS_ENTROPY_CASES: readonly SigmoidCrossEntropyCase[] = [
  { name: "one entry", rows: 1, classes: 1 },
  { name: "primes", rows: 7, classes: 5, ignored: 0.3 },
  { name: "weights", rows: 7, classes: 5, ignored: 0.3, weighted: true },
  { name: "four at a time, weights", rows: 9, classes: 8, ignored: 0.3, weighted: true },
  { name: "large logits", rows: 5, classes: 12, spread: 100 },
  { name: "action units, a batch of 32 clips", rows: 288, classes: 12, ignored: 0.1, weighted: true },
];

/** Of an output's largest magnitude: the ulps of exp and log, and a float32 sum in a tree. */
export const SIGMOID_CROSS_ENTROPY_TOLERANCE = 5e-6;
