/**
 * Turns samples into batches of normalised images. The next batches are made while the device works, by workers or by
 * the main thread; the order, every augmentation and every decision about a bad image depend on the seed and the files
 * alone, whoever makes them and however far ahead.
 *
 * @module
 */
import { imagePath, type Track, UNLABELLED } from "./aff_wild2/types.ts";
import { type CropRanges, drawCrop } from "./augment.ts";
import type { BadImages } from "./bad_images.ts";
import { allDone, type RowFault, type RowImage } from "./image_rows.ts";
import { ImageWorkers } from "./image_workers.ts";
import { ImageError, type RgbImage } from "./images.ts";
import type { InputConvention } from "./input_convention.ts";
import { PREFETCH_BYTES } from "./prefetch.ts";
import { RandomStream } from "./random.ts";

/** A frame (T = 1) or a window of frames. */
export interface Sample {
  readonly track: Track;
  /** [T] indices into `track.frames` */
  readonly frames: Int32Array;
  /** [T * labelWidth], -1 = ignored */
  readonly labels: Int32Array;
}

/** Samples that are made when they are asked for. */
export interface SampleSource {
  readonly count: number;
  get(i: number): Sample;
}

/** A batch on the host. */
export interface Batch {
  /** B, samples in the batch */
  readonly count: number;
  /** [B * T, size, size, 3], normalised */
  readonly images: Float32Array;
  /** [B * T * labelWidth] */
  readonly labels: Int32Array;
  /** [B] numbers of the samples */
  readonly indices: Int32Array;
  /** rows of [B * T] whose image cannot be used: pixels 0, labels -1; ascending */
  readonly bad: readonly number[];
}

/** How batches are made. */
export interface LoaderOptions {
  readonly batchSize: number;
  /** side of the square images in pixels */
  readonly size: number;
  readonly convention: InputConvention;
  /** undefined: images are used as they are */
  readonly augmentation?: CropRanges;
  readonly seed: number;
  readonly epoch: number;
  /** who makes the images; undefined: the main thread */
  readonly workers?: ImageWorkers;
  /** batches that are made ahead at most; 4 by default, or one more than there are workers */
  readonly prefetch?: number;
  /** bytes that those may take; one batch is always made ahead, whatever it takes; 512 MiB by default */
  readonly prefetchBytes?: number;
  readonly cache?: ImageCache;
  /** decides about images that cannot be used; undefined: each is an error */
  readonly badImages?: BadImages;
  readonly signal?: AbortSignal;
}

const MAIN_THREAD = new ImageWorkers(0);

/** Keeps decoded images until it is full; what came first stays, so a set that fits is decoded once. */
export class ImageCache {
  readonly #images = new Map<string, RgbImage>();
  #bytesLeft: number;
  #full = false;

  /** @param bytes that the pixels may take */
  constructor(bytes: number) {
    this.#bytesLeft = bytes;
  }

  /** Whether an image did not fit any more. */
  get full(): boolean {
    return this.#full;
  }

  /** The decoded image of a file, if it is kept. */
  get(path: string): RgbImage | undefined {
    return this.#images.get(path);
  }

