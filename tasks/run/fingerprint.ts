/**
 * SHA-256 of what a run read and of what it made.
 *
 * @module
 */
import { createHash, type Hash } from "node:crypto";
import { reasonOf } from "../../data/aff_wild2/files.ts";
import { type Dataset, imagePath } from "../../data/aff_wild2/types.ts";
import type { BadImages } from "../../data/bad_images.ts";
import { ImageError } from "../../data/images.ts";
import type { HostTensor } from "../../models/weights/safetensors.ts";

/** What a run read from a data folder. */
export interface DataFingerprint {
  /** over both splits' track names, frame numbers and labels */
  readonly annotations: string;
  /** over the list of images, relative to the data folder */
  readonly images: string;
  /** over the bytes of all images; null where the run file does not ask for it */
  readonly imageBytes: string | null;
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Hashes a text and its length, so that neighbouring texts cannot run into one another. */
function addText(hash: Hash, text: string): void {
  hash.update(`${text.length}:${text}`);
}

/**
 * Fingerprints the data of a run.
 *
 * @param hashImages also reads all images: minutes at the size of Aff-Wild2
 * @param badImages decides about images that cannot be read; undefined: each is an error
 * @param onImage called after each image that was read
 */
export async function fingerprintData(
  datasets: readonly Dataset[],
  hashImages: boolean,
  badImages?: BadImages,
  onImage: () => void = () => {},
): Promise<DataFingerprint> {
  const annotations = createHash("sha256");
  const images = createHash("sha256");
  const contents = createHash("sha256");
  for (const dataset of datasets) {
    addText(annotations, `${dataset.labelSet}/${dataset.split}`);
    for (const track of dataset.tracks) {
      addText(annotations, `${track.name} ${track.frames.length}`);
      annotations.update(bytesOf(track.frames)).update(bytesOf(track.labels));
      addText(images, `${track.imageFolder.slice(dataset.root.length)} ${track.frames.length}`);
      images.update(bytesOf(track.frames));
      for (let i = 0; hashImages && i < track.frames.length; i++, onImage()) {
        contents.update(await bytesAt(imagePath(track, i), badImages));
      }
    }
  }
  return {
    annotations: annotations.digest("hex"),
    images: images.digest("hex"),
    imageBytes: hashImages ? contents.digest("hex") : null,
  };
}

/** The bytes of an image; of one that is left out, none. */
async function bytesAt(path: string, badImages: BadImages | undefined): Promise<Uint8Array> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    const unusable = new ImageError("read", path, reasonOf(error, path));
    if (badImages === undefined) throw unusable;
    badImages.add(unusable);
    return new Uint8Array();
  }
}

/** SHA-256 over names, shapes and values of tensors, in the order of their names. */
export function hashTensors(tensors: ReadonlyMap<string, HostTensor>): string {
  const hash = createHash("sha256");
  for (const name of [...tensors.keys()].sort()) {
    const { dtype, shape, data } = tensors.get(name)!;
    addText(hash, `${name} ${dtype} ${shape.join("x")}`);
    hash.update(bytesOf(data));
  }
  return hash.digest("hex");
}

/** SHA-256 over the bits of probabilities. */
export function hashValues(values: Float32Array): string {
  return createHash("sha256").update(bytesOf(values)).digest("hex");
}
