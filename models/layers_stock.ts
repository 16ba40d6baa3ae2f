/**
 * The layers as plain TensorFlow.js ops: the reference that the kernels are held against.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { dropoutMaskRef } from "../kernels/dropout/dropout_ref.ts";
import { requireSigmoidCrossEntropy } from "../kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.ts";
import { requireSoftmaxCrossEntropy } from "../kernels/softmax_cross_entropy/softmax_cross_entropy.ts";
import type { BatchNormOptions, BatchNormParameters, GruWeights, Layers } from "./layers.ts";

/** Below every finite float that a pooled value can have. */
const LOWEST = -3.4e38;

function batchNorm(x: tf.Tensor4D, parameters: BatchNormParameters, options: BatchNormOptions): tf.Tensor4D {
  const { gamma, beta, runningMean, runningVariance } = parameters;
  const { training, epsilon, momentum, residual, relu } = options;
  let mean: tf.Tensor = runningMean;
  let variance: tf.Tensor = runningVariance;
  if (training) {
    mean = x.mean([0, 1, 2]); // [C]
    variance = x.sub(mean).square().mean([0, 1, 2]); // [C]
    const count = x.size / x.shape[3];
    // PyTorch's rule: the running variance is the unbiased one.
    const unbiased = variance.mul(count / Math.max(1, count - 1));
    runningMean.assign(runningMean.mul(1 - momentum).add(mean.mul(momentum)));
    runningVariance.assign(runningVariance.mul(1 - momentum).add(unbiased.mul(momentum)));
  }
  const scale = gamma.mul(variance.add(epsilon).rsqrt()); // [C]
  let y = x.sub(mean).mul(scale).add(beta) as tf.Tensor4D;
  if (residual !== undefined) y = y.add(residual);
  return relu ? y.relu() : y;
}

function maxPool(
  x: tf.Tensor4D,
  { size, strides, ceilMode }: { size: number; strides: number; ceilMode: boolean },
): tf.Tensor4D {
  const missing = (length: number) => ceilMode ? (strides - (length - size) % strides) % strides : 0;
  const [, rows, columns] = x.shape;
  const padded = tf.pad(x, [[0, 0], [0, missing(rows)], [0, missing(columns)], [0, 0]], LOWEST);
  return tf.maxPool(padded, size, strides, "valid");
}

/** Exact GELU: x Phi(x). */
function gelu<T extends tf.Tensor>(x: T): T {
  return x.mul(x.mul(Math.SQRT1_2).erf().add(1)).mul(0.5);
}

/** One direction of one layer: x [B, T, D] -> T states [B, G], in time order. */
function gruDirection(x: tf.Tensor3D, weights: GruWeights, backwards: boolean): tf.Tensor2D[] {
  const [clips, frames, depth] = x.shape;
  const hidden = weights.hiddenWeight.shape[0];
  const projected = x.reshape([clips * frames, depth]).matMul(weights.inputWeight).add(weights.inputBias)
    .reshape([clips, frames, 3 * hidden]); // [B, T, 3G]
  const states = new Array<tf.Tensor2D>(frames);
  let state = tf.zeros<tf.Rank.R2>([clips, hidden]);
  for (let i = 0; i < frames; i++) {
    const t = backwards ? frames - 1 - i : i;
    const input = projected.slice([0, t, 0], [clips, 1, 3 * hidden]).reshape([clips, 3 * hidden]);
    const recurrent = state.matMul(weights.hiddenWeight).add(weights.hiddenBias); // [B, 3G]
    const [inputR, inputZ, inputN] = tf.split(input, 3, 1);
    const [recurrentR, recurrentZ, recurrentN] = tf.split(recurrent, 3, 1);
    const reset = inputR.add(recurrentR).sigmoid();
    const update = inputZ.add(recurrentZ).sigmoid();
    const candidate = inputN.add(reset.mul(recurrentN)).tanh();
    state = candidate.add(update.mul(state.sub(candidate))) as tf.Tensor2D; // (1 - z) n + z h
    states[t] = state;
  }
  return states;
}

/** sum / weight; 0 without weight, NaN if a label is none of -1, 0, .. classes - 1. */
function mean(sum: tf.Tensor, weight: tf.Tensor, labels: tf.Tensor, classes: number): tf.Scalar {
  const none = weight.equal(0).cast("float32");
  const impossible = labels.less(-1).logicalOr(labels.greaterEqual(classes)).any();
  return sum.div(weight.add(none)).mul(tf.sub(1, none)).mul(tf.where(impossible, NaN, 1)).asScalar();
}

