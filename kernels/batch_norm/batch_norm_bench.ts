/**
 * Batch normalisation side by side with tfjs's: forward and backward in training.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, type BenchRun, randomTensor } from "../runtime/bench.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { batchNorm } from "./batch_norm.ts";
import { type BatchNormCase, RESNET50_CASES, resnet50Case, toleranceOf } from "./batch_norm_cases.ts";

type Function4D = (x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, residual?: tf.Tensor) => tf.Tensor;

/** [.., C] where no value is near the ReLU's kink, on whose two sides float32 could fall. */
function awayFromZero(shape: readonly number[]): tf.Tensor {
  return tf.tidy(() => {
    const x = randomTensor([...shape]);
    return x.add(x.sign().mul(0.5));
  });
}

function setup(test: BatchNormCase): BenchRun {
  const { shape, relu, residual, epsilon, momentum } = test;
  const channels = shape[shape.length - 1];
  const x = awayFromZero(shape);
  const inputs = [x, tf.ones([channels]), tf.zeros([channels]), ...(residual ? [tf.mul(x, 0.5)] : [])];
  const dy = randomTensor([...shape]);
  const running = () =>
    tf.tidy(() => ({
      runningMean: tf.variable(tf.zeros<tf.Rank.R1>([channels]), false),
      runningVariance: tf.variable(tf.ones<tf.Rank.R1>([channels]), false),
    }));
  const statistics = { ours: running(), stock: running() };
  const ours: Function4D = (x, gamma, beta, residual) => {
    const tensors = { gamma: gamma as tf.Tensor1D, beta: beta as tf.Tensor1D, residual, ...statistics.ours };
    return batchNorm(x, tensors, { epsilon, momentum, relu });
  };
  const stock: Function4D = (x, gamma, beta, residual) => {
    const { mean, variance } = tf.moments(x, [0, 1, 2]);
    const { runningMean, runningVariance } = statistics.stock;
    const count = x.size / channels;
    const unbiased = variance.mul(count / (count - 1));
    runningMean.assign(runningMean.mul(1 - momentum).add(mean.mul(momentum)));
    runningVariance.assign(runningVariance.mul(1 - momentum).add(unbiased.mul(momentum)));
    let y = tf.batchNorm(
      x as tf.Tensor4D,
      mean as tf.Tensor1D,
      variance as tf.Tensor1D,
      beta as tf.Tensor1D,
      gamma as tf.Tensor1D,
      epsilon,
    );
    if (residual !== undefined) y = y.add(residual);
    return relu ? y.relu() : y;
  };
  const gradients = (f: Function4D) => () => tf.grads(f as (...xs: tf.Tensor[]) => tf.Tensor)(inputs, dy);
  return {
    ours: gradients(ours),
    stock: gradients(stock),
    state: { ours: Object.values(statistics.ours), stock: Object.values(statistics.stock) },
    tolerance: 10 * toleranceOf(test), // stock's variance is a difference of sums
    dispose: () => tf.dispose([inputs, dy, statistics] as unknown as tf.TensorContainer),
  };
}

/** The paper's batch of 96 images of 224x224 pixels. */
const PAPER: readonly BatchNormCase[] = [
  { ...resnet50Case("conv1"), name: "paper resnet50 conv1", shape: [96, 112, 112, 64] },
  { ...resnet50Case("conv2 3x3"), name: "paper resnet50 conv2 3x3", shape: [96, 56, 56, 64] },
  { ...resnet50Case("conv2 increase"), name: "paper resnet50 conv2 increase", shape: [96, 56, 56, 256] },
  { ...resnet50Case("conv2 increase"), name: "paper resnet50 conv4 increase", shape: [96, 14, 14, 1024] },
  { ...resnet50Case("conv2 increase"), name: "paper resnet50 conv5 increase", shape: [96, 7, 7, 2048] },
];

function benchOf(test: BatchNormCase, large: boolean): BenchCase {
  const elements = sizeOf(test.shape);
  return {
    op: "batch_norm",
    name: test.name,
    large,
    // x twice and y forward, since a value is normalised once all have been seen; x and dy twice and dx backward; the
    // residual and its gradient.
    bytes: 4 * elements * (test.residual ? 10 : 8),
    setup: () => setup(test),
  };
}

/** The layers of ResNet50 of width 16 on 48x48 pixels, a batch of 16; two of width 64, and the paper's. */
export const BATCH_NORM_BENCHES: readonly BenchCase[] = [
  ...[
    ...RESNET50_CASES,
    { ...resnet50Case("conv1"), name: "resnet50 width 64, conv2", shape: [8, 28, 28, 64] },
    { ...resnet50Case("conv2 increase"), name: "resnet50 width 64, conv3 increase", shape: [8, 14, 14, 512] },
  ].map((test) => benchOf(test, false)),
  ...PAPER.map((test) => benchOf(test, true)),
];
