/**
 * Training steps that cost the host little: the first of a shape runs command by command, the second is captured,
 * those after it are launched.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { capture, type CommandGraph, LaunchValue } from "../kernels/mod.ts";
import { backendInternals, canCapture } from "../kernels/runtime/program.ts";
import { writeTensor } from "../kernels/runtime/tensors.ts";
import type { Sgd } from "./optimizer.ts";
import type { Parameters } from "./parameters.ts";

/** Values for one of a step's inputs: float32 or int32. */
export interface HostValues {
  readonly values: Float32Array | Int32Array;
  readonly shape: number[];
}

/** The inputs of a step, by name. */
export type Batch<Name extends string> = Readonly<Record<Name, HostValues>>;

/** The inputs of a step on the device, by name. */
export type Inputs<Name extends string> = Readonly<Record<Name, tf.Tensor>>;

/** The tensors of a batch. */
export function tensorsOf<Name extends string>(batch: Batch<Name>): Inputs<Name> {
  const entries = Object.entries<HostValues>(batch).map(([name, { values, shape }]) => [
    name,
    tf.tensor(values, shape, values instanceof Int32Array ? "int32" : "float32"),
  ]);
  return Object.fromEntries(entries) as Inputs<Name>;
}

function shapesOf(inputs: Readonly<Record<string, { readonly shape: readonly number[] }>>): string {
  return Object.entries(inputs).map(([name, { shape }]) => `${name} [${shape}]`).join(", ");
}

/** The steps of one network with one loss; every step has the same bits as {@link Sgd.step} would give it. */
export class TrainingStep<Name extends string> {
  readonly #parameters: Parameters;
  readonly #optimizer: Sgd;
  readonly #lossOf: (inputs: Inputs<Name>, step: number | LaunchValue) => tf.Scalar;
  readonly #step = new LaunchValue(0);
  readonly #rate = new LaunchValue(0);
  #inputs: Inputs<Name> | undefined;
  /** the inputs' shapes of the last step that ran command by command: what such a step needs is on the device */
  #warm = "";
  #graph: CommandGraph<tf.Scalar> | undefined;
  /** of the parameters when the graph was captured */
  #dataIds: readonly object[] = [];

  /**
   * @param lossOf records the same commands for all batches of one shape: it takes no values from the host. `step` is the
   * training run's, for dropout
   */
  constructor(
    parameters: Parameters,
    optimizer: Sgd,
    lossOf: (inputs: Inputs<Name>, step: number | LaunchValue) => tf.Scalar,
  ) {
    this.#parameters = parameters;
    this.#optimizer = optimizer;
    this.#lossOf = lossOf;
  }

  /**
   * One step, see {@link Sgd.step}. While commands are timed or counted it runs command by command.
   *
   * @returns the loss before the update, which the caller disposes
   */
  run(batch: Batch<Name>, step: number, rate: number): tf.Scalar {
    this.#setInputs(batch);
    this.#step.value = step;
    this.#rate.value = rate;
    const inputs = this.#inputs!;
    const eager = () => this.#optimizer.step(() => this.#lossOf(inputs, this.#step), this.#rate);
    const shapes = shapesOf(batch);
    const settled = this.#optimizer.isSettled && !this.#parameters.sharesStatistics;
    if (this.#warm !== shapes || !canCapture() || !settled) {
      this.#warm = shapes;
      return eager();
    }
    if (this.#isCurrent()) this.#graph!.launch();
    else {
      this.#dropGraph();
      this.#graph = capture(eager);
      this.#dataIds = this.#parameters.dataIds();
    }
    return this.#graph!.output();
  }

  /** The largest magnitude of each parameter's gradient on a batch, by name; NaN and infinity show. */
  async largestGradients(batch: Batch<Name>, step: number): Promise<Map<string, number>> {
    return await this.#optimizer.largestGradients(() => this.#lossOf(tensorsOf(batch), step));
  }

  /** Whether the captured commands still are the step's: the parameters may have been given other tensors. */
  #isCurrent(): boolean {
    if (this.#graph === undefined || !this.#graph.valid) return false;
    const now = this.#parameters.dataIds();
    return now.every((id, i) => id === this.#dataIds[i]);
  }

  #setInputs(batch: Batch<Name>): void {
    const names = Object.keys(batch) as Name[];
    if (this.#inputs !== undefined && shapesOf(this.#inputs) === shapesOf(batch)) {
      for (const name of names) writeTensor(this.#inputs![name], batch[name].values);
      return;
    }
    this.release();
    this.#inputs = tf.tidy(() => {
      const inputs = tensorsOf(batch);
      names.forEach((name) => tf.keep(inputs[name]));
      return inputs;
    });
    for (const name of names) backendInternals().uploadToGPU(this.#inputs[name].dataId);
  }

  /** Gives the memory of the steps back; the next one is captured anew. */
  release(): void {
    this.#dropGraph();
    tf.dispose(this.#inputs ?? []);
    this.#inputs = undefined;
  }

  #dropGraph(): void {
    this.#graph?.dispose();
    this.#graph = undefined;
  }
}
