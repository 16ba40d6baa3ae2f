/**
 * VGG16, the topology of VGG-Face: the challenge's baseline (Kollias et al. 2021; Parkhi et al. 2015). Thirteen 3x3
 * convolutions in five stages, each ended by a 2x2 max pool, then two hidden layers of our own size and a classifier.
 *
 * `fc6` reads the last pool's values as they lie here, rows, columns, channels, in memory and in checkpoints: its
 * `weight` is [outputs, H' * W' * C]. PyTorch flattens channels, rows, columns; what it makes of a checkpoint needs
 * `weight.view(K, H', W', C).permute(0, 3, 1, 2).flatten(1)`, which an exported ONNX model does not.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { scope } from "../kernels/mod.ts";
import type { Layers } from "./layers.ts";
import { Linear, type LinearInitializers } from "./linear.ts";
import { constant, kaimingFanIn, type Parameters } from "./parameters.ts";

/** Convolutions of each stage. */
export const VGG16_CONVOLUTIONS: readonly number[] = [2, 2, 3, 3, 3];
/** Channels of each stage, as multiples of the first's. */
export const VGG16_CHANNELS = [1, 2, 4, 8, 8];
/** Units of a hidden layer per channel of the first stage: 4096 at width 64. */
export const VGG16_HIDDEN_PER_WIDTH = 64;
/**
 * Fan-in here and in the convolutions, for want of batch norm: with fan-out there and PyTorch's linear layers here the
 * first logits of different images differ by .002 instead of .08 (deviation, width 16), and ten epochs taught no action
 * unit in any of three seeds.
 */
const HIDDEN_INITIALIZERS: LinearInitializers = { weight: kaimingFanIn, bias: constant(0) };

/** Images [N, H, W, 3] -> logits [N, classes]. */
export class Vgg16 {
  readonly #parameters: Parameters;
  readonly #layers: Layers;
  readonly #hidden: readonly Linear[];
  readonly #classifier: Linear;

  /**
   * Adds the parameters, in VGG-Face's names (`conv1_1`, ..., `conv5_3`, `fc6`, `fc7`) and `classifier`.
   *
   * @param width channels of the first stage; 64 in the baseline
   * @param size side of the square images in pixels, at least 32
   */
  constructor(parameters: Parameters, layers: Layers, width: number, size: number, classes: number) {
    this.#parameters = parameters;
    this.#layers = layers;
    let inputs = 3;
    for (const { name, outputs } of convolutions(width)) {
      parameters.add(`${name}.weight`, "conv", [3, 3, inputs, outputs], kaimingFanIn);
      parameters.add(`${name}.bias`, "vector", [outputs], constant(0));
      inputs = outputs;
    }
    const side = VGG16_CHANNELS.reduce((length) => Math.floor(length / 2), size);
    const hidden = VGG16_HIDDEN_PER_WIDTH * width;
    this.#hidden = [
      new Linear(parameters, layers, "fc6", side * side * inputs, hidden, HIDDEN_INITIALIZERS),
      new Linear(parameters, layers, "fc7", hidden, hidden, HIDDEN_INITIALIZERS),
    ];
    this.#classifier = new Linear(parameters, layers, "classifier", hidden, classes);
  }

  /** images [N, H, W, 3] -> logits [N, classes] */
  logits(images: tf.Tensor4D): tf.Tensor2D {
    let x = images;
    VGG16_CONVOLUTIONS.forEach((count, s) => {
      for (let c = 1; c <= count; c++) {
        const name = `conv${s + 1}_${c}`;
        const filter = this.#parameters.get<tf.Tensor4D>(`${name}.weight`);
        const bias = this.#parameters.get<tf.Tensor1D>(`${name}.bias`);
        x = scope(name, () => this.#layers.conv2d(x, filter, { strides: 1, pad: 1, bias, relu: true }));
      }
      x = scope(`pool${s + 1}`, () => this.#layers.maxPool(x, { size: 2, strides: 2, ceilMode: false }));
    });
    let y = x.reshape<tf.Tensor2D>([x.shape[0], -1]); // [N, H' * W' * C]
    for (const layer of this.#hidden) y = layer.apply(y, "relu");
    return this.#classifier.apply(y);
  }
}

function convolutions(width: number): { name: string; outputs: number }[] {
  return VGG16_CONVOLUTIONS.flatMap((count, s) =>
    Array.from(
      { length: count },
      (_, c) => ({ name: `conv${s + 1}_${c + 1}`, outputs: VGG16_CHANNELS[s] * width }),
    )
  );
}
