/**
 * From files to rows of a batch: decode, crop, mirror, resize, normalise. Runs in workers (`image_worker.ts`) or in the
 * main thread, with the same bits.
 *
 * @module
 */
import type { CropTransform } from "./augment.ts";
import { ImageError, type ImageFault, readImage, resizeImage, type RgbImage } from "./images.ts";
import { type InputConvention, normalize } from "./input_convention.ts";
import type { Limit } from "./limit.ts";

/** An image, and the rows of a batch that show it. */
export interface RowImage {
  readonly path: string;
  readonly rows: readonly number[];
  readonly crop?: CropTransform;
  /** decoded before: the file is not read */
  readonly decoded?: RgbImage;
}

/** Rows that are to be made: a batch, or a part of it. */
export interface RowsOrder {
  /** N */
  readonly count: number;
  readonly size: number;
  readonly convention: InputConvention;
  readonly images: readonly RowImage[];
  /** which decoded images are handed back, for a cache: none, or all, those in memory that all threads see */
  readonly keep: "none" | "own" | "shared";
}

/** An image that cannot be used; its rows are 0. */
export interface RowFault extends ImageFault {
  readonly rows: readonly number[];
}

/** What became of an order. */
export interface RowsResult {
  /** [N, size, size, 3], normalised; rows without an image are 0 */
  readonly rows: Float32Array<ArrayBuffer>;
  readonly faults: readonly RowFault[];
  /** if they were to be kept */
  readonly decoded: readonly { readonly path: string; readonly image: RgbImage }[];
}

/** How rows are made. */
export interface RowsOptions {
  /** images under way at once */
  readonly limit: Limit;
  /** whether files are read without letting other work in between */
  readonly blocking?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * Makes the rows of an order; returns or throws once nothing of it is under way any more.
 *
 * @throws the signal's reason if it aborts; images that cannot be used are in the result
 */
export async function makeRows(
  order: RowsOrder,
  { limit, blocking = false, signal }: RowsOptions,
): Promise<RowsResult> {
  const { count, size, images, keep } = order;
  const result = new Float32Array(count * size * size * 3);
  const faults: RowFault[] = [];
  const decoded: { path: string; image: RgbImage }[] = [];
  await allDone(images.map((item) =>
    limit.run(async () => {
      signal?.throwIfAborted();
      const { path, rows } = item;
      try {
        const image = item.decoded ?? await readImage(path, { blocking });
        writeRows(image, item, order, result);
        if (keep === "none" || item.decoded !== undefined) return;
        decoded.push({ path, image: keep === "shared" ? sharedCopy(image) : image });
      } catch (error) {
        if (!(error instanceof ImageError)) throw error;
        const { action, reason, wanted } = error;
        faults.push({ action, path, reason, wanted, rows });
      }
    })
  ));
  return { rows: result, faults, decoded };
}

/** The last image that was resized, in memory that is used again. */
let resized = new Uint8Array(0);

function writeRows(
  image: RgbImage,
  { rows: [first, ...others], crop }: RowImage,
  { size, convention }: RowsOrder,
  out: Float32Array,
): void {
  const length = size * size * 3;
  if (resized.length !== length) resized = new Uint8Array(length);
  normalize(resizeImage(image, size, crop, resized), convention, out, first * length);
  for (const row of others) out.copyWithin(row * length, first * length, (first + 1) * length);
}

/** The image in memory that all workers see, so that it travels between them without being copied. */
function sharedCopy({ width, height, pixels }: RgbImage): RgbImage {
  const shared = new Uint8Array(new SharedArrayBuffer(pixels.length));
  shared.set(pixels);
  return { width, height, pixels: shared };
}

/**
 * Waits for all, also past failures.
 *
 * @throws the first one's reason, in the order of the list
 */
export async function allDone<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(work);
  return settled.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}
