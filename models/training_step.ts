/**
 * Training steps that cost the host little: the first of a shape runs command by command, the second is captured,
 * those after it are launched.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { capture, type CommandGraph, LaunchValue } from "../kernels/mod.ts";
import { backendInternals, canCapture } from "../kernels/runtime/program.ts";
import { sizeOf } from "../kernels/runtime/shapes.ts";
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

function dtypeOf(values: HostValues["values"]): "int32" | "float32" {
  return values instanceof Int32Array ? "int32" : "float32";
}

/** The tensors of a batch. */
export function tensorsOf<Name extends string>(batch: Batch<Name>): Inputs<Name> {
  const entries = Object.entries<HostValues>(batch).map(([name, { values, shape }]) => [
    name,
    tf.tensor(values, shape, dtypeOf(values)),
  ]);
  return Object.fromEntries(entries) as Inputs<Name>;
}

/** @throws {RangeError} if an input has not as many values as its shape */
function requireValues(batch: Readonly<Record<string, HostValues>>): void {
  for (const [name, { values, shape }] of Object.entries(batch)) {
    if (values.length === sizeOf(shape)) continue;
    throw new RangeError(
      `Cannot run a training step: ${name} has shape [${shape}] and ${values.length} values; expected ${
        sizeOf(shape)
      }`,
    );
  }
}

/** Of inputs that the same commands read. */
function shapesOf(batch: Readonly<Record<string, HostValues>>): string {
  return Object.entries(batch).map(([name, { values, shape }]) => `${name} ${dtypeOf(values)} [${shape}]`)
    .join(", ");
}

/** The steps of one network with one loss; every step has the same bits as {@link Sgd.step} would give it. */
export class TrainingStep<Name extends string> {
  readonly #parameters: Parameters;
  readonly #optimizer: Sgd;
  readonly #lossOf: (inputs: Inputs<Name>, step: number | LaunchValue) => tf.Scalar;
  readonly #step = new LaunchValue(0);
  readonly #rate = new LaunchValue(0);
  #inputs: Inputs<Name> | undefined;
  /** of the inputs */
  #shapes = "";
  /** the inputs' shapes of the last step that ran command by command: what such a step needs is on the device */
  #warm = "";
  /** of the parameters after that step, or the one that was captured: these are on the device */
  #dataIds: readonly object[] = [];
  #graph: CommandGraph<tf.Scalar> | undefined;

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
   * @throws {RangeError} if an input has not as many values as its shape, naming it
   */
  run(batch: Batch<Name>, step: number, rate: number): tf.Scalar {
    this.#setInputs(batch);
    this.#step.value = step;
    this.#rate.value = rate;
    const inputs = this.#inputs!;
    const eager = () => this.#optimizer.step(() => this.#lossOf(inputs, this.#step), this.#rate);
    if (!this.#canLaunch()) {
      const loss = eager();
      if (!this.#hasSameTensors()) this.#dropGraph(); // what it reads may be there still, but not be the parameters
      this.#warm = this.#shapes;
      this.#dataIds = this.#parameters.dataIds();
      return loss;
    }
    if (this.#graph?.valid) this.#graph.launch();
    else {
      this.#dropGraph();
      this.#graph = capture(eager);
      this.#dataIds = this.#parameters.dataIds();
    }
    return this.#graph.output();
  }

  /** The largest magnitude of each parameter's gradient on a batch, by name; NaN and infinity show. */
  async largestGradients(batch: Batch<Name>, step: number): Promise<Map<string, number>> {
    requireValues(batch);
    return await this.#optimizer.largestGradients(() => this.#lossOf(tensorsOf(batch), step));
  }

  /** Whether commands can be captured, and those that are captured are the step's if their graph is valid. */
  #canLaunch(): boolean {
    if (this.#warm !== this.#shapes || !canCapture()) return false;
    if (!this.#optimizer.isSettled || this.#parameters.sharesStatistics) return false;
    return this.#hasSameTensors(); // others may be the host's yet: a captured step cannot bring them to the device
  }

  /** Whether the parameters are those of the last step. */
  #hasSameTensors(): boolean {
    const now = this.#parameters.dataIds();
    return now.every((id, i) => id === this.#dataIds[i]);
  }

  #setInputs(batch: Batch<Name>): void {
    requireValues(batch);
    const names = Object.keys(batch) as Name[];
    const shapes = shapesOf(batch);
    if (this.#inputs !== undefined && this.#shapes === shapes) {
      for (const name of names) writeTensor(this.#inputs[name], batch[name].values);
      return;
    }
    this.release();
    this.#inputs = tf.tidy(() => {
      const inputs = tensorsOf(batch);
      names.forEach((name) => tf.keep(inputs[name]));
      return inputs;
    });
    this.#shapes = shapes;
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
