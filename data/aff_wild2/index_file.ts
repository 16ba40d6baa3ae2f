/**
 * The index that `deno task prepare` writes: what it read of a data folder, so that later runs need not read it again.
 *
 * The file, all numbers little-endian:
 * ```
 * 8 bytes    "FERVIDIX"
 * uint32     version, 1
 * uint32     H, the length of the header
 * H bytes    the header: JSON, see `Header`; zeros up to a multiple of 8
 * `end` bytes  arrays, each at its offset in this part, a multiple of 8:
 *   before `images`: labels (int8 [count, width]) of every annotation file, frame numbers (int32) of every crop folder
 *   from `images` on: size (uint32, 2^32 - 1 = not checked) and time of change (float64, ms) of every crop
 * ```
 * Paths are relative to the data folder. A file that is shorter or longer than that is no index.
 *
 * @module
 */
import { writeWhole } from "../whole_file.ts";
import type { Annotations } from "./annotations.ts";
import type { CropList } from "./crops.ts";

const MAGIC = "FERVIDIX";
const VERSION = 1;
const PREFIX = 16;

/** The size that marks a crop which has not been decoded yet. */
export const UNCHECKED = 0xffffffff;

/** A file's size and time of change, by which a change is noticed. */
export interface FileState {
  readonly size: number;
  /** ms since 1970 */
  readonly mtime: number;
}

/** One annotation file. */
export interface IndexedAnnotations {
  readonly state: FileState;
  readonly annotations: Annotations;
}

/** One folder of crops. */
export interface IndexedCrops {
  /** of the folder: it changes when a file comes, goes or gets another name */
  readonly mtime: number;
  readonly crops: CropList;
  /** [crops] of each file when it was decoded; UNCHECKED; absent if the index was opened without them */
  readonly sizes?: Uint32Array;
  /** [crops] in ms */
  readonly mtimes?: Float64Array;
  /** frames whose crop cannot be used: the file's state and what is wrong with it, in words */
  readonly bad: ReadonlyMap<number, FileState & { readonly reason: string }>;
}

/** What an index holds, by path relative to the data folder. */
export interface IndexContent {
  readonly annotations: Map<string, IndexedAnnotations>;
  readonly crops: Map<string, IndexedCrops>;
}

interface Header {
  /** where the part begins that only `prepare` reads, and where it ends */
  readonly images: number;
  readonly end: number;
  readonly annotations:
    readonly (FileState & { path: string; count: number; width: number; labels: number })[];
  readonly crops: readonly {
    path: string;
    mtime: number;
    count: number;
    others: number;
    numbers: number;
    sizes: number;
    mtimes: number;
    bad: readonly (FileState & { frame: number; reason: string })[];
  }[];
}

function align(offset: number): number {
  return Math.ceil(offset / 8) * 8;
}

/** Lays arrays out one after the other. */
class Layout {
  readonly arrays: ArrayBufferView[] = [];
  end = 0;

  add(array: ArrayBufferView): number {
    const at = this.end;
    this.arrays.push(array);
    this.end = align(at + array.byteLength);
    return at;
  }
}

function layOut(
  { annotations, crops }: IndexContent,
): { header: Header; arrays: readonly ArrayBufferView[] } {
  const layout = new Layout();
  const files = [...annotations].map(([path, { state, annotations: { count, labels } }]) => {
    const width = count === 0 ? 1 : labels.length / count;
    return { path, ...state, count, width, labels: layout.add(labels) };
  });
  const numbers = [...crops.values()].map(({ crops: { numbers } }) => layout.add(numbers));
  const images = layout.end;
  const folders = [...crops].map(([path, folder], i) => {
    const { crops: { numbers: { length: count }, others }, mtime, bad } = folder;
    const sizes = layout.add(folder.sizes ?? new Uint32Array(count).fill(UNCHECKED));
    const mtimes = layout.add(folder.mtimes ?? new Float64Array(count));
    const list = [...bad].map(([frame, { size, mtime, reason }]) => ({ frame, size, mtime, reason }));
    return { path, mtime, count, others, numbers: numbers[i], sizes, mtimes, bad: list };
  });
  return { header: { images, end: layout.end, annotations: files, crops: folders }, arrays: layout.arrays };
}

/**
 * Writes an index, whole or not at all.
 *
 * @throws {Error} if it cannot be written
 */
export async function writeIndex(path: string, content: IndexContent): Promise<void> {
  const { header, arrays } = layOut(content);
  const json = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(align(PREFIX + json.length));
  head.set(new TextEncoder().encode(MAGIC));
  const view = new DataView(head.buffer);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, json.length, true);
  head.set(json, PREFIX);
  try {
    await writeWhole(path, async (put) => {
      await put(head);
      for (const array of arrays) {
        const padded = new Uint8Array(align(array.byteLength));
        padded.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
        await put(padded);
      }
    });
  } catch (error) {
    throw new Error(`Cannot write the index ${path}: ${(error as Error).message}`, { cause: error });
  }
}

async function readAll(file: Deno.FsFile, bytes: Uint8Array): Promise<boolean> {
  for (let at = 0; at < bytes.length;) {
    const count = await file.read(bytes.subarray(at));
    if (count === null) return false;
    at += count;
  }
  return true;
}

/**
 * Reads an index.
 *
 * @param images whether the states of all crops are read as well, which only `prepare` needs
 * @throws {Error} if the file cannot be read, is no index, of another version or not whole
 */
export async function readIndex(path: string, { images }: { images: boolean }): Promise<IndexContent> {
  const fail = (what: string) => new Error(`Cannot use the index ${path}: ${what}`);
  using file = await Deno.open(path);
  const prefix = new Uint8Array(PREFIX);
  if (
    !await readAll(file, prefix) || new TextDecoder().decode(prefix.subarray(0, MAGIC.length)) !== MAGIC
  ) {
    throw fail("it does not begin as one");
  }
  const view = new DataView(prefix.buffer);
  const [version, length] = [view.getUint32(8, true), view.getUint32(12, true)];
  if (version !== VERSION) throw fail(`it has version ${version}; expected ${VERSION}`);
  const { size } = await file.stat();
  const start = align(PREFIX + length);
  if (start > size) throw fail("it is not whole");
  const json = new Uint8Array(start - PREFIX);
  if (!await readAll(file, json)) throw fail("it is not whole");
  const header: Header = JSON.parse(new TextDecoder().decode(json.subarray(0, length)));
  if (size !== start + header.end) throw fail("it is not whole");
  const payload = new Uint8Array(images ? header.end : header.images);
  if (!await readAll(file, payload)) throw fail("it is not whole");
  return contentOf(header, payload.buffer, images);
}

function contentOf({ annotations, crops }: Header, payload: ArrayBuffer, images: boolean): IndexContent {
  return {
    annotations: new Map(annotations.map(({ path, size, mtime, count, width, labels }) => [path, {
      state: { size, mtime },
      annotations: { count, labels: new Int8Array(payload, labels, count * width) },
    }])),
    crops: new Map(crops.map(({ path, mtime, count, others, numbers, sizes, mtimes, bad }) => [path, {
      mtime,
      crops: { numbers: new Int32Array(payload, numbers, count), others },
      ...(images
        ? {
          sizes: new Uint32Array(payload, sizes, count),
          mtimes: new Float64Array(payload, mtimes, count),
        }
        : {}),
      bad: new Map(bad.map(({ frame, ...state }) => [frame, state])),
    }])),
  };
}
