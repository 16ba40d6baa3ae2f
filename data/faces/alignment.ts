/**
 * Face crops as Aff-Wild2's: 112 x 112, turned, scaled and shifted so that eyes, nose and mouth's corners lie where
 * they lie in every such crop.
 *
 * @module
 */
import type { RgbImage } from "../images.ts";
import { type Box, fitSimilarity, type Point, type Similarity, transform } from "./geometry.ts";

/** Side of an aligned crop in pixels. */
export const CROP_SIZE = 112;

/**
 * Left eye, right eye (as seen in the picture), tip of the nose, left and right corner of the mouth in a crop: the
 * five points that ArcFace (Deng et al. 2019) and the cropped_aligned images of Aff-Wild2 are aligned to.
 */
export const CROP_POINTS: readonly Point[] = [
  { x: 38.2946, y: 51.6963 },
  { x: 73.5318, y: 51.5014 },
  { x: 56.0252, y: 71.7366 },
  { x: 41.5493, y: 92.3655 },
  { x: 70.7299, y: 92.2041 },
];

/**
 * Draws a square as a similarity sees it: pixel (x, y) is the picture around where the similarity takes its middle.
 * Where the picture has more pixels than the square, whole blocks of them are averaged first; then come bilinear
 * samples no more than a pixel apart. Black beyond the picture.
 *
 * @param similarity from the square's pixels to the picture's
 * @param size side of the square in pixels
 * @returns [size, size, 3] RGB bytes
 */
export function warp(image: RgbImage, similarity: Similarity, size: number): Uint8Array {
  const scale = Math.hypot(similarity.a, similarity.b);
  const factor = Math.max(1, Math.floor(scale));
  const { source, left, top } = factor === 1
    ? { source: image, left: 0, top: 0 }
    : averageBlocks(image, boundsOf(similarity, size), factor);
  const [a, b] = [similarity.a / factor, similarity.b / factor];
  const [tx, ty] = [(similarity.tx - left) / factor, (similarity.ty - top) / factor];
  const samples = Math.max(1, Math.ceil(scale / factor - 1e-6));
  const share = 1 / (samples * samples);
  const out = new Uint8Array(size * size * 3);
  const sums = new Float64Array(3);
  for (let row = 0, at = 0; row < size; row++) {
    for (let column = 0; column < size; column++, at += 3) {
      sums.fill(0);
      for (let s = 0; s < samples; s++) {
        const v = row + (s + 0.5) / samples;
        for (let t = 0; t < samples; t++) {
          const u = column + (t + 0.5) / samples;
          addSample(source, a * u - b * v + tx, b * u + a * v + ty, share, sums);
        }
      }
      for (let c = 0; c < 3; c++) out[at + c] = Math.round(sums[c]);
    }
  }
  return out;
}

/** The upright box around what a similarity makes of a square. */
function boundsOf(similarity: Similarity, size: number): Box {
  const corners = [[0, 0], [size, 0], [0, size], [size, size]].map(([x, y]) =>
    transform(similarity, { x, y })
  );
  const [xs, ys] = [corners.map(({ x }) => x), corners.map(({ y }) => y)];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}

/** Means of blocks of factor x factor pixels that cover a box, as far as it is in the picture; cut at its edge. */
function averageBlocks(
  { width, height, pixels }: RgbImage,
  box: Box,
  factor: number,
): { source: RgbImage; left: number; top: number } {
  const clip = (value: number, most: number) => Math.max(0, Math.min(most, value));
  const left = clip(Math.floor(box.x) - factor, width);
  const top = clip(Math.floor(box.y) - factor, height);
  const right = clip(Math.ceil(box.x + box.width) + factor, width);
  const bottom = clip(Math.ceil(box.y + box.height) + factor, height);
  const columns = Math.ceil((right - left) / factor);
  const rows = Math.ceil((bottom - top) / factor);
  const means = new Uint8Array(rows * columns * 3);
  const sums = new Uint32Array(columns * 3);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    const first = top + row * factor;
    const last = Math.min(bottom, first + factor);
    for (let y = first; y < last; y++) {
      for (let x = left, at = (y * width + left) * 3; x < right; x++, at += 3) {
        const sum = Math.floor((x - left) / factor) * 3;
        sums[sum] += pixels[at];
        sums[sum + 1] += pixels[at + 1];
        sums[sum + 2] += pixels[at + 2];
      }
    }
    for (let column = 0; column < columns; column++) {
      const wide = Math.min(factor, right - left - column * factor);
      for (let c = 0; c < 3; c++) {
        const i = column * 3 + c;
        means[row * columns * 3 + i] = Math.round(sums[i] / (wide * (last - first)));
      }
    }
  }
  return { source: { width: columns, height: rows, pixels: means }, left, top };
}

/** Adds the bilinear sample at (x, y), times `share`; pixel i covers [i, i + 1), its middle is i + .5. */
function addSample(
  { width, height, pixels }: RgbImage,
  x: number,
  y: number,
  share: number,
  sums: Float64Array,
): void {
  const left = Math.floor(x - 0.5);
  const top = Math.floor(y - 0.5);
  if (left < -1 || top < -1 || left >= width || top >= height) return;
  const right = x - 0.5 - left;
  const below = y - 0.5 - top;
  for (let corner = 0; corner < 4; corner++) {
    const column = left + (corner & 1);
    const row = top + (corner >> 1);
    if (column < 0 || row < 0 || column >= width || row >= height) continue;
    const weight = share * (corner & 1 ? right : 1 - right) * (corner & 2 ? below : 1 - below);
    const source = (row * width + column) * 3;
    sums[0] += weight * pixels[source];
    sums[1] += weight * pixels[source + 1];
    sums[2] += weight * pixels[source + 2];
  }
}

/** The square of a picture, resized: [size, size, 3] RGB bytes, black beyond the picture. */
export function cropSquare(image: RgbImage, square: Box, size: number): Uint8Array {
  return warp(image, { a: square.width / size, b: 0, tx: square.x, ty: square.y }, size);
}

/**
 * Cuts out a face.
 *
 * @param points the five of {@linkcode CROP_POINTS}, in the picture
 * @throws {RangeError} if the points are not five, or all in one place
 */
export function alignFace(image: RgbImage, points: readonly Point[]): RgbImage {
  const similarity = fitSimilarity(CROP_POINTS, points);
  return { width: CROP_SIZE, height: CROP_SIZE, pixels: warp(image, similarity, CROP_SIZE) };
}
