/**
 * Decoding, cropping and resizing of images, by sharp (libvips). A frame's pixels depend on its bytes, the size and
 * the crop alone: the same bits with and without the cache, in any order.
 *
 * @module
 */
import sharp from "sharp";
import type { CropTransform } from "./augment.ts";

/** Pixels beyond which an image is refused as a decompression bomb; a 4096x4096 photograph passes. */
const MAX_PIXELS = 4096 * 4096;

/** An RGB image in memory. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] bytes */
  readonly pixels: Uint8Array;
}

/** An image that cannot be used. */
export class ImageError extends Error {
  /** @param message names the file, what was found and what was wanted */
  constructor(message: string) {
    super(message);
    this.name = "ImageError";
  }
}

/**
 * Decodes an image: any format and colour space that sharp reads, turned upright by its EXIF orientation, to RGB.
 *
 * @param name named in errors
 * @throws {ImageError} if the bytes are empty, truncated, no image, or too large
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<RgbImage> {
  if (bytes.length === 0) throw new ImageError(`Cannot decode ${name}: the file is empty; expected an image`);
  try {
    const { data, info } = await sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: "truncated" })
      .autoOrient().toColourspace("srgb").flatten({ background: "black" }).removeAlpha()
      .raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    return {
      width: info.width,
      height: info.height,
      pixels: new Uint8Array(data.buffer, data.byteOffset, data.length),
    };
  } catch (error) {
    throw new ImageError(`Cannot decode ${name}: ${(error as Error).message}; expected a whole image`);
  }
}

/**
 * Reads and decodes a file.
 *
 * @throws {ImageError} if the file is missing or unusable
 */
export async function readImage(path: string): Promise<RgbImage> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new ImageError(`Cannot read ${path}: ${(error as Error).message}; expected an image`);
  }
  return await decodeImage(bytes, path);
}

/**
 * Crops, flips and resizes to a square.
 *
 * @param crop in fractions of the source; undefined = the whole image
 * @returns [size, size, 3] RGB bytes
 */
export async function resizeImage(image: RgbImage, size: number, crop?: CropTransform): Promise<Uint8Array> {
  const { width, height, pixels } = image;
  if (crop === undefined && width === size && height === size) return pixels;
  let pipeline = sharp(pixels, { raw: { width, height, channels: 3 } });
  if (crop !== undefined) {
    const left = Math.min(width - 1, Math.round(crop.x * width));
    const top = Math.min(height - 1, Math.round(crop.y * height));
    pipeline = pipeline.extract({
      left,
      top,
      width: Math.max(1, Math.min(width - left, Math.round(crop.width * width))),
      height: Math.max(1, Math.min(height - top, Math.round(crop.height * height))),
    });
  }
  pipeline = pipeline.resize(size, size, { fit: "fill", kernel: "cubic" });
  if (crop?.flip) pipeline = pipeline.flop();
  const data = await pipeline.raw().toBuffer();
  return new Uint8Array(data.buffer, data.byteOffset, data.length);
}