  /** Keeps an image if there is room. */
  put(path: string, image: RgbImage): void {
    if (this.#images.has(path)) return;
    if (image.pixels.length > this.#bytesLeft) {
      this.#full = true;
      return;
    }
    this.#images.set(path, image);
    this.#bytesLeft -= image.pixels.length;
  }
}

/** The numbers 0..count-1 in an epoch's random order. */
export function epochOrder(count: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  return new RandomStream(seed, "order", epoch).shuffle(order);
}

/**
 * Yields the samples of `order` in batches, the last one shorter if need be. Nothing is under way any more once it has
 * ended, also by an error, the signal, or a `break` of the loop over it.
 *
 * @throws {ImageError} if an image is missing or unusable and `badImages` does not leave it out; its path is named
 */
export async function* loadBatches(
  source: SampleSource,
  order: Int32Array,
  options: LoaderOptions,
): AsyncGenerator<Batch, void, void> {
  const { batchSize, signal, badImages } = options;
  const depth = order.length === 0 ? 0 : prefetchDepth(source.get(order[0]), options);
  const over = new AbortController();
  const ahead: Promise<MadeBatch>[] = [];
  let next = 0;
  const fill = () => {
    while (ahead.length <= depth && next < order.length && !signal?.aborted) {
      const indices = order.slice(next, next + batchSize);
      const batch = makeBatch(source, indices, options, depth, over.signal);
      batch.catch(() => {}); // reported when its turn comes
      ahead.push(batch);
      next += batchSize;
    }
  };
  try {
    for (fill(); ahead.length > 0; fill()) {
      const made = await ahead.shift()!;
      yield settle(made, badImages);
      if (signal?.aborted) return;
    }
  } finally {
    over.abort();
    await Promise.allSettled(ahead);
  }
}

/** How many batches are made ahead. */
function prefetchDepth(
  { frames }: Sample,
  { batchSize, size, workers, prefetch, prefetchBytes = PREFETCH_BYTES }: LoaderOptions,
): number {
  const bytes = 4 * batchSize * frames.length * size * size * 3;
  const wanted = prefetch ?? Math.max(4, 1 + (workers?.count ?? 0));
  return Math.min(wanted, Math.max(1, Math.floor(prefetchBytes / bytes)));
}

/** A batch before anything is decided about its bad images. */
interface MadeBatch extends Batch {
  /** all images of the batch */
  readonly shown: readonly RowImage[];
  readonly faults: readonly RowFault[];
}

async function makeBatch(
  source: SampleSource,
  indices: Int32Array,
  options: LoaderOptions,
  depth: number,
  signal: AbortSignal,
): Promise<MadeBatch> {
  const { workers = MAIN_THREAD } = options;
  const samples = Array.from(indices, (i) => source.get(i));
  const labelCount = samples[0].labels.length;
  const labels = new Int32Array(samples.length * labelCount);
  samples.forEach((sample, b) => labels.set(sample.labels, b * labelCount));
  // Where few batches are made ahead, several workers share one, so that none has nothing to do.
  const parts = Math.ceil(workers.count / Math.max(1, depth)) || 1;
  const share = Math.ceil(samples.length / parts);
  const made: Promise<MadePart>[] = [];
  for (let b = 0; b < samples.length; b += share) {
    made.push(makePart(samples.slice(b, b + share), options, signal));
  }
  const { images, shown, faults } = joinParts(await allDone(made));
  return { count: samples.length, images, labels, indices, bad: [], shown, faults };
}

/** Samples of a batch as they are made. */
interface MadePart {
  readonly images: Float32Array;
  /** in the rows of the part */
  readonly shown: readonly RowImage[];
  readonly faults: readonly RowFault[];
}

async function makePart(
  samples: readonly Sample[],
  options: LoaderOptions,
  signal: AbortSignal,
): Promise<MadePart> {
  const { size, convention, cache, badImages, workers = MAIN_THREAD } = options;
  const frames = samples[0].frames.length;
  const shown = samples.flatMap((sample, b) => imagesOf(sample, b * frames, options));
  const { rows, faults, decoded } = await workers.make({
    count: samples.length * frames,
    size,
    convention,
    images: shown.filter(({ path }) => !badImages?.has(path)),
    keep: cache === undefined || cache.full ? "none" : workers.count === 0 ? "own" : "shared",
  }, signal);
  decoded.forEach(({ path, image }) => cache!.put(path, image));
  return { images: rows, shown, faults };
}

function joinParts(parts: readonly MadePart[]): MadePart {
  if (parts.length === 1) return parts[0];
  const images = new Float32Array(parts.reduce((sum, part) => sum + part.images.length, 0));
  const shown: RowImage[] = [];
  const faults: RowFault[] = [];
  let at = 0;
  let row = 0;
  for (const part of parts) {
    images.set(part.images, at);
    const moved = <T extends RowImage | RowFault>(item: T): T => ({
      ...item,
      rows: item.rows.map((other) => row + other),
    });
    shown.push(...part.shown.map(moved));
    faults.push(...part.faults.map(moved));
    at += part.images.length;
    row += part.shown.reduce((sum, { rows }) => sum + rows.length, 0);
  }
  return { images, shown, faults };
}

/** The distinct frames of a sample, all under the same crop, in the rows from `first` on. */
function imagesOf({ track, frames }: Sample, first: number, options: LoaderOptions): RowImage[] {
  const { augmentation, seed, epoch, cache } = options;
  const stream = () => new RandomStream(seed, "augment", epoch, track.name, track.frames[frames[0]]);
  const crop = augmentation && drawCrop(stream(), augmentation);
  const rows = new Map<number, number[]>();
  frames.forEach((frame, t) => {
    const known = rows.get(frame);
    if (known === undefined) rows.set(frame, [first + t]);
    else known.push(first + t);
  });
  return [...rows].map(([frame, rows]) => {
    const path = imagePath(track, frame);
    return { path, rows, crop, decoded: cache?.get(path) };
  });
}

/**
 * Decides about a batch's bad images, when its turn has come and not when it is made: so the list of them, the first
 * error, and what is left out do not depend on how far ahead batches are made.
 */
function settle({ shown, faults, ...batch }: MadeBatch, badImages: BadImages | undefined): Batch {
  const { images, labels } = batch;
  for (const fault of faults.toSorted((a, b) => a.rows[0] - b.rows[0])) {
    if (badImages?.has(fault.path)) continue;
    const error = new ImageError(fault.action, fault.path, fault.reason, fault.wanted);
    if (badImages === undefined) throw error;
    badImages.add(error);
  }
  if (badImages === undefined || badImages.count === 0) return batch;
  const bad = shown.filter(({ path }) => badImages.has(path)).flatMap(({ rows }) => rows).sort((a, b) =>
    a - b
  );
  const rows = shown.reduce((sum, item) => sum + item.rows.length, 0);
  const [length, labelWidth] = [images.length / rows, labels.length / rows];
  for (const row of bad) {
    images.fill(0, row * length, (row + 1) * length);
    labels.fill(UNLABELLED, row * labelWidth, (row + 1) * labelWidth);
  }
  return { ...batch, bad };
}
