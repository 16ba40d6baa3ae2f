/**
 * A linear layer with its parameters.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { scope } from "../kernels/mod.ts";
import type { Layers } from "./layers.ts";
import { type Initializer, type Parameters, uniform } from "./parameters.ts";

/** How a layer's tensors begin. */
export interface LinearInitializers {
  readonly weight: Initializer;
  readonly bias: Initializer;
}

/** PyTorch's Linear: both uniform in [-1 / sqrt(inputs), 1 / sqrt(inputs)]. */
function pytorchLinear(inputs: number): LinearInitializers {
  const initializer = uniform(1 / Math.sqrt(inputs));
  return { weight: initializer, bias: initializer };
}

/** x [M, D] -> x weight + bias: [M, K]. */
export class Linear {
  readonly #parameters: Parameters;
  readonly #layers: Layers;
  readonly #name: string;

  /** Adds the parameters `<name>.weight` [inputs, outputs] and `<name>.bias` [outputs]. */
  constructor(
    parameters: Parameters,
    layers: Layers,
    name: string,
    inputs: number,
    outputs: number,
    initial: LinearInitializers = pytorchLinear(inputs),
  ) {
    this.#parameters = parameters;
    this.#layers = layers;
    this.#name = name;
    parameters.add(`${name}.weight`, "linear", [inputs, outputs], initial.weight);
    parameters.add(`${name}.bias`, "vector", [outputs], initial.bias);
  }

  /** x [M, D] -> [M, K] */
  apply(x: tf.Tensor2D, activation?: "relu" | "gelu"): tf.Tensor2D {
    const weight = this.#parameters.get<tf.Tensor2D>(`${this.#name}.weight`);
    const bias = this.#parameters.get<tf.Tensor1D>(`${this.#name}.bias`);
    return scope(this.#name, () => this.#layers.linear(x, weight, bias, activation));
  }
}
