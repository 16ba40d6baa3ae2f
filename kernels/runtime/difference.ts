/**
 * How far two results are apart: the correctness gate before anything is timed.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";

/** The largest difference as a share of the expected values' largest magnitude; infinite for NaN. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let scale = 1e-30;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]));
    const difference = Math.abs(actual[i] - expected[i]);
    if (Number.isNaN(difference)) return Infinity;
    largest = Math.max(largest, difference);
  }
  return largest / scale;
}

/** The values of tensors, in order; the tensors stay the caller's. */
export function readTensors(tensors: readonly TensorInfo[]): Promise<ArrayLike<number>[]> {
  // Through the backend: tfjs's engine does not know a TensorInfo of ours.
  return Promise.all(tensors.map(({ dataId }) => tf.backend().read(dataId) as Promise<Float32Array>));
}
