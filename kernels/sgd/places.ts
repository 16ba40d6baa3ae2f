/**
 * Tensors that have their places in one large buffer, where a single dispatch updates them all.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { backendInternals, withPlacer } from "../runtime/program.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { copyTensors } from "../runtime/tensors.ts";
import { type BufferPart, bytesOf, liesIn, moveIn, moveOut } from "../runtime/views.ts";

/** A part of a large tensor, in bytes. */
export interface Place {
  readonly whole: TensorInfo;
  readonly offset: number;
  readonly size: number;
}

/** The places of many tensors, and who was given each. */
export class Places {
  readonly #places: readonly Place[];
  /** where they are on the device */
  readonly #parts: readonly BufferPart[];
  readonly #tenants: (object | undefined)[];

  constructor(places: readonly Place[]) {
    const internals = backendInternals();
    this.#places = places;
    this.#parts = places.map(({ whole, offset, size }) => {
      internals.uploadToGPU(whole.dataId);
      return bytesOf(internals, whole, offset, size);
    });
    this.#tenants = places.map(() => undefined);
  }

  /** True if the tensor lies in the i-th place. */
  has(i: number, { dataId }: TensorInfo): boolean {
    return liesIn(backendInternals(), dataId, this.#parts[i]);
  }

  /** True if no tensor lies in the i-th place that anybody still has. */
  isFree(i: number): boolean {
    const dataId = this.#tenants[i];
    const internals = backendInternals();
    // What was disposed is in the map until the next submit.
    return dataId === undefined || !liesIn(internals, dataId, this.#parts[i]) ||
      internals.tensorMap.get(dataId).refCount === 0;
  }

  /** Bytes of the i-th place. */
  sizeOf(i: number): number {
    return this.#places[i].size;
  }

  /** Lets a new tensor, which has no buffer yet, lie in the i-th place, which is free. */
  give(i: number, { dataId }: TensorInfo): void {
    moveIn(backendInternals(), dataId, this.#parts[i]);
    this.#tenants[i] = dataId;
  }

  /** Whoever lies in the i-th place gets a buffer of its own; the values stay here too. */
  vacate(i: number): void {
    if (!this.isFree(i)) moveOut(backendInternals(), this.#tenants[i]!);
    this.#tenants[i] = undefined;
  }

  /** Copies a tensor's values to the i-th place. */
  fill(i: number, tensor: TensorInfo): void {
    this.vacate(i);
    const { whole, offset, size } = this.#places[i];
    copyTensors([{ from: tensor, fromOffset: 0, to: whole, toOffset: offset, size }]);
  }

  /** Copies the values in the i-th place to a tensor. */
  read(i: number, tensor: TensorInfo): void {
    const { whole, offset, size } = this.#places[i];
    copyTensors([{ from: whole, fromOffset: offset, to: tensor, toOffset: 0, size }]);
  }

  /** Gives everybody a buffer of its own. */
  release(): void {
    this.#places.forEach((_, i) => this.vacate(i));
  }
}

/**
 * The places of gradients, which are made there: a step makes its tensors in the same order each time, so the one that
 * was a parameter's gradient the last time gets that parameter's place when it is made. Where that is a mistake nothing
 * is lost: it is a tensor like any other there, and the real gradient is copied.
 */
export class GradientPlaces {
  readonly #places: Places;
  /** which gradient the n-th new tensor was, the last time */
  readonly #expected = new Map<number, number>();
  /** which new tensor of the last pass this is */
  #order = new WeakMap<object, number>();

  constructor(places: readonly Place[]) {
    this.#places = new Places(places);
  }

  /** Runs what makes the gradients. */
  make<T>(body: () => T): T {
    const order = new WeakMap<object, number>();
    let count = 0;
    this.#order = order;
    return withPlacer((tensor) => {
      const i = this.#expected.get(count);
      order.set(tensor.dataId, count++);
      if (i !== undefined && this.#fits(i, tensor) && this.#places.isFree(i)) this.#places.give(i, tensor);
    }, body);
  }

  #fits(i: number, { shape }: TensorInfo): boolean {
    return 4 * sizeOf(shape) === this.#places.sizeOf(i);
  }

  /** Copies the gradients that are not in their places, and remembers which tensors they all were. */
  settle(gradients: readonly TensorInfo[]): void {
    this.#expected.clear();
    gradients.forEach((gradient, i) => {
      const order = this.#order.get(gradient.dataId);
      if (order !== undefined) this.#expected.set(order, i);
      if (!this.#places.has(i, gradient)) this.#places.fill(i, gradient);
    });
  }

  /** Gives those that somebody still has buffers of their own. */
  release(): void {
    this.#places.release();
  }
}
