/**
 * tfjs's buffers: those that are given back serve the next tensor of the same size.
 *
 * In place of tfjs's BufferManager, which hands out the one that came back last. This one hands out the oldest that is
 * free, so that training steps that begin alike take the same buffers, whatever was before them, and the bind groups
 * of one step serve the next (bind_groups.ts).
 *
 * @module
 */
import type { BackendInternals } from "./program.ts";

interface Pooled {
  readonly size: number;
  readonly key: string;
  /** buffers that were made before it */
  readonly age: number;
}

/** What tfjs's WebGPUBackend 4.22 asks of its BufferManager. */
export class BufferPool {
  numBytesUsed = 0;
  numBytesAllocated = 0;
  readonly #device: GPUDevice;
  readonly #used = new Map<GPUBuffer, Pooled>();
  /** by size and usage, the oldest last */
  readonly #free = new Map<string, { buffer: GPUBuffer; pooled: Pooled }[]>();
  #made = 0;
  #disposed = false;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** A buffer of so many bytes; a new one if none is free or `reuse` is false. Only a new one is mapped. */
  acquireBuffer(size: number, usage: number, mappedAtCreation = false, reuse = true): GPUBuffer {
    const key = `${size} ${usage}`;
    const free = reuse ? this.#free.get(key)?.pop() : undefined;
    const buffer = free?.buffer ?? this.#device.createBuffer({ size, usage, mappedAtCreation });
    if (free === undefined) this.numBytesAllocated += size;
    this.#used.set(buffer, free?.pooled ?? { size, key, age: this.#made++ });
    this.numBytesUsed += size;
    return buffer;
  }

  /**
   * Takes a buffer back, and destroys it if it is not to serve again.
   *
   * @throws {Error} for a buffer that is not in use
   */
  releaseBuffer(buffer: GPUBuffer, reuse = true): void {
    if (this.#disposed) return; // tensors may outlive their backend
    const pooled = this.#used.get(buffer);
    if (pooled === undefined) throw new Error("Cannot give a buffer back: it is not in use");
    this.#used.delete(buffer);
    this.numBytesUsed -= pooled.size;
    if (!reuse) {
      buffer.destroy();
      this.numBytesAllocated -= pooled.size;
      return;
    }
    let free = this.#free.get(pooled.key);
    if (free === undefined) this.#free.set(pooled.key, free = []);
    let place = free.length;
    while (place > 0 && free[place - 1].pooled.age < pooled.age) place--;
    free.splice(place, 0, { buffer, pooled });
  }

  getNumUsedBuffers(): number {
    return this.#used.size;
  }

  getNumFreeBuffers(): number {
    return [...this.#free.values()].reduce((sum, { length }) => sum + length, 0);
  }

  dispose(): void {
    this.#disposed = true;
    for (const buffer of this.#used.keys()) buffer.destroy();
    for (const free of this.#free.values()) free.forEach(({ buffer }) => buffer.destroy());
    this.#used.clear();
    this.#free.clear();
    this.numBytesUsed = 0;
    this.numBytesAllocated = 0;
  }
}

/** Gives a new backend this pool in place of its BufferManager. */
export function withBufferPool<T extends object>(backend: T, device: GPUDevice): T {
  (backend as unknown as { bufferManager: BackendInternals["bufferManager"] }).bufferManager = new BufferPool(
    device,
  );
  return backend;
}
