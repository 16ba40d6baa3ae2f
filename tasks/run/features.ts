/**
 * The frozen backbone's features of every kept frame, computed once and not once per window (a frame is in up to
 * nine windows) and kept on disk for the next network or run. Where they fit they are read into memory; 2.6 million
 * frames of 2048 floats take 21 GB.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { reasonOf } from "../../data/aff_wild2/files.ts";
import { type Dataset, imagePath } from "../../data/aff_wild2/types.ts";
import type { BadImages } from "../../data/bad_images.ts";
import { ImageError } from "../../data/images.ts";
import { isBackboneParameter, type TemporalNetwork } from "../../models/networks.ts";
import type { ResNet50 } from "../../models/resnet50.ts";
import { computedBy } from "./computed_by.ts";
import { writeTextAtomic } from "./files.ts";
import { hashTensors } from "./fingerprint.ts";
import { type FrameOptions, frameSamples, overFrames } from "./frames.ts";
import { createTemporary } from "./lock.ts";

/** Features up to this size are kept in memory. */
const MEMORY_BYTES = 1 << 30;

/** [frames, D] features in the order of the dataset's kept frames. */
export interface FeatureStore {
  /** D */
  readonly width: number;
  /** rows without features, because their image is left out, with the reason; ascending */
  readonly bad: ReadonlyMap<number, string>;
  /** The features of the given rows: [rows, D]. */
  gather(rows: ArrayLike<number>): Promise<Float32Array>;
  /** Closes the file, if there is one. */
  close(): void;
}

class MemoryStore implements FeatureStore {
  readonly width: number;
  readonly bad: ReadonlyMap<number, string>;
  readonly #values: Float32Array;

