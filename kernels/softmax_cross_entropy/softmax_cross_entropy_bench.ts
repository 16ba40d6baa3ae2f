/**
 * Softmax cross-entropy, loss and gradient, side by side with graphs of TensorFlow.js's ops.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { softmaxCrossEntropy, type SoftmaxCrossEntropyOptions } from "./softmax_cross_entropy.ts";

/** The mean over all rows. */
function plain(logits: tf.Tensor2D, labels: tf.Tensor1D): tf.Scalar {
  const truth = tf.oneHot(labels, logits.shape[1]);
  return tf.logSoftmax(logits).mul(truth).sum().div(-labels.size).asScalar();
}

/** Class weights w and smoothing e over the rows that are not ignored. */
function weighted(
  logits: tf.Tensor2D,
  labels: tf.Tensor1D,
  { classWeights, labelSmoothing = 0 }: SoftmaxCrossEntropyOptions,
): tf.Scalar {
  const classes = logits.shape[1];
  const counted = labels.greaterEqual(0).cast("float32").expandDims(1); // [M, 1]
  const weights = tf.oneHot(labels, classes).mul(classWeights!); // [M, K]
  const shares = weights.mul(1 - labelSmoothing)
    .add(counted.mul(classWeights!).mul(labelSmoothing / classes)); // [M, K]
  return tf.logSoftmax(logits).mul(shares).sum().neg().div(weights.sum()).asScalar();
}

function benchOf(rows: number, classes: number, labelSmoothing: number): BenchCase {
  const what = labelSmoothing === 0 ? "mean" : "weights, smoothing, ignored rows";
  return {
    op: "softmax_cross_entropy",
    name: `[${rows}, ${classes}], ${what}`,
    bytes: 4 * (2 * rows * classes + rows), // logits, dlogits, labels
    setup() {
      const logits = randomTensor<tf.Rank.R2>([rows, classes]);
      const ignored = (m: number) => labelSmoothing !== 0 && m % 7 === 3;
      const labels = tf.tensor1d(
        Int32Array.from({ length: rows }, (_, m) => ignored(m) ? -1 : m * 5 % classes),
        "int32",
      );
      const classWeights = tf.tidy(() => randomTensor([classes]).abs().add(0.1)) as tf.Tensor1D;
      const options = labelSmoothing === 0 ? {} : { classWeights, labelSmoothing };
      const both = (f: (logits: tf.Tensor2D) => tf.Scalar) => {
        const { value, grad } = tf.valueAndGrad((logits: tf.Tensor) => f(logits as tf.Tensor2D))(logits);
        return [value, grad];
      };
      return {
        ours: () => both((logits) => softmaxCrossEntropy(logits, labels, options)),
        stock: () =>
          both((logits) => labelSmoothing === 0 ? plain(logits, labels) : weighted(logits, labels, options)),
        tolerance: 2e-5, // two float32 sums of M and K terms
        dispose: () => tf.dispose([logits, labels, classWeights]),
      };
    },
  };
}

/** A thousand classes, and the networks' classifier over a batch of 32 clips. */
export const SOFTMAX_CROSS_ENTROPY_BENCHES: readonly BenchCase[] = [
  benchOf(32, 1000, 0),
  benchOf(288, 7, 0),
  benchOf(288, 7, 0.1),
];
