/**
 * Convolution with bias and ReLU, forward and backward, side by side with TensorFlow.js's fused one.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { conv2dBiasRelu } from "./conv2d_bias_relu.ts";
import { toleranceOf } from "../matmul/matmul_cases.ts";

/** VGG16's convolutions of width 16 on 48x48 pixels: side of the image, channels in and out. */
const LAYERS = [
  { name: "conv1_2", size: 48, channels: 16, outChannels: 16 },
  { name: "conv3_2", size: 12, channels: 64, outChannels: 64 },
  { name: "conv5_1", size: 3, channels: 128, outChannels: 128 },
] as const;
const IMAGES = 16;

function benchOf({ name, size, channels, outChannels }: typeof LAYERS[number]): BenchCase {
  const steps = { strides: 1, pad: 1 };
  return {
    op: "conv2d_bias_relu",
    name: `vgg16 ${name}`,
    flops: 6 * IMAGES * size ** 2 * 9 * channels * outChannels,
    setup() {
      const inputs = [
        randomTensor([IMAGES, size, size, channels]),
        randomTensor([3, 3, channels, outChannels]),
        randomTensor([outChannels]),
      ];
      const dy = randomTensor([IMAGES, size, size, outChannels]);
      const both = (f: (x: tf.Tensor4D, filter: tf.Tensor4D, bias: tf.Tensor1D) => tf.Tensor) => {
        const { value, grads } = tf.valueAndGrads(f as unknown as (...inputs: tf.Tensor[]) => tf.Tensor)(
          inputs,
          dy,
        );
        return [value, ...grads];
      };
      return {
        ours: () => both((x, filter, bias) => conv2dBiasRelu(x, filter, bias, steps)),
        stock: () =>
          both((x, filter, bias) => tf.fused.conv2d({ x, filter, bias, ...steps, activation: "relu" })),
        tolerance: 2 * toleranceOf(Math.max(9 * channels, 9 * outChannels, IMAGES * size ** 2)),
        dispose: () => tf.dispose([...inputs, dy]),
      };
    },
  };
}

/** A few of VGG16's layers, at the demo's scale. */
export const CONV2D_BIAS_RELU_BENCHES: readonly BenchCase[] = LAYERS.map(benchOf);
