/**
 * A linear layer with its parameters.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { scope } from "../kernels/mod.ts";
import type { Layers } from "./layers.ts";
import { type Parameters, uniform } from "./parameters.ts";

/** x [M, D] -> x weight + bias: [M, K]; initialised as PyTorch's Linear is. */
export class Linear {
  readonly #parameters: Parameters;
  readonly #layers: Layers;
  readonly #name: string;

  /** Adds the parameters `<name>.weight` [inputs, outputs] and `<name>.bias` [outputs]. */
  constructor(parameters: Parameters, layers: Layers, name: string, inputs: number, outputs: number) {
    this.#parameters = parameters;
    this.#layers = layers;
    this.#name = name;
    const bound = 1 / Math.sqrt(inputs);
    parameters.add(`${name}.weight`, "linear", [inputs, outputs], uniform(bound));
    parameters.add(`${name}.bias`, "vector", [outputs], uniform(bound));
  }

  /** x [M, D] -> [M, K] */
  apply(x: tf.Tensor2D, activation?: "relu" | "gelu"): tf.Tensor2D {
    const weight = this.#parameters.get<tf.Tensor2D>(`${this.#name}.weight`);
    const bias = this.#parameters.get<tf.Tensor1D>(`${this.#name}.bias`);
    return scope(this.#name, () => this.#layers.linear(x, weight, bias, activation));
  }
}
