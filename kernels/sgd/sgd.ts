/**
 * Stochastic gradient descent with momentum, weight decay and clipping of the gradients' norm, over many tensors in
 * one dispatch (two with clipping).
 *
 * WebGPU binds few buffers to a dispatch and tfjs gives each tensor its own. So weights and velocities live here in one
 * large buffer each; the gradients are copied into a third before the update, and the new weights into their tensors
 * after it. A copy costs a tenth of what a dispatch per tensor does.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { backendInternals, currentTraits, foldWorkgroups, run } from "../runtime/program.ts";
import { copyTensors, emptyTensor, sharesBuffer, type TensorCopy } from "../runtime/tensors.ts";
import { LaunchValue } from "../runtime/uniforms.ts";
import { type Layout, layOut } from "./layout.ts";
import normSource from "./sgd_norm.wgsl" with { type: "text" };
import updateSource from "./sgd_update.wgsl" with { type: "text" };

const NORM = { file: "sgd/sgd_norm.wgsl", source: normSource };
const UPDATE = { file: "sgd/sgd_update.wgsl", source: updateSource };

/** The tile constants; the tests vary each. */
export interface SgdTile {
  /** invocations of a workgroup of the update */
  readonly lanes: number;
  /** vec4s of a block, which belongs to one tensor */
  readonly block: number;
  /** blocks of a workgroup */
  readonly blocksEach: number;
  /** invocations of a workgroup of the norm, a power of 2 */
  readonly normLanes: number;
  /** chunks that the norm of a buffer is summed in, a multiple of 4 */
  readonly chunks: number;
  /** most values of a buffer; what the device binds by default */
  readonly capacity?: number;
}

/** The tiles of a driver that runs on the CPU, and of a GPU. */
export const TILES: Readonly<Record<"software" | "gpu", SgdTile>> = {
  software: { lanes: 8, block: 64, blocksEach: 8, normLanes: 8, chunks: 64 },
  gpu: { lanes: 64, block: 64, blocksEach: 8, normLanes: 256, chunks: 256 },
};

/** One tensor that is trained. */
export interface SgdParameter {
  readonly shape: readonly number[];
  /** its rate as a share of the step's; 1 by default */
  readonly rateFactor?: number;
  readonly weightDecay: number;
}

/** Settings of all tensors together. */
export interface SgdSettings {
  readonly momentum: number;
  /** the greatest Euclidean norm of all gradients together; larger ones are scaled down. No limit by default */
  readonly clipNorm?: number;
}

interface Buffers {
  readonly weights: tf.Tensor1D;
  readonly velocities: tf.Tensor1D;
  readonly gradients: tf.Tensor1D;
  /** [blocks, 2] share of the rate, weight decay */
  readonly settings: tf.Tensor2D;
}

const BYTES = 4; // of a float32

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** The velocities of some tensors, and their updates. */
export class MomentumSgd {
  readonly #parameters: readonly SgdParameter[];
  readonly #settings: SgdSettings;
  readonly #tile: SgdTile;
  readonly #layout: Layout;
  readonly #buffers: readonly Buffers[];
  readonly #partialSums: tf.Tensor1D;
  readonly #norm: tf.Scalar;
  /** 1 after a guarded update met a loss that was not finite */
  readonly #halted: tf.Scalar;
  /** the data of which each weight is a copy here */
  readonly #copied: (object | undefined)[];