  constructor(values: Float32Array, width: number, bad: ReadonlyMap<number, string>) {
    this.width = width;
    this.bad = bad;
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
  readonly bad: ReadonlyMap<number, string>;
  readonly #path: string;
  readonly #file: Deno.FsFile;

  constructor(path: string, width: number, bad: ReadonlyMap<number, string>) {
    this.width = width;
    this.bad = bad;
    this.#path = path;
    this.#file = Deno.openSync(path, { read: true });
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
 * Names what features depend on: the backbone's weights and graph, what computes, the input convention and size, and the
 * images, by name, size and time of change.
 */
async function featureKey(
  network: TemporalNetwork,
  dataset: Dataset,
  { size, convention, flip = false, badImages }: Omit<FrameOptions, "batchSize">,
): Promise<string> {
  const tensors = await network.parameters.toHost();
  const weights = new Map([...tensors].filter(([name]) => isBackboneParameter(name)));
  const hash = createHash("sha256").update(
    `${hashTensors(weights)} ${network.architecture.graph ?? "caffe"} ${await computedBy()} ` +
      `${JSON.stringify(convention)} ${size} ${flip}`,
  );
  for (const track of dataset.tracks) {
    for (let i = 0; i < track.frames.length; i++) {
      const path = imagePath(track, i);
      hash.update(`${path} ${stateOf(path, badImages)}`);
    }
  }
  return hash.digest("hex").slice(0, 16);
}

/** An image's size and time of change. */
function stateOf(path: string, badImages: BadImages | undefined): string {
  try {
    const { size, mtime } = Deno.statSync(path);
    return `${size} ${mtime?.getTime()}`;
  } catch (error) {
    const unusable = new ImageError("read", path, reasonOf(error, path));
    if (badImages === undefined) throw unusable;
    badImages.add(unusable);
    return "unusable";
  }
}

/** The paths of all kept frames. */
function pathsOf(dataset: Dataset): (row: number) => string {
  const { index } = frameSamples(dataset);
  return (row) => {
    const { track, frames: [i] } = index.get(row);
    return imagePath(track, i);
  };
}

/** Rows that were left out, with the reason that is known of their images. */
function withReasons(rows: readonly number[], dataset: Dataset, badImages: BadImages | undefined) {
  const reasons = new Map(badImages?.list().map(({ path, reason }) => [path, reason]));
  const path = pathsOf(dataset);
  return new Map(rows.map((row) => [row, reasons.get(path(row))!]));
}

/**
 * The features of every kept frame by the backbone in evaluation mode: from the cache if it has them, else computed
 * and put there. A file in the cache is whole: it is written under a temporary name of its own; beside it is the list of the rows
 * whose image was left out, if there are any.
 *
 * @param folder the cache
 * @throws {ImageError} if an image cannot be decoded and is not left out; {DOMException} if the signal aborts
 */
export async function openFeatures(
  network: TemporalNetwork,
  dataset: Dataset,
  folder: string,
  options: FrameOptions,
): Promise<FeatureStore> {
  const rows = frameSamples(dataset).count;
  const width = network.backbone.featureWidth;
  const path = `${folder}/${await featureKey(network, dataset, options)}.f32`;
  let bad = await sizeOf(path) === rows * width * 4 ? await readBad(path, dataset, options) : undefined;
  if (bad === undefined) {
    await Deno.mkdir(folder, { recursive: true });
    bad = await writeFeatures(network, dataset, path, options);
  }
  if (rows * width * 4 > MEMORY_BYTES) return new FileStore(path, width, bad);
  return new MemoryStore(new Float32Array((await Deno.readFile(path)).buffer), width, bad);
}

/** Computes features into a file. */
async function writeFeatures(
  { backbone }: TemporalNetwork,
  dataset: Dataset,
  path: string,
  options: FrameOptions,
): Promise<ReadonlyMap<number, string>> {
  const { featureWidth: width } = backbone;
  const { file, temporary } = createTemporary(path);
  const put = (first: number, rows: Float32Array) => {
    file.seekSync(first * width * 4, Deno.SeekMode.Start);
    const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
    for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
  };
  using _held = backbone.holdWeights();
  const compute = (images: Parameters<ResNet50["features"]>[0]) =>
    backbone.features(images, { training: false });
  try {
    const rows = await overFrames(dataset, options, compute, put);
    const bad = withReasons(rows, dataset, options.badImages);
    await file.sync();
    await writeTextAtomic(badPath(path), JSON.stringify([...bad]));
    await Deno.rename(temporary, path);
    return bad;
  } catch (error) {
    await Deno.remove(temporary).catch(() => {}); // the first error is the one to report
    throw error;
  } finally {
    file.close();
  }
}

function badPath(path: string): string {
  return path.replace(/\.f32$/, ".bad.json");
}

/** The rows without features in a file of the cache; undefined if it is to be made again. */
async function readBad(
  path: string,
  dataset: Dataset,
  { badImages }: FrameOptions,
): Promise<ReadonlyMap<number, string> | undefined> {
  if (await sizeOf(badPath(path)) === undefined) return undefined;
  const bad = new Map<number, string>(JSON.parse(await Deno.readTextFile(badPath(path))));
  const imageOf = pathsOf(dataset);
  for (const [row, reason] of bad) {
    const unusable = new ImageError("read", imageOf(row), reason);
    if (badImages === undefined) throw unusable;
    badImages.add(unusable);
  }
  const { count } = frameSamples(dataset);
  for (let row = 0; row < count && badImages !== undefined && badImages.count > 0; row++) {
    if (!bad.has(row) && badImages.has(imageOf(row))) return undefined;
  }
  return bad;
}

/** The features of every kept frame, in memory; for a backbone that is about to change. */
export async function computeFeatures(
  { backbone }: TemporalNetwork,
  dataset: Dataset,
  options: FrameOptions,
): Promise<FeatureStore> {
  const width = backbone.featureWidth;
  const values = new Float32Array(frameSamples(dataset).count * width);
  using _held = backbone.holdWeights();
  const compute = (images: Parameters<ResNet50["features"]>[0]) =>
    backbone.features(images, { training: false });
  const rows = await overFrames(
    dataset,
    options,
    compute,
    (first, block) => values.set(block, first * width),
  );
  return new MemoryStore(values, width, withReasons(rows, dataset, options.badImages));
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
