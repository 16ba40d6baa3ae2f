/**
 * The frozen backbone's features of every kept frame, computed once and not once per window (a frame is in up to
 * nine windows). They stay in memory where they fit and go to a file where they don't: 2.6 million frames of
 * 2048 floats take 21 GB.
 *
 * @module
 */
import type { Dataset } from "../../data/aff_wild2/types.ts";
import type { ResNet50 } from "../../models/resnet50.ts";
import { type FrameOptions, frameSamples, overFrames } from "./frames.ts";

/** Features up to this size are kept in memory. */
const MEMORY_BYTES = 1 << 30;

/** [frames, D] features in the order of the dataset's kept frames. */
export interface FeatureStore {
  /** D */
  readonly width: number;
  /** The features of the given rows: [rows, D]. */
  gather(rows: ArrayLike<number>): Promise<Float32Array>;
  /** Frees the memory or deletes the file. */
  close(): void;
}

class MemoryStore implements FeatureStore {
  readonly width: number;
  readonly #values: Float32Array;

  constructor(rows: number, width: number) {
    this.width = width;
    this.#values = new Float32Array(rows * width);
  }

  put(first: number, rows: Float32Array): void {
    this.#values.set(rows, first * this.width);
  }

  gather(rows: ArrayLike<number>): Promise<Float32Array> {
    const { width } = this;
    const gathered = new Float32Array(rows.length * width);
    for (let i = 0; i < rows.length; i++) {
      gathered.set(this.#values.subarray(rows[i] * width, (rows[i] + 1) * width), i * width);
    }
    return Promise.resolve(gathered);
  }

  close(): void {}
}

class FileStore implements FeatureStore {
  readonly width: number;
  readonly #path: string;
  readonly #file: Deno.FsFile;

  constructor(path: string, width: number) {
    this.width = width;
    this.#path = path;
    this.#file = Deno.openSync(path, { read: true, write: true, create: true, truncate: true });
  }

  put(first: number, rows: Float32Array): void {
    this.#file.seekSync(first * this.width * 4, Deno.SeekMode.Start);
    const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
    for (let written = 0; written < bytes.length;) written += this.#file.writeSync(bytes.subarray(written));
  }

  gather(rows: ArrayLike<number>): Promise<Float32Array> {
    const { width } = this;
    const gathered = new Float32Array(rows.length * width);
    const bytes = new Uint8Array(gathered.buffer);
    for (let i = 0; i < rows.length;) {
      let run = 1; // neighbouring rows are one read
      while (i + run < rows.length && rows[i + run] === rows[i] + run) run++;
      this.#file.seekSync(rows[i] * width * 4, Deno.SeekMode.Start);
      const end = (i + run) * width * 4;
      for (let at = i * width * 4; at < end;) {
        const count = this.#file.readSync(bytes.subarray(at, end));
        if (count === null) {
          throw new Error(`Cannot read features: ${this.#path} ends before row ${rows[i] + run}`);
        }
        at += count;
      }
      i += run;
    }
    return Promise.resolve(gathered);
  }

  close(): void {
    this.#file.close();
    Deno.removeSync(this.#path);
  }
}

/**
 * Runs the backbone in evaluation mode over every kept frame.
 *
 * @param spill the file to use where memory does not suffice
 * @throws {ImageError} if an image cannot be decoded; {DOMException} if the signal aborts
 */
export async function computeFeatures(
  backbone: ResNet50,
  dataset: Dataset,
  spill: string,
  options: FrameOptions,
): Promise<FeatureStore> {
  const rows = frameSamples(dataset).count;
  const width = backbone.featureWidth;
  const store = rows * width * 4 <= MEMORY_BYTES ? new MemoryStore(rows, width) : new FileStore(spill, width);
  try {
    const compute = (images: Parameters<ResNet50["features"]>[0]) =>
      backbone.features(images, { training: false });
    await overFrames(dataset, options, compute, (first, values) => store.put(first, values));
  } catch (error) {
    store.close();
    throw error;
  }
  return store;
}