  /** @throws {RangeError} if there is nothing to train, or a setting is out of range */
  constructor(
    parameters: readonly SgdParameter[],
    settings: SgdSettings,
    tile: SgdTile = currentTraits().software ? TILES.software : TILES.gpu,
  ) {
    requireSettings(parameters, settings);
    this.#parameters = parameters;
    this.#settings = settings;
    this.#tile = tile;
    const { maxStorageBufferBindingSize, maxBufferSize } = backendInternals().device.limits;
    const capacity = tile.capacity ??
      Math.floor(Math.min(maxStorageBufferBindingSize, maxBufferSize) / BYTES);
    this.#layout = layOut(parameters.map(({ shape }) => sizeOf(shape)), 4 * tile.block, capacity);
    const keep = <T extends tf.Tensor>(tensor: T): T => tf.keep(tensor);
    this.#buffers = this.#layout.lengths.map((length, buffer) => ({
      weights: keep(tf.fill<tf.Rank.R1>([length], 0)),
      velocities: keep(tf.fill<tf.Rank.R1>([length], 0)),
      gradients: keep(tf.fill<tf.Rank.R1>([length], 0)),
      settings: keep(this.#settingsOf(buffer, length)),
    }));
    this.#partialSums = keep(tf.zeros<tf.Rank.R1>([tile.chunks * this.#buffers.length]));
    this.#norm = keep(tf.scalar(0));
    this.#halted = keep(tf.scalar(0, "int32"));
    this.#copied = parameters.map(() => undefined);
  }

  #settingsOf(buffer: number, length: number): tf.Tensor2D {
    const block = 4 * this.#tile.block;
    const values = new Float32Array(2 * length / block);
    this.#layout.tensors.forEach((segments, i) => {
      const { rateFactor = 1, weightDecay } = this.#parameters[i];
      for (const { offset, size } of segments.filter((segment) => segment.buffer === buffer)) {
        for (let at = offset / block; at < (offset + size) / block; at++) {
          values.set([rateFactor, weightDecay], 2 * at);
        }
      }
    });
    return tf.tensor2d(values, [length / block, 2]);
  }

  /** The norm of all gradients of the last update, before clipping; undefined if they are not clipped. */
  get norm(): tf.Scalar | undefined {
    return this.#settings.clipNorm === undefined ? undefined : this.#norm;
  }

  /**
   * v <- momentum v + (gradient + weightDecay w); w <- w - rate v. Nothing is read back.
   *
   * With a `loss`, the first one that is NaN or infinite ends all updates: the weights stay as they were before it,
   * however late the host reads the loss.
   *
   * @param weights in the constructor's order; updated in place, or given a new buffer where another tensor has the same
   * @param gradients in the same order
   * @param loss of the step, a scalar
   * @throws {RangeError} if their shapes are not the constructor's
   */
  update(
    weights: readonly tf.Variable[],
    gradients: readonly TensorInfo[],
    rate: number | LaunchValue,
    loss?: TensorInfo,
  ): void {
    this.#requireShapes("weight", weights);
    this.#requireShapes("gradient", gradients);
    const changed = weights.flatMap((weight, i) =>
      weight.dataId === this.#copied[i] ? [] : this.#copies(i, weight, "weights", "in")
    );
    copyTensors([
      ...changed,
      ...gradients.flatMap((gradient, i) => this.#copies(i, gradient, "gradients", "in")),
    ]);
    this.#dispatch(rate, loss);
    copyTensors(weights.flatMap((weight, i) => {
      if (sharesBuffer(weight)) replaceBuffer(weight);
      this.#copied[i] = weight.dataId;
      return this.#copies(i, weight, "weights", "out");
    }));
  }

  #dispatch(rate: number | LaunchValue, loss: TensorInfo | undefined): void {
    const { lanes, block, blocksEach, normLanes, chunks } = this.#tile;
    const { momentum, clipNorm } = this.#settings;
    if (clipNorm !== undefined) {
      this.#buffers.forEach(({ gradients }, buffer) => {
        const count = gradients.size / 4;
        run({
          shader: NORM,
          constants: { LANES: normLanes },
          inputs: [gradients],
          outputs: [{ inPlace: this.#partialSums }],
          uniforms: { count, chunk: Math.ceil(count / chunks), first: buffer * chunks },
          workgroups: [chunks],
        });
      });
    }
    for (const { weights, velocities, gradients, settings } of this.#buffers) {
      const blocks = settings.shape[0];
      run({
        shader: UPDATE,
        constants: { LANES: lanes, BLOCK: block, CLIP: clipNorm !== undefined, GUARD: loss !== undefined },
        inputs: [gradients, settings, this.#partialSums, loss ?? this.#partialSums],
        outputs: [
          { inPlace: weights },
          { inPlace: velocities },
          { inPlace: this.#norm },
          { inPlace: this.#halted },
        ],
        uniforms: {
          blocks,
          blocks_each: blocksEach,
          parts: this.#partialSums.size / 4,
          rate: rate instanceof LaunchValue ? rate : { f32: rate },
          momentum: { f32: momentum },
          clip_norm: { f32: clipNorm ?? 0 },
        },
        workgroups: foldWorkgroups(Math.ceil(blocks / blocksEach)),
      });
    }
  }

  /** The copies between the i-th tensor and its place in the buffers. */
  #copies(i: number, tensor: TensorInfo, kind: keyof Buffers, direction: "in" | "out"): TensorCopy[] {
    return this.#layout.tensors[i].map(({ buffer, offset, from, size }) => {
      const flat = this.#buffers[buffer][kind];
      const own = BYTES * from;
      const shared = BYTES * offset;
      return direction === "in"
        ? { from: tensor, fromOffset: own, to: flat, toOffset: shared, size: BYTES * size }
        : { from: flat, fromOffset: shared, to: tensor, toOffset: own, size: BYTES * size };
    });
  }

  /** The i-th velocity, a copy that the caller disposes. */
  velocity(i: number): tf.Tensor {
    const info = emptyTensor([...this.#parameters[i].shape]);
    copyTensors(this.#copies(i, info, "velocities", "out"));
    return tf.engine().makeTensorFromTensorInfo(info);
  }

  /**
   * Sets the i-th velocity.
   *
   * @throws {RangeError} if its shape is not the parameter's
   */
  setVelocity(i: number, values: tf.Tensor): void {
    this.#requireShape("velocity", values, i);
    copyTensors(this.#copies(i, values, "velocities", "in"));
  }

  #requireShapes(what: string, tensors: readonly TensorInfo[]): void {
    if (tensors.length !== this.#parameters.length) {
      throw new RangeError(
        `Cannot update by SGD: ${tensors.length} tensors were given; expected a ${what} for each of ` +
          `${this.#parameters.length} parameters`,
      );
    }
    tensors.forEach((tensor, i) => this.#requireShape(what, tensor, i));
  }

  #requireShape(what: string, { shape, dtype }: TensorInfo, i: number): void {
    const wanted = this.#parameters[i].shape;
    if (shape.join() !== wanted.join() || dtype !== "float32") {
      throw new RangeError(
        `Cannot update by SGD: ${what} ${i} is ${dtype} [${shape}]; expected float32 [${wanted}]`,
      );
    }
  }

  /** Frees the buffers; the weights stay. */
  dispose(): void {
    tf.dispose([this.#partialSums, this.#norm, this.#halted]);
    for (const buffers of this.#buffers) tf.dispose(Object.values(buffers));
  }
}

/** Gives a variable a buffer of its own, whose values are not set. */
function replaceBuffer(variable: tf.Variable): void {
  const fresh = tf.engine().makeTensorFromTensorInfo(emptyTensor([...variable.shape]));
  variable.assign(fresh);
  fresh.dispose();
}

function requireSettings(parameters: readonly SgdParameter[], { momentum, clipNorm }: SgdSettings): void {
  const refuse = (given: string, wanted: string): never => {
    throw new RangeError(`Cannot update by SGD: ${given}; expected ${wanted}`);
  };
  if (parameters.length === 0) refuse("there are no parameters", "at least one");
  if (!(momentum >= 0)) refuse(`momentum is ${momentum}`, "0 or more");
  if (clipNorm !== undefined && !(clipNorm > 0)) refuse(`clipNorm is ${clipNorm}`, "more than 0");
  parameters.forEach(({ shape }, i) => {
    if (sizeOf(shape) === 0) refuse(`parameter ${i} has shape [${shape}]`, "no empty dimension");
  });
}
