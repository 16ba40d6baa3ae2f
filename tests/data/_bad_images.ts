/** Images of every kind that a data set may hold by mistake, made here. */
import { deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";

/** Side of the images. */
export const SIDE = 24;

const LEVEL = 100;

function picture(channels: 1 | 3 = 3): Sharp {
  return sharp(new Uint8Array(SIDE * SIDE * channels).fill(LEVEL), {
    raw: { width: SIDE, height: SIDE, channels },
  });
}

async function bytesOf(image: Sharp): Promise<Uint8Array> {
  return new Uint8Array(await image.toBuffer());
}

/** A picture with something in every block, so that its JPEG has many bytes of pixels. */
export async function noisyJpeg(seed = 1, side = 64): Promise<Uint8Array> {
  const pixels = Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * 7919 * seed) % 251);
  return await bytesOf(sharp(pixels, { raw: { width: side, height: side, channels: 3 } }).jpeg());
}

/** The CRC that ends a chunk of a PNG. */
function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  out.set(new TextEncoder().encode(type), 4);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

/** A PNG of a few bytes that says to be width x height pixels. */
export function claimedPng(width: number, height: number): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 2], 8);
  const parts = [
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", header),
    chunk("IDAT", new Uint8Array(deflateSync(new Uint8Array(1 << 16)))),
    chunk("IEND", new Uint8Array()),
  ];
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** A JPEG whose frame header says to be width x height pixels. */
export async function claimedJpeg(width: number, height: number): Promise<Uint8Array> {
  const bytes = await noisyJpeg();
  const view = new DataView(bytes.buffer);
  let at = 2;
  while (view.getUint16(at) !== 0xffc0) at += 2 + view.getUint16(at + 2);
  view.setUint16(at + 5, height);
  view.setUint16(at + 7, width);
  return bytes;
}

/** Images that must be refused. */
export async function refused(): Promise<Record<string, Uint8Array>> {
  const whole = await noisyJpeg();
  const endsEarly = whole.slice();
  endsEarly.set([0xff, 0xd9], whole.length >> 1); // an end marker amid the pixels
  return {
    empty: new Uint8Array(),
    truncated: whole.slice(0, whole.length >> 1),
    "without its last two bytes": whole.slice(0, -2),
    "ended early": endsEarly,
    "header alone": whole.slice(0, 40),
    "text, no image": new TextEncoder().encode("<html>404 Not Found</html>"),
    zeros: new Uint8Array(5000),
    "a JPEG of zero size": await claimedJpeg(0, 0),
    "a PNG of zero size": claimedPng(0, 0),
    "a PNG bomb": claimedPng(60000, 60000),
    "a JPEG bomb": await claimedJpeg(65000, 65000),
  };
}

/** Images that are unusual and good: what they must decode to is LEVEL everywhere, SIDE x SIDE. */
export async function unusual(): Promise<Record<string, Uint8Array>> {
  const deep = (channels: 1 | 3) =>
    sharp(new Uint16Array(SIDE * SIDE * channels).fill(LEVEL * 257), {
      raw: { width: SIDE, height: SIDE, channels },
    });
  return {
    "a gray JPEG": await bytesOf(picture(1).toColourspace("b-w").jpeg()),
    "a CMYK JPEG": await bytesOf(picture().toColourspace("cmyk").jpeg()),
    "a PNG named .jpg": await bytesOf(picture().png()),
    "a PNG of 16 bits": await bytesOf(deep(3).toColourspace("rgb16").png()),
    "a gray PNG of 16 bits": await bytesOf(deep(1).toColourspace("grey16").png()),
    "a progressive JPEG": await bytesOf(picture().jpeg({ progressive: true })),
    "an opaque PNG with alpha": await bytesOf(picture().ensureAlpha().png()),
    "a WebP": await bytesOf(picture().webp({ lossless: true })),
  };
}

/** The level of {@link unusual} images. */
export const UNUSUAL_LEVEL = LEVEL;
