/**
 * The layers on the WGSL kernels. What has no kernel yet is the stock op; convolutions go through tfjs's `Conv2D`,
 * which `register()` replaces.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  addLayerNorm,
  batchNorm,
  batchNormForked,
  batchNormInference,
  conv2dBiasRelu,
  conv2dInference,
  dropout,
  foldBatchNorm,
  globalAveragePool,
  gru,
  layerNorm,
  linear,
  maxPool,
  register,
  relu,
  selfAttention,
  sigmoidCrossEntropy,
  softmaxCrossEntropy,
} from "../kernels/mod.ts";
import type { BatchNormParameters, Layers } from "./layers.ts";
import { stockLayers } from "./layers_stock.ts";

register();

function foldedBy({ gamma, beta, runningMean: mean, runningVariance: variance }: BatchNormParameters) {
  return { gamma, beta, mean, variance };
}

/** What has a kernel, on it. */
export const kernelLayers: Layers = {
  ...stockLayers,
  name: "fervid",

  conv2d(x, filter, options) {
    const { bias, relu, strides, pad } = options;
    if (bias === undefined || !relu) return stockLayers.conv2d(x, filter, options);
    return conv2dBiasRelu(x, filter, bias, { strides, pad });
  },

  batchNorm(x, parameters, { training, epsilon, momentum, residual, relu }) {
    const tensors = { ...parameters, residual };
    if (!training) return batchNormInference(x, tensors, { epsilon, relu });
    return batchNorm(x, tensors, { epsilon, momentum, relu });
  },

  convBatchNorm(x, filter, parameters, options) {
    const { strides, pad, training, epsilon, relu, residual } = options;
    if (training) {
      // Not tf.fused.conv2d, whose gradient makes the images' as well: 7 % of the small ResNet50's step on lavapipe.
      const y = tf.conv2d(x, filter, strides, pad);
      return kernelLayers.batchNorm(y, parameters, options);
    }
    const folded = options.folded ?? foldBatchNorm(filter, foldedBy(parameters), epsilon);
    const activation = relu ? "relu" : "linear";
    const y = conv2dInference(x, folded.filter, { strides, pad, bias: folded.bias, residual, activation });
    if (options.folded === undefined) tf.dispose([folded.filter, folded.bias]);
    return y;
  },

  foldBatchNorm: (filter, parameters, epsilon) => foldBatchNorm(filter, foldedBy(parameters), epsilon),

  convBatchNormForked(x, filter, parameters, options) {
    const { strides, pad, training, epsilon, momentum, relu, residual } = options;
    if (training) {
      const y = tf.conv2d(x, filter, strides, pad);
      return batchNormForked(y, { ...parameters, residual }, { epsilon, momentum, relu });
    }
    const y = kernelLayers.convBatchNorm(x, filter, parameters, options);
    return [y, y];
  },

  maxPool,
  globalAveragePool,

  linear,
  relu: (x) => relu(x),

  gru: (x, weights) => gru(x, weights),

  selfAttention,
  layerNorm,
  addLayerNorm,
  dropout,
  softmaxCrossEntropy,
  sigmoidCrossEntropy,
};
