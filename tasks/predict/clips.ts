/**
 * What the inputs are: images, folders of crops, trees in Aff-Wild2's layout, folders of pictures and videos, videos,
 * standard input. A clip is what has frames of its own.
 *
 * @module
 */
import { type CropList, listCrops } from "../../data/aff_wild2/crops.ts";
import { diskFiles, listFolder, listFolderIfThere, readBytes, reasonOf } from "../../data/aff_wild2/files.ts";
import { videoOfTrack } from "../../data/aff_wild2/layout.ts";
import { imageName } from "../../data/aff_wild2/types.ts";
import { MAX_BYTES } from "../../data/images.ts";
import { UserError } from "../run/cli.ts";

/** Something with frames. */
export type Clip =
  /** one picture */
  | { readonly kind: "image"; readonly name: string; readonly source: string | Uint8Array }
  /** crops of one face, by number; a frame may have none */
  | {
    readonly kind: "crops";
    readonly name: string;
    readonly folder: string;
    /** file names by frame number */
    readonly files: ReadonlyMap<number, string>;
    readonly frames: number;
    /** where `frames` is from */
    readonly counted: "annotations" | "crops";
  }
  | {
    readonly kind: "video";
    readonly name: string;
    readonly source: string | ReadableStream<Uint8Array>;
  };

/** Names that stand for standard input and output. */
export const PIPE = "-";

const IMAGE_NAME = /\.(jpe?g|png|webp|avif|tiff?)$/i;
const VIDEO_NAME = /\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|ogv|wmv|flv|m?ts|3gp|gif)$/i;
const CROP_NAME = /^\d{5,}\.jpg$/;
/** A track with fewer of its frames than one in so many is taken for numbered photographs. */
const SPARSEST = 100;
/** Bytes that tell a picture from a video. */
const MAGIC_BYTES = 16;

/** How inputs are looked at. */
export interface ClipOptions {
  /** pictures are crops already: a folder of them is one clip, in the order of their names */
  readonly cropped: boolean;
  readonly log: (line: string) => void;
}

/**
 * Finds the clips of the inputs, in order.
 *
 * @throws {UserError} if an input is not there, holds nothing to predict, or two clips have the same name
 */
export async function findClips(inputs: readonly string[], options: ClipOptions): Promise<Clip[]> {
  const clips: Clip[] = [];
  const names = new Set<string>();
  for (const input of inputs) {
    for (const clip of await clipsOf(input, options)) { // a folder has a clip of each picture
      if (/[\r\n]/.test(clip.name)) { // tables are read line by line
        throw new UserError(
          `Cannot predict ${JSON.stringify(clip.name)}: its name has a line break; expected one line`,
        );
      }
      if (names.has(clip.name)) {
        throw new UserError(
          `Cannot predict: two inputs are called ${clip.name}; expected names that tell them apart`,
        );
      }
      names.add(clip.name);
      clips.push(clip);
    }
  }
  return clips;
}

async function clipsOf(input: string, options: ClipOptions): Promise<Clip[]> {
  if (input === PIPE) return [await standardInput()];
  const path = input.replace(/(?<=.)\/+$/, "");
  let isFolder: boolean;
  try {
    isFolder = (await Deno.stat(path)).isDirectory;
  } catch (error) {
    throw new UserError(
      `Cannot read ${input}: ${
        (error as Error).message
      }; expected an image, a video, a folder, or - for standard input`,
    );
  }
  return isFolder ? await folderClips(path, options) : [await fileClip(path, path)];
}

