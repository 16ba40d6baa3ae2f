/**
 * The recurrent head of the CNN-RNN: Linear + ReLU, GRU of depth 2, ReLU, Linear, on the backbone's features of
 * consecutive frames (paper, Section 2.2; sizes from its authors).
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { scope } from "../kernels/mod.ts";
import type { GruWeights, Layers } from "./layers.ts";
import { Linear } from "./linear.ts";
import { type Parameters, uniform } from "./parameters.ts";

/** Sizes of the head. */
export interface RnnSizes {
  /** length of the embedding that the GRU reads */
  readonly embedding: number;
  readonly layers: number;
  /** GRU hidden size per direction */
  readonly hidden: number;
  readonly bidirectional: boolean;
}

/** Features [B, T, D] -> logits [B, T, classes]. */
export class RnnHead {
  readonly #parameters: Parameters;
  readonly #layers: Layers;
  readonly #prefix: string;
  readonly #sizes: RnnSizes;
  readonly #embed: Linear;
  readonly #classifier: Linear;

  /** Adds the parameters, in PyTorch's names under `prefix`. */
  constructor(
    parameters: Parameters,
    layers: Layers,
    prefix: string,
    { features, classes, ...sizes }: RnnSizes & { features: number; classes: number },
  ) {
    this.#parameters = parameters;
    this.#layers = layers;
    this.#prefix = prefix;
    this.#sizes = sizes;
    const { embedding, hidden } = sizes;
    const directions = sizes.bidirectional ? 2 : 1;
    this.#embed = new Linear(parameters, layers, `${prefix}embed`, features, embedding);
    const initial = uniform(1 / Math.sqrt(hidden));
    for (const { layer, suffix } of this.#directions()) {
      const inputs = layer === 0 ? embedding : hidden * directions;
      parameters.add(`${prefix}gru.weight_ih_${suffix}`, "linear", [inputs, 3 * hidden], initial);
      parameters.add(`${prefix}gru.weight_hh_${suffix}`, "linear", [hidden, 3 * hidden], initial);
      parameters.add(`${prefix}gru.bias_ih_${suffix}`, "vector", [3 * hidden], initial);
      parameters.add(`${prefix}gru.bias_hh_${suffix}`, "vector", [3 * hidden], initial);
    }
    this.#classifier = new Linear(parameters, layers, `${prefix}classifier`, hidden * directions, classes);
  }

  /** features [B, T, D] -> logits [B, T, classes] */
  logits(features: tf.Tensor3D): tf.Tensor3D {
    const [clips, frames, depth] = features.shape;
    const embedded = this.#embed.apply(features.reshape([clips * frames, depth]), "relu"); // [B * T, E]
    const states = scope(
      `${this.#prefix}gru`,
      () => this.#layers.relu(this.#layers.gru(embedded.reshape([clips, frames, -1]), this.#weights())),
    ); // [B, T, G * directions]
    const y = this.#classifier.apply(states.reshape([clips * frames, -1])); // [B * T, classes]
    return y.reshape([clips, frames, -1]); // [B, T, classes]
  }

  #weights(): GruWeights[][] {
    const weights: GruWeights[][] = [];
    for (const { layer, suffix } of this.#directions()) {
      const get = <T extends tf.Tensor>(name: string) =>
        this.#parameters.get<T>(`${this.#prefix}gru.${name}_${suffix}`);
      (weights[layer] ??= []).push({
        inputWeight: get<tf.Tensor2D>("weight_ih"),
        hiddenWeight: get<tf.Tensor2D>("weight_hh"),
        inputBias: get<tf.Tensor1D>("bias_ih"),
        hiddenBias: get<tf.Tensor1D>("bias_hh"),
      });
    }
    return weights;
  }

  #directions(): { layer: number; suffix: string }[] {
    const suffixes = this.#sizes.bidirectional ? ["", "_reverse"] : [""];
    return Array.from(
      { length: this.#sizes.layers },
      (_, layer) => suffixes.map((suffix) => ({ layer, suffix: `l${layer}${suffix}` })),
    ).flat();
  }
}
