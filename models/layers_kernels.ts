/**
 * The layers on the WGSL kernels. What has no kernel yet is the stock op; convolutions go through tfjs's `Conv2D`,
 * which `register()` replaces.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { batchNorm, batchNormInference, dropout, gru, layerNorm, register } from "../kernels/mod.ts";
import type { Layers } from "./layers.ts";
import { stockLayers } from "./layers_stock.ts";

register();

/** What has a kernel, on it. */
export const kernelLayers: Layers = {
  ...stockLayers,
  name: "fervid",

  batchNorm(x, parameters, { training, epsilon, momentum, residual, relu }) {
    const tensors = { ...parameters, residual };
    if (!training) return batchNormInference(x, tensors, { epsilon, relu });
    return batchNorm(x, tensors, { epsilon, momentum, relu });
  },

  layerNorm,

  dropout,

  gru: (x, weights) => gru(x, weights),

  conv2d(x, filter, options) {
    // The kernels take channels four at a time; the three of an image get a fourth of zeros.
    const missing = (4 - x.shape[3] % 4) % 4;
    if (missing === 0) return stockLayers.conv2d(x, filter, options);
    const widened: tf.Tensor4D = x.pad([[0, 0], [0, 0], [0, 0], [0, missing]]);
    const filled: tf.Tensor4D = filter.pad([[0, 0], [0, 0], [0, missing], [0, 0]]);
    return stockLayers.conv2d(widened, filled, options);
  },
};
