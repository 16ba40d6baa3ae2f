/**
 * Decoding of images, by sharp (libvips), cropping and resizing. A frame's pixels depend on its bytes, the size and the
 * crop alone: the same bits with and without the cache, in any order, in any worker.
 *
 * @module
 */
import sharp from "sharp";
import { reasonOf } from "./aff_wild2/files.ts";
import type { CropTransform } from "./augment.ts";
import { type Region, resample } from "./resample.ts";

/** Pixels beyond which an image is refused as a decompression bomb; a 4096x4096 photograph passes. */
export const MAX_PIXELS = 4096 * 4096;
/** Bytes beyond which a file is not even read. */
export const MAX_BYTES = 1 << 28;

/** An RGB image in memory. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] bytes */
  readonly pixels: Uint8Array;
}

/** What is wrong with an image: the parts of an {@link ImageError}, which can be sent from a worker. */
export interface ImageFault {
  /** what failed; what cannot be read today may be readable tomorrow, and be the same file */
  readonly action: "decode" | "read";
  /** the file */
  readonly path: string;
  /** what is wrong with it, in words */
  readonly reason: string;
  readonly wanted: string;
}

/** An image that cannot be used. */
export class ImageError extends Error implements ImageFault {
  readonly action: ImageFault["action"];
  readonly path: string;
  readonly reason: string;
  readonly wanted: string;

  constructor(action: ImageFault["action"], path: string, reason: string, wanted = "an image") {
    super(`Cannot ${action} ${path}: ${reason}; expected ${wanted}`);
    this.name = "ImageError";
    this.action = action;
    this.path = path;
    this.reason = reason;
    this.wanted = wanted;
  }
}

/**
 * Decodes an image: any format and colour space that sharp reads, turned upright by its EXIF orientation, to RGB of 8
 * bits. What the decoder so much as warns of is refused: a JPEG that ends early is filled up with grey otherwise.
 *
 * @param name named in errors
 * @throws {ImageError} if the bytes are empty, truncated, damaged, no image, or too large (before it is decoded)
 */
export async function decodeImage(bytes: Uint8Array, name: string): Promise<RgbImage> {
  if (bytes.length === 0) throw new ImageError("decode", name, "the file is empty");
  try {
    const { data, info } = await sharp(bytes, { limitInputPixels: MAX_PIXELS, failOn: "warning" })
      .autoOrient().toColourspace("srgb").flatten({ background: "black" }).removeAlpha()
      .raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    if (channels !== 3 || data.length !== width * height * 3) {
      const found = `it decodes to ${data.length} bytes in ${channels} channels of ${width}x${height}`;
      throw new ImageError("decode", name, found, "8 bits in 3 channels");
    }
    return { width, height, pixels: new Uint8Array(data.buffer, data.byteOffset, data.length) };
  } catch (error) {
    if (error instanceof ImageError) throw error;
    throw new ImageError("decode", name, reasonIn((error as Error).message), "a whole image");
  }
}

/**
 * Why sharp refused an image. The details that libvips gives are not used: it keeps one text for all images that are
 * under way, so they may be another image's, and a record would not be the same twice.
 */
function reasonIn(message: string): string {
  if (message.startsWith("Input image exceeds pixel limit")) return `it has more than ${MAX_PIXELS} pixels`;
  if (message.startsWith("Input buffer contains unsupported")) return "it is in no format that can be read";
  if (message.startsWith("Input buffer has corrupt header")) return "its header is damaged";
  return "it is damaged or cut short";
}

/**
 * Reads and decodes a file.
 *
 * @param blocking reads without letting other work in between: in a worker, which has none, it costs less
 * @throws {ImageError} if the file is missing or unusable
 */
export async function readImage(path: string, { blocking = false } = {}): Promise<RgbImage> {
  let bytes: Uint8Array;
  try {
    requireImageFile(blocking ? Deno.statSync(path) : await Deno.stat(path));
    bytes = blocking ? Deno.readFileSync(path) : await Deno.readFile(path);
  } catch (error) {
    throw new ImageError("read", path, reasonOf(error, path));
  }
  return await decodeImage(bytes, path);
}

function requireImageFile({ isFile, size }: Deno.FileInfo): void {
  if (!isFile) throw new Error("it is no file"); // reading from a pipe would wait for ever
  if (size > MAX_BYTES) throw new Error(`it has ${size} bytes, more than ${MAX_BYTES}`);
}

/**
 * Crops, flips and resizes to a square.
 *
 * @param crop in fractions of the source; undefined = the whole image
 * @param out memory that the result may be put into
 * @returns [size, size, 3] RGB bytes
 */
export function resizeImage(
  image: RgbImage,
  size: number,
  crop?: CropTransform,
  out?: Uint8Array,
): Uint8Array {
  const { width, height, pixels } = image;
  if (crop === undefined && width === size && height === size) return pixels;
  const region = regionOf(crop ?? { x: 0, y: 0, width: 1, height: 1 }, image);
  return resample(image, region, size, crop?.flip ?? false, out);
}

/** A crop in whole pixels, at least one. */
function regionOf(
  { x, y, ...crop }: Pick<CropTransform, "x" | "y" | "width" | "height">,
  { width, height }: RgbImage,
): Region {
  const left = Math.min(width - 1, Math.round(x * width));
  const top = Math.min(height - 1, Math.round(y * height));
  return {
    left,
    top,
    width: Math.max(1, Math.min(width - left, Math.round(crop.width * width))),
    height: Math.max(1, Math.min(height - top, Math.round(crop.height * height))),
  };
}
