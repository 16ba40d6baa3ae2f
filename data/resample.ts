/**
 * Resizing by a linear filter, widened where an image shrinks: Pillow's and torchvision's antialiased bilinear, which
 * torchvision's RandomResizedCrop, and so the paper, uses, but for the outermost pixels, where the edge is repeated here
 * and what is beyond it left out there. Ours, because there are millions of small
 * images and a call of sharp costs five to twenty times as much, more than decoding, and shifts what it enlarges by half
 * a pixel, so that a mirrored image is not the image mirrored. Sums of doubles in a fixed order have the same bits
 * everywhere.
 *
 * @module
 */
import type { RgbImage } from "./images.ts";

/** A rectangle in pixels, inside the image. */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** How each pixel of one axis is made from pixels of the source. */
interface Taps {
  /** pixels of the source for each pixel; 2 unless the image shrinks */
  readonly count: number;
  /** [size * count] places in the source, clamped to the region */
  readonly places: Int32Array;
  /** [size * count] their weights; each pixel's sum to 1 */
  readonly weights: Float64Array;
}

/** The rows of the last image: memory that is new for each image costs as much as its resizing. */
let scratch = new Float32Array(0);

/** Centres of pixels lie at halves, so that the edges of source and result fall on one another. */
function tapsOf(start: number, length: number, size: number, mirrored: boolean): Taps {
  const scale = length / size;
  const stretch = Math.max(1, scale);
  const count = Math.ceil(2 * stretch);
  const places = new Int32Array(size * count);
  const weights = new Float64Array(size * count);
  for (let i = 0; i < size; i++) {
    const centre = (i + 0.5) * scale - 0.5;
    const first = Math.floor(centre - stretch) + 1;
    const tap = (mirrored ? size - 1 - i : i) * count;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      const weight = Math.max(0, 1 - Math.abs(first + k - centre) / stretch);
      places[tap + k] = start + Math.min(length - 1, Math.max(0, first + k));
      weights[tap + k] = weight;
      sum += weight;
    }
    for (let k = 0; k < count; k++) weights[tap + k] /= sum;
  }
  return { count, places, weights };
}

/**
 * Resizes a region of an image to a square.
 *
 * @param mirrored left and right change places
 * @param out where the result goes
 * @returns [size, size, 3] RGB bytes, rounded to the nearest
 */
export function resample(
  { width, pixels }: RgbImage,
  { left, top, ...region }: Region,
  size: number,
  mirrored: boolean,
  out: Uint8Array = new Uint8Array(size * size * 3),
): Uint8Array {
  const columns = tapsOf(left, region.width, size, mirrored);
  const joined = tapsOf(0, region.height, size, false);
  const length = size * 3;
  if (scratch.length < region.height * length) scratch = new Float32Array(region.height * length);
  const resizeRow = columns.count === 2 ? resizeRow2 : resizeRowN;
  for (let r = 0; r < region.height; r++) {
    resizeRow(pixels, (top + r) * width * 3, columns, scratch, r * length, length);
  }
  const joinRows = joined.count === 2 ? joinRows2 : joinRowsN;
  for (let r = 0; r < size; r++) joinRows(scratch, joined, r, out, length);
  return out;
}

/** The row of pixels from `from` on, in two taps, to the `length` values from `to` on. */
function resizeRow2(
  pixels: Uint8Array,
  from: number,
  { places, weights }: Taps,
  out: Float32Array,
  to: number,
  length: number,
): void {
  for (let i = to, tap = 0; i < to + length; i += 3, tap += 2) {
    const a = from + 3 * places[tap];
    const b = from + 3 * places[tap + 1];
    const wa = weights[tap];
    const wb = weights[tap + 1];
    out[i] = wa * pixels[a] + wb * pixels[b];
    out[i + 1] = wa * pixels[a + 1] + wb * pixels[b + 1];
    out[i + 2] = wa * pixels[a + 2] + wb * pixels[b + 2];
  }
}

/** The same in any number of taps. */
function resizeRowN(
  pixels: Uint8Array,
  from: number,
  { count, places, weights }: Taps,
  out: Float32Array,
  to: number,
  length: number,
): void {
  for (let i = to, tap = 0; i < to + length; i += 3) {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let k = 0; k < count; k++, tap++) {
      const at = from + 3 * places[tap];
      const weight = weights[tap];
      red += weight * pixels[at];
      green += weight * pixels[at + 1];
      blue += weight * pixels[at + 2];
    }
    out[i] = red;
    out[i + 1] = green;
    out[i + 2] = blue;
  }
}

/** Row `row` of the result, in two taps; weights are not negative, so no sum leaves the range of a byte. */
function joinRows2(
  rows: Float32Array,
  { places, weights }: Taps,
  row: number,
  out: Uint8Array,
  length: number,
): void {
  const a = places[2 * row] * length;
  const b = places[2 * row + 1] * length;
  const wa = weights[2 * row];
  const wb = weights[2 * row + 1];
  const to = row * length;
  for (let i = 0; i < length; i++) out[to + i] = wa * rows[a + i] + wb * rows[b + i] + 0.5;
}

/** The same in any number of taps. */
function joinRowsN(
  rows: Float32Array,
  { count, places, weights }: Taps,
  row: number,
  out: Uint8Array,
  length: number,
): void {
  const sums = new Float64Array(length).fill(0.5);
  for (let k = 0, tap = row * count; k < count; k++, tap++) {
    const at = places[tap] * length;
    const weight = weights[tap];
    for (let i = 0; i < length; i++) sums[i] += weight * rows[at + i];
  }
  out.set(sums, row * length);
}