/** The last part of a path, without what a file's name ends in. */
function stem(path: string): string {
  return path.replace(/^.*\//, "").replace(/(?<=.)\.[^.]*$/, "");
}

/** True for the first bytes of a picture that is decoded without ffmpeg. */
function isPicture(bytes: Uint8Array): boolean {
  const text = String.fromCharCode(...bytes.subarray(0, MAGIC_BYTES));
  return text.startsWith("\xff\xd8\xff") || text.startsWith("\x89PNG") || /^(II\*\0|MM\0\*)/.test(text) ||
    (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") || /^.{4}ftypavif/s.test(text);
}

/** What is named as a picture is not opened: whoever decodes it says what is wrong with it. */
async function fileClip(path: string, name: string): Promise<Clip> {
  if (IMAGE_NAME.test(path)) return { kind: "image", name, source: path };
  const head = new Uint8Array(MAGIC_BYTES);
  let count: number;
  try {
    // Opening a pipe waits for its writer.
    if (!(await Deno.stat(path)).isFile) throw new Error("it is no file; - reads standard input");
    using file = await Deno.open(path);
    count = await file.read(head) ?? 0;
  } catch (error) {
    throw new UserError(`Cannot read ${path}: ${reasonOf(error, path)}; expected an image or a video`);
  }
  if (isPicture(head.subarray(0, count))) return { kind: "image", name, source: path };
  return { kind: "video", name: stem(path), source: path };
}

/** A picture or a video, told apart by its first bytes; nothing is lost of what was read. */
async function standardInput(): Promise<Clip> {
  const reader = Deno.stdin.readable.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length < MAGIC_BYTES) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
  }
  const head = new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
  if (head.length === 0) {
    throw new UserError("Cannot read standard input: it is empty; expected an image or a video");
  }
  const rest = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(head),
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  if (!isPicture(head)) return { kind: "video", name: "stdin", source: rest };
  return { kind: "image", name: "stdin", source: await readPicture(rest) };
}

/** A picture's bytes, no more of them than a file may have. */
async function readPicture(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_BYTES) {
      throw new UserError(
        `Cannot read standard input: a picture of more than ${MAX_BYTES} bytes; expected less`,
      );
    }
  }
  return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

/** The names in a folder, without hidden ones; an error is the user's. */
async function visibleNames(folder: string, what: string): Promise<string[]> {
  try {
    return (await listFolder(diskFiles, folder, what)).filter((name) => !name.startsWith("."));
  } catch (error) {
    throw new UserError(`${(error as Error).message}; expected a folder`);
  }
}

/** The names in what may be no folder: undefined then. */
async function namesIfFolder(folder: string, what: string): Promise<string[] | undefined> {
  return (await listFolderIfThere(diskFiles, folder, what))?.filter((name) => !name.startsWith("."));
}

async function folderClips(folder: string, { cropped, log }: ClipOptions): Promise<Clip[]> {
  const names = await visibleNames(folder, "the folder");
  const tree = await treeClips(folder, names, log);
  if (tree !== undefined) return tree;
  const pictures = names.filter((name) => IMAGE_NAME.test(name));
  const crops = cropsAmong(pictures, folder, cropped, log);
  if (crops !== undefined) return [cropsClip(stemOfFolder(folder), folder, crops)];
  if (cropped && pictures.length > 0) {
    const files = new Map(pictures.map((name, i) => [i + 1, name]));
    const frames = pictures.length;
    return [{ kind: "crops", name: stemOfFolder(folder), folder, files, frames, counted: "crops" }];
  }
  const usable: string[] = [];
  for (const name of names) {
    if (!IMAGE_NAME.test(name) && !VIDEO_NAME.test(name)) continue;
    // What cannot be looked at is reported by who reads it.
    const there = await Deno.stat(`${folder}/${name}`).catch(() => undefined);
    if (!there?.isDirectory) usable.push(name);
  }
  if (usable.length === 0) {
    throw new UserError(
      `Cannot predict ${folder}: none of its ${names.length} entries is an image or a video; expected those, a ` +
        "folder of crops (00001.jpg, ...), or a tree in Aff-Wild2's layout",
    );
  }
  if (usable.length < names.length) {
    log(`${folder}: ${names.length - usable.length} entries are neither images nor videos`);
  }
  const clips: Clip[] = [];
  for (const name of usable) clips.push(await fileClip(`${folder}/${name}`, `${folder}/${name}`)); // few files open
  return clips;
}

/**
 * The crops of one face, if that is what a folder's pictures are; undefined if they are pictures of their own.
 *
 * @throws {UserError} if they are numbered as crops are, but for what crops cannot be
 */
