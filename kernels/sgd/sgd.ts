/**
 * Stochastic gradient descent with momentum, weight decay and clipping of the gradients' norm, over many tensors in
 * one dispatch (two with clipping).
 *
 * WebGPU binds few buffers to a dispatch and tfjs gives each tensor its own. So weights, velocities and gradients lie in
 * one large buffer each: a weight's tensor is a part of it from the first update on, and its gradient is made in its
 * place from the second step on (places.ts), so that nothing is copied.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import {
  backendInternals,
  currentTraits,
  foldWorkgroups,
  run,
  submit,
  valuesChange,
} from "../runtime/program.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { emptyTensor, sharesBuffer } from "../runtime/tensors.ts";
import { mostOperandBytes } from "../runtime/textures.ts";
import { LaunchValue } from "../runtime/uniforms.ts";
import { type Layout, layOut } from "./layout.ts";
import { GradientPlaces, Places } from "./places.ts";
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
  /** most values of a buffer; those of the largest operand by default */
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
  readonly #weights: Places;
  readonly #velocities: Places;
  readonly #gradients: GradientPlaces;

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
    this.#layout = layOutParameters(parameters, tile);
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
    this.#weights = new Places(this.#placesIn("weights"));
    this.#velocities = new Places(this.#placesIn("velocities"));
    this.#gradients = new GradientPlaces(this.#placesIn("gradients"));
  }

  #placesIn(kind: "weights" | "velocities" | "gradients") {
    return this.#layout.places.map(({ buffer, offset }, i) => ({
      whole: this.#buffers[buffer][kind],
      offset: BYTES * offset,
      size: BYTES * sizeOf(this.#parameters[i].shape),
    }));
  }

  #settingsOf(buffer: number, length: number): tf.Tensor2D {
    const block = 4 * this.#tile.block;
    const values = new Float32Array(2 * length / block);
    this.#layout.places.forEach((place, i) => {
      if (place.buffer !== buffer) return;
      const { rateFactor = 1, weightDecay, shape } = this.#parameters[i];
      for (let at = place.offset / block; at < (place.offset + sizeOf(shape)) / block; at++) {
        values.set([rateFactor, weightDecay], 2 * at);
      }
    });
    return tf.tensor2d(values, [length / block, 2]);
  }

  /** The norm of all gradients of the last update, before clipping; undefined if they are not clipped. */
  get norm(): tf.Scalar | undefined {
    return this.#settings.clipNorm === undefined ? undefined : this.#norm;
  }

  /** True if the weights are where the next update wants them, and nobody else has their buffers. */
  holds(weights: readonly tf.Variable[]): boolean {
    return weights.every((weight, i) => this.#weights.has(i, weight) && !sharesBuffer(weight));
  }

  /** Runs what makes the gradients of the next update, so that they are made where it reads them. */
  makeGradients<T>(body: () => T): T {
    return this.#gradients.make(body);
  }

  /**
   * v <- momentum v + (gradient + weightDecay w); w <- w - rate v. Nothing is read back.
   *
   * With a `loss`, the first one that is NaN or infinite ends all updates: the weights stay as they were before it,
   * however late the host reads the loss.
   *
   * @param weights in the constructor's order; updated in place, once they are here: a weight that comes from elsewhere, or
   * whose buffer another tensor has too, gets other data
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
    weights.forEach((weight, i) => this.#takeIn(weight, i));
    this.#gradients.settle(gradients);
    this.#dispatch(rate, loss);
    weights.forEach(valuesChange);
  }

  #takeIn(weight: tf.Variable, i: number): void {
    const here = this.#weights.has(i, weight);
    if (here && !sharesBuffer(weight)) return;
    if (here) this.#weights.vacate(i); // who has it too keeps the values of now
    else this.#weights.fill(i, weight);
    const info = emptyTensor([...weight.shape]);
    this.#weights.give(i, info);
    const tensor = tf.engine().makeTensorFromTensorInfo(info);
    weight.assign(tensor);
    tensor.dispose();
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

  /** The i-th velocity, a copy that the caller disposes. */
  velocity(i: number): tf.Tensor {
    const info = emptyTensor([...this.#parameters[i].shape]);
    this.#velocities.read(i, info);
    return tf.engine().makeTensorFromTensorInfo(info);
  }

  /**
   * Sets the i-th velocity.
   *
   * @throws {RangeError} if its shape is not the parameter's
   */
  setVelocity(i: number, values: tf.Tensor): void {
    this.#requireShape("velocity", values, i);
    this.#velocities.fill(i, values);
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

  /** Frees the buffers; the weights stay, in buffers of their own. */
  dispose(): void {
    this.#weights.release();
    this.#gradients.release();
    submit(); // commands that use a part do not hold the whole
    tf.dispose([this.#partialSums, this.#norm, this.#halted]);
    for (const buffers of this.#buffers) tf.dispose(Object.values(buffers));
  }
}

function layOutParameters(parameters: readonly SgdParameter[], tile: SgdTile): Layout {
  const { device } = backendInternals();
  const block = Math.max(4 * tile.block, device.limits.minStorageBufferOffsetAlignment / BYTES);
  const capacity = block * Math.floor((tile.capacity ?? mostOperandBytes(device) / BYTES) / block);
  const sizes = parameters.map(({ shape }) => sizeOf(shape));
  sizes.forEach((size, i) => {
    if (size <= capacity) return;
    throw new RangeError(
      `Cannot update by SGD: parameter ${i} takes ${BYTES * size} bytes; expected at most the ${
        BYTES * capacity
      } bytes of an operand on this adapter`,
    );
  });
  return layOut(sizes, block, capacity);
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
