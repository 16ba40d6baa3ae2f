/**
 * Turns samples into batches of normalised images. The next batches are decoded while the device works; the order
 * and every augmentation depend on the seed alone.
 *
 * @module
 */
import { imagePath, type Track, UNLABELLED } from "./aff_wild2/types.ts";
import { type CropRanges, type CropTransform, drawCrop } from "./augment.ts";
import type { BadImages } from "./bad_images.ts";
import { ImageError, readImage, resizeImage, type RgbImage } from "./images.ts";
import { type InputConvention, normalize } from "./input_convention.ts";
import { Limit } from "./limit.ts";
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
  /** batches decoded ahead; 2 by default */
  readonly prefetch?: number;
  readonly cache?: ImageCache;
  /** decides about images that cannot be used; undefined: each is an error */
  readonly badImages?: BadImages;
  readonly signal?: AbortSignal;
}

/**
 * Images under way at once, in all: enough for every core to have the next one at hand, few enough that memory stays
 * bounded however many frames a batch has.
 */
const underway = new Limit(Math.max(8, 4 * navigator.hardwareConcurrency));

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
 * @throws {ImageError} if an image is missing or unusable and `badImages` does not leave it out; its path is named
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
  const labelWidth = labelCount / frames;
  const length = size * size * 3;
  const images = new Float32Array(samples.length * frames * length);
  const labels = new Int32Array(samples.length * labelCount);
  const bad: number[] = [];
  await Promise.all(samples.map(async (sample, b) => {
    labels.set(sample.labels, b * labelCount);
    const clip = await readClip(sample, options);
    clip.forEach((pixels, t) => {
      const row = b * frames + t;
      if (pixels !== undefined) {
        normalize(pixels, convention, images, row * length);
      } else {
        bad.push(row);
        labels.fill(UNLABELLED, row * labelWidth, (row + 1) * labelWidth);
      }
    });
  }));
  bad.sort((x, y) => x - y);
  return { count: samples.length, images, labels, indices, bad };
}

/** The frames of a sample, each distinct one decoded once, all under the same crop; undefined: left out. */
async function readClip(
  { track, frames }: Sample,
  options: LoaderOptions,
): Promise<(Uint8Array | undefined)[]> {
  const { augmentation, seed, epoch } = options;
  const stream = () => new RandomStream(seed, "augment", epoch, track.name, track.frames[frames[0]]);
  const crop = augmentation && drawCrop(stream(), augmentation);
  const decoded = new Map<number, Promise<Uint8Array | undefined>>();
  for (const frame of frames) {
    if (decoded.has(frame)) continue;
    decoded.set(frame, underway.run(() => readPixels(imagePath(track, frame), crop, options)));
  }
  return await Promise.all(Array.from(frames, (frame) => decoded.get(frame)!));
}

/** [size, size, 3] bytes of an image, or undefined if it is to be left out. */
async function readPixels(
  path: string,
  crop: CropTransform | undefined,
  { size, cache, badImages }: LoaderOptions,
): Promise<Uint8Array | undefined> {
  if (badImages?.has(path)) return undefined;
  try {
    return await resizeImage(await (cache ? cache.read(path) : readImage(path)), size, crop);
  } catch (error) {
    if (badImages === undefined || !(error instanceof ImageError)) throw error;
    badImages.add(error);
    return undefined;
  }
}
