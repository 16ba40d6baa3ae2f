/**
 * What the inputs are: images, folders of crops, trees in Aff-Wild2's layout, folders of pictures and videos, videos,
 * standard input. A clip is what has frames of its own.
 *
 * @module
 */
import { diskFiles, listFolder } from "../../data/aff_wild2/files.ts";
import { videoOfTrack } from "../../data/aff_wild2/layout.ts";
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
const CROP_NAME = /^(\d{5,})\.jpg$/;
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

async function fileClip(path: string, name: string): Promise<Clip> {
  const head = new Uint8Array(MAGIC_BYTES);
  using file = await Deno.open(path);
  const count = await file.read(head) ?? 0;
  if (isPicture(head.subarray(0, count)) || IMAGE_NAME.test(path)) {
    return { kind: "image", name, source: path };
  }
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
  return { kind: "image", name: "stdin", source: new Uint8Array(await new Response(rest).arrayBuffer()) };
}

async function folderClips(folder: string, { cropped, log }: ClipOptions): Promise<Clip[]> {
  const names = await listFolder(diskFiles, folder, "the folder");
  const tree = await treeClips(folder, names, log);
  if (tree !== undefined) return tree;
  if (names.some((name) => CROP_NAME.test(name))) return [cropsClip(stemOfFolder(folder), folder, names)];
  const pictures = names.filter((name) => IMAGE_NAME.test(name));
  if (cropped && pictures.length > 0) {
    const files = new Map(pictures.map((name, i) => [i + 1, name]));
    const frames = pictures.length;
    return [{ kind: "crops", name: stemOfFolder(folder), folder, files, frames, counted: "crops" }];
  }
  const usable = names.filter((name) => IMAGE_NAME.test(name) || VIDEO_NAME.test(name));
  if (usable.length === 0) {
    throw new UserError(
      `Cannot predict ${folder}: none of its ${names.length} entries is an image or a video; expected those, a ` +
        "folder of crops (00001.jpg, ...), or a tree in Aff-Wild2's layout",
    );
  }
  if (usable.length < names.length) {
    log(`${folder}: ${names.length - usable.length} entries are neither images nor videos`);
  }
  return await Promise.all(usable.map((name) => fileClip(`${folder}/${name}`, `${folder}/${name}`)));
}

function stemOfFolder(folder: string): string {
  return folder.replace(/^.*\//, "");
}

function cropsClip(name: string, folder: string, names: readonly string[], annotated = 0): Clip {
  const files = new Map<number, string>();
  let last = 0;
  for (const file of names) {
    const number = Number(CROP_NAME.exec(file)?.[1] ?? 0);
    if (number === 0) continue;
    files.set(number, file);
    last = Math.max(last, number);
  }
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
  for (const track of await listFolder(diskFiles, crops, "the crops")) {
    if (track.startsWith(".")) continue;
    const files = await listFolder(diskFiles, `${crops}/${track}`, `the crops of ${track}`);
    // A video's tracks all have its frames.
    const lines = annotated.get(track) ?? annotated.get(videoOfTrack(track)) ?? 0;
    clips.push(cropsClip(track, `${crops}/${track}`, files, lines));
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
  for (const set of await listFolder(diskFiles, folder, "the annotations")) {
    for (const split of await listFolder(diskFiles, `${folder}/${set}`, "the annotations")) {
      for (const file of await listFolder(diskFiles, `${folder}/${set}/${split}`, "the annotations")) {
        if (!file.endsWith(".txt") || file.startsWith(".")) continue;
        const lines =
          (await Deno.readTextFile(`${folder}/${set}/${split}/${file}`)).trimEnd().split("\n").length;
        const track = file.slice(0, -".txt".length);
        counts.set(track, Math.max(counts.get(track) ?? 0, lines - 1));
      }
    }
  }
  return counts;
}
