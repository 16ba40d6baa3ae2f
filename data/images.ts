/**
 * Decoding, cropping and resizing of images, by sharp (libvips). A frame's pixels depend on its bytes, the size and
 * the crop alone: the same bits with and without the cache, in any order.
 *
 * @module
 */
import sharp from "sharp";
import { reasonOf } from "./aff_wild2/files.ts";
import type { CropTransform } from "./augment.ts";

/** Pixels beyond which an image is refused as a decompression bomb; a 4096x4096 photograph passes. */
const MAX_PIXELS = 4096 * 4096;
/** Bytes beyond which a file is not even read. */
const MAX_BYTES = 1 << 28;

/** An RGB image in memory. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3] bytes */
  readonly pixels: Uint8Array;
}

/** An image that cannot be used. */
export class ImageError extends Error {
  /** the file */
  readonly path: string;
  /** what is wrong with it, in words */
  readonly reason: string;

  /** @param action what failed: `decode` or `read` */
  constructor(action: "decode" | "read", path: string, reason: string, wanted = "an image") {
    super(`Cannot ${action} ${path}: ${reason}; expected ${wanted}`);
    this.name = "ImageError";
    this.path = path;
    this.reason = reason;
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
 * @throws {ImageError} if the file is missing or unusable
 */
export async function readImage(path: string): Promise<RgbImage> {
  let bytes: Uint8Array;
  try {
    const { isFile, size } = await Deno.stat(path);
    if (!isFile) throw new Error("it is no file"); // reading from a pipe would wait for ever
    if (size > MAX_BYTES) throw new Error(`it has ${size} bytes, more than ${MAX_BYTES}`);
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new ImageError("read", path, reasonOf(error, path));
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
