/**
 * Random resized crop and horizontal flip, drawn once per window so that a clip stays a clip.
 *
 * @module
 */
import type { RandomStream } from "./random.ts";

/** Which part of an image is used, in fractions of its size, and whether it is mirrored. */
export interface CropTransform {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly flip: boolean;
}

/** The ranges a crop is drawn from. */
export interface CropRanges {
  /** range of the crop's share of the image's area */
  readonly scale: readonly [number, number];
  /** range of the crop's width / height */
  readonly ratio: readonly [number, number];
  /** probability of a horizontal flip */
  readonly flip: number;
}

const TRIES = 10;

/**
 * Draws a crop of a square image: area and log-ratio uniform in their ranges, the whole image after ten tries that
 * do not fit (torchvision's RandomResizedCrop).
 */
export function drawCrop(random: RandomStream, { scale, ratio, flip }: CropRanges): CropTransform {
  const mirrored = random.chance(flip);
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const area = random.uniform(scale[0], scale[1]);
    const aspect = Math.exp(random.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
    const width = Math.sqrt(area * aspect);
    const height = Math.sqrt(area / aspect);
    if (width <= 1 && height <= 1) {
      return {
        x: random.uniform(0, 1 - width),
        y: random.uniform(0, 1 - height),
        width,
        height,
        flip: mirrored,
      };
    }
  }
  return { x: 0, y: 0, width: 1, height: 1, flip: mirrored };
}
