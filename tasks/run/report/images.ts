/**
 * Images of faces, made small and put into the page.
 *
 * @module
 */
import sharp from "sharp";
import { ImageError, readImage } from "../../../data/images.ts";
import { escapeHtml, type Html } from "./html.ts";
import type { ImagePath } from "./predictors.ts";

/** Makes an `img` of a frame of a track. */
export type FrameImage = (track: number, i: number, size: number, alt: string) => Promise<Html>;

/** A small JPEG of an image file, as a data URL. */
async function thumbnail(path: string, size: number): Promise<string> {
  const { width, height, pixels } = await readImage(path);
  const small = await sharp(pixels, { raw: { width, height, channels: 3 } })
    .resize(size, size, { fit: "cover" }).jpeg({ quality: 82 }).toBuffer();
  return `data:image/jpeg;base64,${small.toString("base64")}`;
}

/**
 * Images from where `imagePath` says. Without it, or where a file is gone or unusable, an empty box takes
 * the place of the image.
 *
 * @param onMissing called with the path of each file that is gone or unusable
 */
export function frameImages(imagePath: ImagePath | null, onMissing: (path: string) => void): FrameImage {
  return async (track, i, size, alt) => {
    if (imagePath === null) return "";
    const path = imagePath(track, i);
    try {
      // Twice the size on the page: sharp on fine screens and in print.
      return `<img alt="${escapeHtml(alt)}" src="${await thumbnail(path, 2 * size)}">`;
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      onMissing(path);
      return `<span class="gone"></span>`;
    }
  };
}