/** Plain TensorFlow.js. */
export const stockLayers: Layers = {
  name: "stock",

  conv2d: (x, filter, { strides, pad, bias, relu }) =>
    tf.fused.conv2d({ x, filter, strides, pad, bias, activation: relu ? "relu" : "linear" }) as tf.Tensor4D,

  batchNorm,

  convBatchNorm: (x, filter, parameters, options) =>
    batchNorm(tf.conv2d(x, filter, options.strides, options.pad), parameters, options),

  convBatchNormForked(x, filter, parameters, options) {
    const y = stockLayers.convBatchNorm(x, filter, parameters, options);
    return [y, y];
  },

  maxPool,

  globalAveragePool: (x) => x.mean([1, 2]),

  linear(x, weight, bias, activation) {
    const y = x.matMul(weight).add(bias) as tf.Tensor2D;
    if (activation === "relu") return y.relu();
    return activation === "gelu" ? gelu(y) : y;
  },

  relu: (x) => x.relu(),

  gru(x, weights) {
    let y = x;
    for (const layer of weights) {
      const [forward, backward] = layer.map((direction, i) => gruDirection(y, direction, i === 1));
      const states = forward.map((state, t) => backward ? tf.concat([state, backward[t]], 1) : state);
      y = tf.stack(states, 1) as tf.Tensor3D; // [B, T, G * directions]
    }
    return y;
  },

  selfAttention(x, weights, { heads }) {
    const [clips, frames, depth] = x.shape;
    const size = depth / heads;
    const qkv = x.reshape([clips * frames, depth]).matMul(weights.qkvWeight).add(weights.qkvBias)
      .reshape([clips, frames, 3, heads, size]).transpose([2, 0, 3, 1, 4]); // [3, B, A, T, D/A]
    const [q, k, v] = tf.unstack(qkv);
    const probabilities = q.matMul(k, false, true).mul(1 / Math.sqrt(size)).softmax(); // [B, A, T, T]
    const mixed = probabilities.matMul(v).transpose([0, 2, 1, 3]).reshape([clips * frames, depth]); // [B * T, D]
    return mixed.matMul(weights.outputWeight).add(weights.outputBias).reshape([clips, frames, depth]);
  },

  layerNorm(x, gamma, beta, epsilon) {
    const centred = x.sub(x.mean(-1, true));
    const variance = centred.square().mean(-1, true);
    return centred.mul(variance.add(epsilon).rsqrt()).mul(gamma).add(beta);
  },

  addLayerNorm(x, residual, gamma, beta, epsilon) {
    const sum: typeof x = x.add(residual);
    return [sum, stockLayers.layerNorm(sum, gamma, beta, epsilon)];
  },

  dropout(x, rate, key) {
    // The mask that the kernel draws, made on the host.
    return x.mul(tf.tensor(dropoutMaskRef(x.size, rate, key), x.shape));
  },

  softmaxCrossEntropy(logits, labels, options = {}) {
    requireSoftmaxCrossEntropy(logits, labels, options);
    const classes = logits.shape[1];
    const { classWeights = tf.ones([classes]), labelSmoothing = 0, focalGamma = 0 } = options;
    const counted = labels.greaterEqual(0).cast("float32").expandDims(1); // [M, 1]
    const truth = tf.oneHot(labels, classes).cast("float32"); // [M, K]; a label of -1 gives a row of zeros
    const weighted = truth.mul(classWeights); // [M, K]
    const shares = weighted.mul(1 - labelSmoothing)
      .add(counted.mul(classWeights).mul(labelSmoothing / classes)); // [M, K]
    let losses = tf.logSoftmax(logits).mul(shares).sum(1).neg(); // [M]
    if (focalGamma !== 0) {
      const others = logits.softmax().mul(tf.sub(1, truth)).sum(1); // 1 - p[label], its digits kept
      losses = losses.mul(others.pow(focalGamma));
    }
    return mean(losses.sum(), weighted.sum(), labels, classes);
  },

  sigmoidCrossEntropy(logits, labels, options = {}) {
    requireSigmoidCrossEntropy(logits, labels, options);
    const { positiveWeights = tf.ones([logits.shape[1]]) } = options;
    const counted = labels.greaterEqual(0).cast("float32");
    const truth = labels.maximum(0).cast("float32");
    const positive = logits.neg().softplus().mul(truth).mul(positiveWeights);
    const losses = positive.add(logits.softplus().mul(tf.sub(1, truth)));
    return mean(losses.mul(counted).sum(), counted.sum(), labels, 2);
  },
};
