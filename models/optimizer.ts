/**
 * Stochastic gradient descent with momentum and weight decay, in PyTorch's form, and the multi-step rate.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type LaunchValue, MomentumSgd, scope } from "../kernels/mod.ts";
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

/** Settings of {@link Sgd}. */
export interface SgdOptions {
  readonly momentum: number;
  readonly weightDecay: number;
  /** the greatest Euclidean norm of all gradients together; larger ones are scaled down. No limit by default */
  readonly clipNorm?: number;
  /** what differs for a parameter: its rate as a share of the step's, its weight decay */
  readonly group?: (name: string) => { readonly rateFactor?: number; readonly weightDecay?: number };
}

/** v <- momentum v + (gradient + weightDecay w); w <- w - rate v. */
export class Sgd {
  readonly #parameters: Parameters;
  readonly #trained: readonly { name: string; variable: tf.Variable }[];
  readonly #kernel: MomentumSgd;

  /** @param accepted which parameters are trained, by name; all by default */
  constructor(
    parameters: Parameters,
    { momentum, weightDecay, clipNorm, group = () => ({}) }: SgdOptions,
    accepted?: (name: string) => boolean,
  ) {
    this.#parameters = parameters;
    this.#trained = parameters.trainable(accepted);
    this.#kernel = new MomentumSgd(
      this.#trained.map(({ name, variable }) => ({ shape: variable.shape, weightDecay, ...group(name) })),
      { momentum, clipNorm },
    );
  }

  /**
   * One step: gradients of `loss`, then the update. The first loss that is NaN or infinite ends all updates: the weights
   * stay as they were before it.
   *
   * @returns the loss before the update, which the caller disposes
   * @throws {Error} if the loss does not depend on a parameter
   */
  step(loss: () => tf.Scalar, rate: number | LaunchValue): tf.Scalar {
    return tf.tidy(() => {
      const variables = this.#trained.map(({ variable }) => variable);
      const { value, grads } = this.#kernel.makeGradients(() => tf.variableGrads(loss, variables));
      const gradients = this.#trained.map(({ name, variable }) => {
        const gradient = grads[variable.name];
        if (!gradient) throw new Error(`Cannot train ${name}: the loss does not depend on it`);
        return gradient;
      });
      scope("update", () => this.#kernel.update(variables, gradients, rate, value));
      return value;
    });
  }

  /** False if the next step moves weights: they come from elsewhere, or another tensor has their buffer too. */
  get isSettled(): boolean {
    return this.#kernel.holds(this.#trained.map(({ variable }) => variable));
  }

  /** The largest magnitude of each parameter's gradient, by name; NaN and infinity show. */
  async largestGradients(loss: () => tf.Scalar): Promise<Map<string, number>> {
    const largest = tf.tidy(() => {
      const { grads } = tf.variableGrads(loss, this.#trained.map(({ variable }) => variable));
      // A maximum may swallow NaN. A sum of zeros cannot, nor does it overflow: 0 times infinity is NaN.
      const of = (g: tf.Tensor) => tf.stack([g.abs().max(), g.mul(0).sum()]);
      return tf.stack(this.#trained.map(({ variable }) => of(grads[variable.name])));
    });
    const values = await largest.data();
    largest.dispose();
    return new Map(
      this.#trained.map(({ name }, i) => [name, values[2 * i + 1] === 0 ? values[2 * i] : NaN]),
    );
  }

  /** The norm of all gradients of the last step, before clipping, on the device; undefined without clipping. */
  get gradientNorm(): tf.Scalar | undefined {
    return this.#kernel.norm;
  }

  /** The velocities in the parameters' order, copies that the caller disposes. */
  velocities(): tf.Tensor[] {
    return this.#trained.map((_, i) => this.#kernel.velocity(i));
  }

  /** The velocities by parameter name, in file layout. */
  async toHost(): Promise<Map<string, HostTensor>> {
    const velocities = this.#trained.map(({ name }, i) => ({ name, tensor: this.#kernel.velocity(i) }));
    try {
      return await this.#parameters.exportLike(velocities);
    } finally {
      tf.dispose(velocities.map(({ tensor }) => tensor));
    }
  }

  /**
   * Sets the velocities.
   *
   * @throws {Error} if one is missing
   */
  load(velocities: ReadonlyMap<string, HostTensor>): void {
    this.#trained.forEach(({ name }, i) => {
      const tensor = velocities.get(name);
      if (tensor === undefined) throw new Error(`Cannot resume: the checkpoint has no momentum of ${name}`);
      const value = this.#parameters.importLike(name, tensor);
      this.#kernel.setVelocity(i, value);
      value.dispose();
    });
  }

  /** Frees the velocities. */
  dispose(): void {
    this.#kernel.dispose();
  }
}
