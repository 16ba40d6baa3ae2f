/**
 * Face crops as Aff-Wild2's: 112 x 112, turned, scaled and shifted so that eyes, nose and mouth's corners lie where
 * they lie in every such crop.
 *
 * @module
 */
import type { RgbImage } from "../images.ts";
import { type Box, fitSimilarity, type Point, type Similarity } from "./geometry.ts";

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

/** Samples a side of a crop's pixel at most; a face of 900 pixels is still averaged over all of its pixels. */
const MAX_SAMPLES = 8;

/**
 * Draws a square as a similarity sees it: pixel (x, y) is the mean of the picture around where the similarity takes
 * its middle, by bilinear samples no more than a pixel of the picture apart. Black beyond the picture.
 *
 * @param similarity from the square's pixels to the picture's
 * @param size side of the square in pixels
 * @returns [size, size, 3] RGB bytes
 */
export function warp(image: RgbImage, similarity: Similarity, size: number): Uint8Array {
  const { width, height, pixels } = image;
  const { a, b, tx, ty } = similarity;
  const samples = Math.min(MAX_SAMPLES, Math.max(1, Math.ceil(Math.hypot(a, b) - 1e-6)));
  const out = new Uint8Array(size * size * 3);
  for (let row = 0, at = 0; row < size; row++) {
    for (let column = 0; column < size; column++, at += 3) {
      let [red, green, blue] = [0, 0, 0];
      for (let s = 0; s < samples * samples; s++) {
        const u = column + (s % samples + 0.5) / samples;
        const v = row + (Math.floor(s / samples) + 0.5) / samples;
        // Pixel i covers [i, i + 1): its middle is i + .5.
        const x = a * u - b * v + tx - 0.5;
        const y = b * u + a * v + ty - 0.5;
        const [left, top] = [Math.floor(x), Math.floor(y)];
        if (left < -1 || top < -1 || left >= width || top >= height) continue;
        const [right, below] = [x - left, y - top];
        for (let corner = 0; corner < 4; corner++) {
          const [cx, cy] = [left + (corner & 1), top + (corner >> 1)];
          if (cx < 0 || cy < 0 || cx >= width || cy >= height) continue;
          const share = ((corner & 1) === 1 ? right : 1 - right) * (corner >> 1 === 1 ? below : 1 - below);
          const source = (cy * width + cx) * 3;
          red += share * pixels[source];
          green += share * pixels[source + 1];
          blue += share * pixels[source + 2];
        }
      }
      const scale = 1 / (samples * samples);
      out[at] = Math.round(red * scale);
      out[at + 1] = Math.round(green * scale);
      out[at + 2] = Math.round(blue * scale);
    }
  }
  return out;
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
