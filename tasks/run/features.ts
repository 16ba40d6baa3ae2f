/**
 * The frozen backbone's features of every kept frame, computed once and not once per window (a frame is in up to
 * nine windows) and kept on disk for the next network or run. Where they fit they are read into memory; 2.6 million
 * frames of 2048 floats take 21 GB.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { type Dataset, imagePath } from "../../data/aff_wild2/types.ts";
import { isBackboneParameter, type TemporalNetwork } from "../../models/networks.ts";
import type { ResNet50 } from "../../models/resnet50.ts";
import { hashTensors } from "./fingerprint.ts";
import { type FrameOptions, frameSamples, overFrames } from "./frames.ts";

/** Features up to this size are kept in memory. */
const MEMORY_BYTES = 1 << 30;

/** [frames, D] features in the order of the dataset's kept frames. */
export interface FeatureStore {
  /** D */
  readonly width: number;
  /** The features of the given rows: [rows, D]. */
  gather(rows: ArrayLike<number>): Promise<Float32Array>;
  /** Closes the file, if there is one. */
  close(): void;
}

class MemoryStore implements FeatureStore {
  readonly width: number;
  readonly #values: Float32Array;

  constructor(values: Float32Array, width: number) {
    this.width = width;
    this.#values = values;
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

  constructor(path: string, width: number, create: boolean) {
    this.width = width;
    this.#path = path;
    this.#file = Deno.openSync(path, create ? { write: true, create, truncate: true } : { read: true });
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
  }
}

/**
 * Names what features depend on: the backbone's weights, the input convention and size, and the images, by name,
 * size and time of change.
 */
async function featureKey(
  network: TemporalNetwork,
  dataset: Dataset,
  { size, convention, flip = false }: Pick<FrameOptions, "size" | "convention" | "flip">,
): Promise<string> {
  const tensors = await network.parameters.toHost();
  const weights = new Map([...tensors].filter(([name]) => isBackboneParameter(name)));
  const hash = createHash("sha256").update(
    `${hashTensors(weights)} ${JSON.stringify(convention)} ${size} ${flip}`,
  );
  for (const track of dataset.tracks) {
    for (let i = 0; i < track.frames.length; i++) {
      const path = imagePath(track, i);
      const { size: bytes, mtime } = Deno.statSync(path);
      hash.update(`${path} ${bytes} ${mtime?.getTime()}`);
    }
  }
  return hash.digest("hex").slice(0, 16);
}

/**
 * The features of every kept frame by the backbone in evaluation mode: from the cache if it has them, else computed
 * and put there. A file in the cache is whole: it is written under a temporary name.
 *
 * @param folder the cache
 * @throws {ImageError} if an image cannot be decoded; {DOMException} if the signal aborts
 */
export async function openFeatures(
  network: TemporalNetwork,
  dataset: Dataset,
  folder: string,
  options: FrameOptions,
): Promise<FeatureStore> {
  const { backbone } = network;
  const rows = frameSamples(dataset).count;
  const width = backbone.featureWidth;
  const path = `${folder}/${await featureKey(network, dataset, options)}.f32`;
  if (await sizeOf(path) !== rows * width * 4) {
    await Deno.mkdir(folder, { recursive: true });
    const temporary = `${path}.tmp`;
    const file = new FileStore(temporary, width, true);
    try {
      const compute = (images: Parameters<ResNet50["features"]>[0]) =>
        backbone.features(images, { training: false });
      await overFrames(dataset, options, compute, (first, values) => file.put(first, values));
    } catch (error) {
      file.close();
      await Deno.remove(temporary);
      throw error;
    }
    file.close();
    await Deno.rename(temporary, path);
  }
  if (rows * width * 4 > MEMORY_BYTES) return new FileStore(path, width, false);
  return new MemoryStore(new Float32Array((await Deno.readFile(path)).buffer), width);
}

/** The features of every kept frame, in memory; for a backbone that is about to change. */
export async function computeFeatures(
  { backbone }: TemporalNetwork,
  dataset: Dataset,
  options: FrameOptions,
): Promise<FeatureStore> {
  const width = backbone.featureWidth;
  const values = new Float32Array(frameSamples(dataset).count * width);
  const compute = (images: Parameters<ResNet50["features"]>[0]) =>
    backbone.features(images, { training: false });
  await overFrames(dataset, options, compute, (first, rows) => values.set(rows, first * width));
  return new MemoryStore(values, width);
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