function cropsAmong(
  pictures: readonly string[],
  folder: string,
  cropped: boolean,
  log: (line: string) => void,
): CropList | undefined {
  const named = pictures.filter((name) => CROP_NAME.test(name)).length;
  if (named === 0) return undefined;
  const fromZero = named === pictures.length && pictures.includes(imageName(0));
  if (fromZero && !cropped) {
    throw new UserError(
      `Cannot predict ${folder}: its pictures are numbered from ${imageName(0)}; expected crops from ` +
        `${imageName(1)} on, or --cropped, which takes them in the order of their names`,
    );
  }
  const list = fromZero || named < pictures.length ? undefined : listCrops(pictures, folder);
  if (list === undefined || list.others > 0) {
    log(`${folder}: not all pictures are named as crops are (00001.jpg, ...), so that none is taken for one`);
    return undefined;
  }
  const last = list.numbers.at(-1)!;
  if (last > SPARSEST * named && !cropped) {
    throw new UserError(
      `Cannot predict ${folder}: its ${named} pictures are named as crops of one face are, up to frame ${last}; ` +
        "expected more of its frames, or --cropped if they are crops, or other names if they are photographs",
    );
  }
  return list;
}

function stemOfFolder(folder: string): string {
  return folder.replace(/^.*\//, "");
}

function cropsClip(name: string, folder: string, { numbers }: CropList, annotated = 0): Clip {
  const files = new Map(Array.from(numbers, (number) => [number, imageName(number)]));
  const last = numbers.at(-1) ?? 0;
  const frames = Math.max(annotated, last);
  return { kind: "crops", name, folder, files, frames, counted: annotated >= last ? "annotations" : "crops" };
}

/** The crop folders of a tree in Aff-Wild2's layout, with or without annotations; undefined if it is none. */
async function treeClips(
  root: string,
  names: readonly string[],
  log: (line: string) => void,
): Promise<Clip[] | undefined> {
  const crops = names.includes("cropped_aligned")
    ? `${root}/cropped_aligned`
    : names.includes("Cropped_aligned_image")
    ? `${root}/Cropped_aligned_image/cropped_aligned`
    : undefined;
  if (crops === undefined) return undefined;
  const annotated = await annotatedFrames(root, names);
  const clips: Clip[] = [];
  for (const track of await visibleNames(crops, "the crops")) {
    const names = await namesIfFolder(`${crops}/${track}`, `the crops of ${track}`);
    if (names === undefined) continue; // a file
    // A video's tracks all have its frames.
    const lines = annotated.get(track) ?? annotated.get(videoOfTrack(track)) ?? 0;
    clips.push(cropsClip(track, `${crops}/${track}`, cropsOfTrack(names, `${crops}/${track}`), lines));
  }
  if (clips.length === 0) {
    throw new UserError(`Cannot predict ${root}: ${crops} holds no folder; expected one of each track`);
  }
  const uncounted = clips.filter((clip) => clip.kind === "crops" && clip.counted === "crops").length;
  if (uncounted > 0) {
    log(
      `${uncounted} of ${clips.length} tracks have no annotations: their last crop is taken for their last frame`,
    );
  }
  return clips;
}

/** Label lines of each annotated track, of whatever label set. */
async function annotatedFrames(root: string, names: readonly string[]): Promise<Map<string, number>> {
  const folder = names.includes("annotations")
    ? `${root}/annotations`
    : names.includes("Annotation")
    ? `${root}/Annotation/annotations`
    : undefined;
  const counts = new Map<string, number>();
  if (folder === undefined) return counts;
  for (const set of await visibleNames(folder, "the annotations")) {
    for (const split of await namesIfFolder(`${folder}/${set}`, "the annotations") ?? []) {
      for (const file of await namesIfFolder(`${folder}/${set}/${split}`, "the annotations") ?? []) {
        if (!file.endsWith(".txt")) continue;
        const track = file.slice(0, -".txt".length);
        const lines = await linesOf(`${folder}/${set}/${split}/${file}`);
        counts.set(track, Math.max(counts.get(track) ?? 0, lines - 1));
      }
    }
  }
  return counts;
}

async function linesOf(file: string): Promise<number> {
  try {
    return new TextDecoder().decode(await readBytes(diskFiles, file, "the annotations")).trimEnd().split("\n")
      .length;
  } catch (error) {
    throw new UserError(`${(error as Error).message}; expected a file of labels`);
  }
}

function cropsOfTrack(names: readonly string[], folder: string): CropList {
  try {
    return listCrops(names, folder);
  } catch (error) {
    throw new UserError((error as Error).message);
  }
}
