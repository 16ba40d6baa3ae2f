/**
 * tfjs's buffers: those that are given back serve the next tensor of the same size.
 *
 * In place of tfjs's BufferManager, which hands out the one that came back last. This one hands out the oldest that is
 * free, so that passes that begin alike take the same buffers, whatever was before them, and the bind groups of one
 * serve the next (bind_groups.ts). And it sets buffers apart for captured commands (capture.ts).
 *
 * @module
 */

/** Buffers that belong to captured commands: nobody else gets them until they are given up. */
export interface Arena {
  readonly free: FreeList;
  /** of no use again before the arena is given up */
  readonly parked: Free[];
}

interface Pooled {
  readonly size: number;
  readonly key: string;
  /** buffers that were made before it */
  readonly age: number;
  /** times that it was handed out */
  uses: number;
  arena?: Arena;
}

interface Free {
  readonly buffer: GPUBuffer;
  readonly pooled: Pooled;
}

/** By size and usage, the oldest last. */
type FreeList = Map<string, Free[]>;

function put(list: FreeList, free: Free): void {
  const { key, age } = free.pooled;
  let same = list.get(key);
  if (same === undefined) list.set(key, same = []);
  let place = same.length;
  while (place > 0 && same[place - 1].pooled.age < age) place--;
  same.splice(place, 0, free);
}

/** What tfjs's WebGPUBackend 4.22 asks of its BufferManager, and arenas. */
export class BufferPool {
  numBytesUsed = 0;
  numBytesAllocated = 0;
  readonly #device: GPUDevice;
  readonly #used = new Map<GPUBuffer, Pooled>();
  readonly #free: FreeList = new Map();
  #arena: Arena | undefined;
  #made = 0;
  #disposed = false;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** A buffer of so many bytes; a new one if none is free or `reuse` is false. Only a new one is mapped. */
  acquireBuffer(size: number, usage: number, mappedAtCreation = false, reuse = true): GPUBuffer {
    const key = `${size} ${usage}`;
    const free = reuse ? this.#arena?.free.get(key)?.pop() ?? this.#free.get(key)?.pop() : undefined;
    const buffer = free?.buffer ?? this.#device.createBuffer({ size, usage, mappedAtCreation });
    if (free === undefined) this.numBytesAllocated += size;
    const pooled = free?.pooled ?? { size, key, age: this.#made++, uses: 0 };
    pooled.uses++;
    pooled.arena = this.#arena;
    this.#used.set(buffer, pooled);
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
    const { arena } = pooled;
    const free = { buffer, pooled };
    if (arena === undefined) put(this.#free, free);
    // The host writes uniforms once, when they are captured: two dispatches cannot take turns.
    else if (arena === this.#arena && !(buffer.usage & GPUBufferUsage.UNIFORM)) put(arena.free, free);
    else arena.parked.push(free);
  }

  /** From now to `closeArena` buffers that are handed out belong to a new arena. */
  openArena(): void {
    this.#arena = { free: new Map(), parked: [] };
  }

  /** The arena that was opened last; it takes no buffer more. */
  closeArena(): Arena {
    const arena = this.#arena!;
    this.#arena = undefined;
    return arena;
  }

  /** Gives the arena's buffers to everybody, those in use once they are released. */
  giveUp(arena: Arena): void {
    for (const pooled of this.#used.values()) if (pooled.arena === arena) pooled.arena = undefined;
    for (const free of [...arena.parked, ...[...arena.free.values()].flat()]) {
      free.pooled.arena = undefined;
      if (!this.#disposed) put(this.#free, free);
    }
    arena.parked.length = 0;
    arena.free.clear();
  }

  /** True for a buffer in use that belongs to the open arena. */
  inArena(buffer: GPUBuffer): boolean {
    return this.#arena !== undefined && this.#used.get(buffer)?.arena === this.#arena;
  }

  /** Which use of the buffer this is; undefined if it is not in use. */
  useOf(buffer: GPUBuffer): number | undefined {
    return this.#used.get(buffer)?.uses;
  }

  getNumUsedBuffers(): number {
    return this.#used.size;
  }

  /** Without those of arenas. */
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
  (backend as unknown as { bufferManager: BufferPool }).bufferManager = new BufferPool(device);
  return backend;
}
