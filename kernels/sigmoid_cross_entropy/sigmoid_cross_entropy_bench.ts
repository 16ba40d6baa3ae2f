/**
 * Sigmoid cross-entropy, loss and gradient, side by side with a graph of TensorFlow.js's ops.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { sigmoidCrossEntropy } from "./sigmoid_cross_entropy.ts";

function graph(logits: tf.Tensor, labels: tf.Tensor, positiveWeights: tf.Tensor): tf.Scalar {
  const counted = labels.greaterEqual(0).cast("float32");
  const truth = labels.maximum(0).cast("float32");
  const positive = logits.neg().softplus().mul(truth).mul(positiveWeights);
  const losses = positive.add(logits.softplus().mul(tf.sub(1, truth)));
  return losses.mul(counted).sum().div(counted.sum()).asScalar();
}

function benchOf(rows: number, classes: number): BenchCase {
  return {
    op: "sigmoid_cross_entropy",
    name: `[${rows}, ${classes}], weights, ignored entries`,
    bytes: 4 * 3 * rows * classes, // logits, labels, dlogits
    setup() {
      const logits = randomTensor<tf.Rank.R2>([rows, classes]);
      const labels = tf.tensor2d(
        Int32Array.from({ length: rows * classes }, (_, i) => i % 5 % 3 - 1),
        [rows, classes],
        "int32",
      );
      const positiveWeights = tf.tidy(() => randomTensor([classes]).abs().add(1)) as tf.Tensor1D;
      const both = (f: (logits: tf.Tensor2D) => tf.Scalar) => {
        const { value, grad } = tf.valueAndGrad((logits: tf.Tensor) => f(logits as tf.Tensor2D))(logits);
        return [value, grad];
      };
      return {
        ours: () => both((logits) => sigmoidCrossEntropy(logits, labels, { positiveWeights })),
        stock: () => both((logits) => graph(logits, labels, positiveWeights)),
        tolerance: 2e-5, // two float32 sums of M K terms
        dispose: () => tf.dispose([logits, labels, positiveWeights]),
      };
    },
  };
}

/** The 12 action units of Aff-Wild2: a batch of frames, and one of 32 clips. */
export const SIGMOID_CROSS_ENTROPY_BENCHES: readonly BenchCase[] = [benchOf(32, 12), benchOf(288, 12)];
