/**
 * Turns samples into batches of normalised images. The next batches are decoded while the device works; the order
 * and every augmentation depend on the seed alone.
 *
 * @module
 */
import { imagePath, type Track } from "./aff_wild2/types.ts";
import { type CropRanges, drawCrop } from "./augment.ts";
import { readImage, resizeImage, type RgbImage } from "./images.ts";
import { type InputConvention, normalize } from "./input_convention.ts";
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
  /** batches decoded ahead; 2 by default */
  readonly prefetch?: number;
  readonly cache?: ImageCache;
  readonly signal?: AbortSignal;
}

/** Keeps decoded images until it is full; what came first stays, so a set that fits is decoded once. */
export class ImageCache {
  readonly #images = new Map<string, RgbImage>();
  #bytesLeft: number;

  /** @param bytes that the pixels may take */
  constructor(bytes: number) {
    this.#bytesLeft = bytes;
  }

  /**
   * The decoded image of a file.
   *
   * @throws {ImageError} if it is missing or unusable
   */
  async read(path: string): Promise<RgbImage> {
    const cached = this.#images.get(path);
    if (cached !== undefined) return cached;
    const image = await readImage(path);
    if (image.pixels.length <= this.#bytesLeft && !this.#images.has(path)) {
      this.#images.set(path, image);
      this.#bytesLeft -= image.pixels.length;
    }
    return image;
  }
}

/** The numbers 0..count-1 in an epoch's random order. */
export function epochOrder(count: number, seed: number, epoch: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  return new RandomStream(seed, "order", epoch).shuffle(order);
}

/**
 * Yields the samples of `order` in batches, the last one shorter if need be.
 *
 * @throws {ImageError} if an image is missing or unusable; its path is named
 */
export async function* loadBatches(
  source: SampleSource,
  order: Int32Array,
  options: LoaderOptions,
): AsyncGenerator<Batch, void, void> {
  const { batchSize, prefetch = 2, signal } = options;
  const ahead: Promise<Batch>[] = [];
  let next = 0;
  const fill = () => {
    while (ahead.length <= prefetch && next < order.length && !signal?.aborted) {
      const batch = makeBatch(source, order.slice(next, next + batchSize), options);
      batch.catch(() => {}); // reported when its turn comes
      ahead.push(batch);
      next += batchSize;
    }
  };
  try {
    for (fill(); ahead.length > 0; fill()) {
      yield await ahead.shift()!;
      if (signal?.aborted) return;
    }
  } finally {
    await Promise.allSettled(ahead);
  }
}

async function makeBatch(source: SampleSource, indices: Int32Array, options: LoaderOptions): Promise<Batch> {
  const { size, convention } = options;
  const samples = Array.from(indices, (i) => source.get(i));
  const frames = samples[0].frames.length;
  const labelCount = samples[0].labels.length;
  const length = size * size * 3;
  const images = new Float32Array(samples.length * frames * length);
  const labels = new Int32Array(samples.length * labelCount);
  await Promise.all(samples.map(async (sample, b) => {
    labels.set(sample.labels, b * labelCount);
    const clip = await readClip(sample, options);
    clip.forEach((pixels, t) => normalize(pixels, convention, images, (b * frames + t) * length));
  }));
  return { count: samples.length, images, labels, indices };
}

/** The frames of a sample, each distinct one decoded once, all under the same crop. */
async function readClip({ track, frames }: Sample, options: LoaderOptions): Promise<Uint8Array[]> {
  const { size, augmentation, seed, epoch, cache } = options;
  const stream = () => new RandomStream(seed, "augment", epoch, track.name, track.frames[frames[0]]);
  const crop = augmentation && drawCrop(stream(), augmentation);
  const decoded = new Map<number, Promise<Uint8Array>>();
  for (const frame of frames) {
    if (decoded.has(frame)) continue;
    const path = imagePath(track, frame);
    const image = cache ? cache.read(path) : readImage(path);
    decoded.set(frame, image.then((rgb) => resizeImage(rgb, size, crop)));
  }
  return await Promise.all(Array.from(frames, (frame) => decoded.get(frame)!));
}
