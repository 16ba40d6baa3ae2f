/**
 * Stochastic gradient descent with momentum and weight decay, in PyTorch's form, and the multi-step rate.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { sgdUpdate } from "../kernels/mod.ts";
import type { Parameters } from "./parameters.ts";
import type { HostTensor } from "./weights/safetensors.ts";

/** The rate as a function of the 0-based epoch: `base`, times `gamma` for each milestone reached. */
export function multiStep(
  base: number,
  milestones: readonly number[],
  gamma: number,
): (epoch: number) => number {
  return (epoch) => base * gamma ** milestones.filter((milestone) => epoch >= milestone).length;
}

/** v <- momentum v + (gradient + weightDecay w); w <- w - rate v. */
export class Sgd {
  readonly #parameters: Parameters;
  readonly #trained: { name: string; variable: tf.Variable; velocity: tf.Variable }[];
  readonly #momentum: number;
  readonly #weightDecay: number;

  /** @param accepted which parameters are trained, by name; all by default */
  constructor(
    parameters: Parameters,
    { momentum, weightDecay }: { momentum: number; weightDecay: number },
    accepted?: (name: string) => boolean,
  ) {
    this.#parameters = parameters;
    this.#momentum = momentum;
    this.#weightDecay = weightDecay;
    this.#trained = parameters.trainable(accepted).map(({ name, variable }) => {
      const zeros = tf.zerosLike(variable);
      const velocity = tf.variable(zeros, false);
      zeros.dispose();
      return { name, variable, velocity };
    });
  }

  /**
   * One step: gradients of `loss`, then the update.
   *
   * @returns the loss before the update, which the caller disposes
   */
  step(loss: () => tf.Scalar, rate: number): tf.Scalar {
    return tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss, this.#trained.map(({ variable }) => variable));
      const settings = { rate, momentum: this.#momentum, weightDecay: this.#weightDecay };
      for (const { variable, velocity } of this.#trained) {
        sgdUpdate(variable, velocity, grads[variable.name], settings);
      }
      return value;
    });
  }

  /** The velocities by parameter name, in file layout. */
  async toHost(): Promise<Map<string, HostTensor>> {
    return await this.#parameters.exportLike(
      this.#trained.map(({ name, velocity }) => ({ name, tensor: velocity })),
    );
  }

  /**
   * Sets the velocities.
   *
   * @throws {Error} if one is missing
   */
  load(velocities: ReadonlyMap<string, HostTensor>): void {
    for (const { name, velocity } of this.#trained) {
      const tensor = velocities.get(name);
      if (tensor === undefined) throw new Error(`Cannot resume: the checkpoint has no momentum of ${name}`);
      const value = this.#parameters.importLike(name, tensor);
      velocity.assign(value);
      value.dispose();
    }
  }

  /** Frees the velocities. */
  dispose(): void {
    for (const { velocity } of this.#trained) velocity.dispose();
  }
}
