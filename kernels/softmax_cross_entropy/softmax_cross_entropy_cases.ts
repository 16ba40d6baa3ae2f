/**
 * The cases of softmax cross-entropy, for tests and benches.
 *
 * @module
 */
import type { SoftmaxCrossEntropySettings } from "./softmax_cross_entropy.ts";

/** A named shape and its settings. */
export interface SoftmaxCrossEntropyCase extends SoftmaxCrossEntropySettings {
  readonly name: string;
  /** M */
  readonly rows: number;
  /** K */
  readonly classes: number;
  /** class weights in [0, 2) */
  readonly weighted?: boolean;
  /** share of the rows that are ignored */
  readonly ignored?: number;
  /** deviation of the logits; default 2 */
  readonly spread?: number;
}

/** Edges first; then the networks' classifiers. */
export const SOFTMAX_CROSS_ENTROPY_CASES: readonly SoftmaxCrossEntropyCase[] = [
  { name: "one row of one class", rows: 1, classes: 1 },
  { name: "one row", rows: 1, classes: 7 },
  { name: "primes", rows: 13, classes: 11, ignored: 0.3 },
  { name: "four at a time", rows: 9, classes: 12, ignored: 0.3 },
  { name: "weights", rows: 13, classes: 7, weighted: true, ignored: 0.3 },
  { name: "weights, four at a time", rows: 13, classes: 8, weighted: true, ignored: 0.3 },
  { name: "smoothing", rows: 10, classes: 7, labelSmoothing: 0.1, ignored: 0.2 },
  { name: "all smoothed away", rows: 5, classes: 8, labelSmoothing: 1 },
  { name: "weights and smoothing", rows: 10, classes: 8, weighted: true, labelSmoothing: 0.1, ignored: 0.2 },
  { name: "focal", rows: 12, classes: 7, focalGamma: 2, ignored: 0.2 },
  { name: "focal, exponent below 1", rows: 12, classes: 8, focalGamma: 0.5 },
  {
    name: "weights, smoothing, focal",
    rows: 21,
    classes: 8,
    weighted: true,
    labelSmoothing: 0.2,
    focalGamma: 1.5,
    ignored: 0.2,
  },
  { name: "large logits", rows: 9, classes: 7, labelSmoothing: 0.1, spread: 200 },
  { name: "rows of several batches", rows: 300, classes: 3, weighted: true, ignored: 0.5 },
  { name: "1000 classes", rows: 32, classes: 1000 },
  { name: "cnn_rnn, a batch of 32 clips", rows: 288, classes: 7, ignored: 0.1 },
];

/** Of an output's largest magnitude: the ulps of exp and log, and float32 sums of K terms. */
export const SOFTMAX_CROSS_ENTROPY_TOLERANCE = 5e-6;
