/**
 * Makes the index of a data folder: reads every annotation file, lists every folder of crops, decodes every crop once.
 * What an earlier index holds and has not changed since is taken from it.
 *
 * @module
 */
import { ImageError, readImage } from "../images.ts";
import { readAnnotations, readCrops } from "./dataset.ts";
import { NO_FILE, stateOf } from "./dataset_index.ts";
import { diskFiles } from "./files.ts";
import {
  type FileState,
  type IndexContent,
  type IndexedAnnotations,
  type IndexedCrops,
  UNCHECKED,
} from "./index_file.ts";
import { findLayout, LABEL_SET_FOLDERS, type Layout, listSplit, SPLIT_FOLDERS } from "./layout.ts";
import { imageName, type LabelSet, type Split } from "./types.ts";

/** One split of one label set that is there. */
export interface PreparedSet {
  readonly labelSet: LabelSet;
  readonly split: Split;
  readonly tracks: readonly string[];
}

/** How much was redone and how much an earlier index spared. */
export interface Effort {
  /** annotation files that were parsed */
  annotations: number;
  /** folders of crops that were listed */
  folders: number;
  /** crops that were decoded; hard links of one file count once */
  decoded: number;
  /** crops in all */
  crops: number;
}

/** What came of it. */
export interface Preparation {
  readonly root: string;
  readonly content: IndexContent;
  readonly sets: readonly PreparedSet[];
  /** label sets and files that cannot be read, in words; they are not in the index */
  readonly problems: readonly string[];
  readonly effort: Readonly<Effort>;
  /** the signal came before all crops were decoded; those that were are in the index */
  readonly interrupted: boolean;
}

/** How to prepare. */
export interface PrepareOptions {
  /** an earlier index, read with its images */
  readonly previous?: IndexContent;
  readonly signal?: AbortSignal;
  /** called after each folder whose files were looked at */
  readonly onFolder?: (done: number, total: number) => void;
  /** called after each crop that was decoded */
  readonly onImage?: (done: number, total: number) => void;
}

/** Crops under way at once. */
const CONCURRENCY = Math.max(8, 4 * navigator.hardwareConcurrency);
const SETS: readonly [LabelSet, Split][] = [
  ["expression", "train"],
  ["expression", "validation"],
  ["action_units", "train"],
  ["action_units", "validation"],
];

/** A folder of crops that is being indexed. */
interface Folder {
  readonly path: string;
  readonly indexed: IndexedCrops & {
    readonly sizes: Uint32Array;
    readonly mtimes: Float64Array;
    readonly bad: Map<number, FileState & { readonly reason: string }>;
  };
  /** places of crops that are to be decoded */
  readonly pending: Int32Array;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The sets that are there; a label set may be missing whole, one of its splits may not. */
async function listSets(layout: Layout, problems: string[]): Promise<PreparedSet[]> {
  const there = new Set(await diskFiles.list(layout.annotations));
  const sets: PreparedSet[] = [];
  for (const [labelSet, split] of SETS) {
    if (!there.has(LABEL_SET_FOLDERS[labelSet])) continue;
    try {
      sets.push({ labelSet, split, tracks: (await listSplit(layout, labelSet, split)).tracks });
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  if (sets.length === 0 && problems.length === 0) {
    const wanted = Object.values(LABEL_SET_FOLDERS).join(" or ");
    problems.push(`Cannot read annotations from ${layout.annotations}: expected ${wanted} but found neither`);
  }
  return sets;
}

/** Parses the annotation files that changed. */
async function indexAnnotations(
  layout: Layout,
  sets: readonly PreparedSet[],
  previous: IndexContent | undefined,
  effort: Effort,
  problems: string[],
): Promise<Map<string, IndexedAnnotations>> {
  const indexed = new Map<string, IndexedAnnotations>();
  for (const { labelSet, split, tracks } of sets) {
    const folder = `${layout.annotations}/${LABEL_SET_FOLDERS[labelSet]}/${SPLIT_FOLDERS[split]}`;
    for (const track of tracks) {
      const file = `${folder}/${track}.txt`;
      const path = file.slice(layout.root.length + 1);
      const state = stateOf(file);
      const before = previous?.annotations.get(path);
      if (before && before.state.size === state?.size && before.state.mtime === state.mtime) {
        indexed.set(path, before);
        continue;
      }
      try {
        const annotations = await readAnnotations(diskFiles, file, labelSet);
        effort.annotations++;
        if (state !== undefined) indexed.set(path, { state, annotations });
      } catch (error) {
        problems.push(messageOf(error));
      }
    }
  }
  return indexed;
}

/** Lists a folder of crops, and takes over what is known of the files that have not changed. */
async function indexFolder(
  path: string,
  before: IndexedCrops | undefined,
  effort: Effort,
): Promise<Folder | undefined> {
  const state = stateOf(path); // before the listing: a crop that comes in between makes the entry stale
  let crops = before?.mtime === state?.mtime ? before?.crops : undefined;
  if (crops === undefined) {
    crops = await readCrops(diskFiles, path);
    if (crops === undefined || state === undefined) return undefined;
    effort.folders++;
  }
  const count = crops.numbers.length;
  effort.crops += count;
  const sizes = new Uint32Array(count).fill(UNCHECKED);
  const mtimes = new Float64Array(count);
  const bad: Folder["indexed"]["bad"] = new Map();
  const pending = new Int32Array(count);
  let left = 0;
  const find = finderOf(before);
  for (let i = 0; i < count; i++) {
    const frame = crops.numbers[i];
    const known = find(frame);
    const now = known && fileAt(`${path}/${imageName(frame)}`);
    if (known === undefined || known.size !== now?.size || known.mtime !== now.mtime) {
      pending[left++] = i;
      continue;
    }
    [sizes[i], mtimes[i]] = [known.size, known.mtime];
    if (known.bad !== undefined) bad.set(frame, known.bad);
  }
  return {
    indexed: { mtime: state!.mtime, crops, sizes, mtimes, bad },
    path,
    pending: pending.slice(0, left),
  };
}

/** Finds what an earlier index knows of a crop; frames are asked for in ascending order. */
function finderOf(before: IndexedCrops | undefined) {
  let k = 0;
  return (frame: number) => {
    const { sizes, mtimes, crops, bad } = before ?? {};
    if (sizes === undefined || mtimes === undefined) return undefined;
    const { numbers } = crops!;
    while (k < numbers.length && numbers[k] < frame) k++;
    if (numbers[k] !== frame || sizes[k] === UNCHECKED) return undefined;
    return { size: sizes[k], mtime: mtimes[k], bad: bad!.get(frame) };
  };
}

/** A file's state, and a name that all hard links of it share; undefined if it is gone or cannot be looked at. */
function fileAt(file: string): FileState & { readonly link?: string } | undefined {
  try {
    const { size, mtime, nlink, dev, ino } = Deno.statSync(file);
    return {
      size: Math.min(size, UNCHECKED - 1),
      mtime: mtime?.getTime() ?? 0,
      ...(nlink !== null && nlink > 1 && ino !== null ? { link: `${dev}:${ino}` } : {}),
    };
  } catch {
    return undefined; // decoding it says why
  }
}

function* pendingCrops(folders: Iterable<Folder>): Generator<{ folder: Folder; i: number }, void> {
  for (const folder of folders) for (const i of folder.pending) yield { folder, i };
}

/** Decodes what is pending, several at a time, each file once; returns whether the signal came first. */
async function decodeAll(
  folders: readonly Folder[],
  effort: Effort,
  { signal, onImage }: PrepareOptions,
): Promise<boolean> {
  const total = folders.reduce((sum, { pending }) => sum + pending.length, 0);
  const crops = pendingCrops(folders);
  const linked = new Map<string, Promise<ImageError | undefined>>();
  const decode = (file: string) => {
    effort.decoded++;
    return errorOf(file);
  };
  let done = 0;
  const worker = async () => {
    for (let next = crops.next(); !next.done && !signal?.aborted; next = crops.next()) {
      const { folder: { path, indexed }, i } = next.value;
      const frame = indexed.crops.numbers[i];
      const file = `${path}/${imageName(frame)}`;
      const state: ReturnType<typeof fileAt> = fileAt(file) ?? NO_FILE;
      let result = state.link === undefined ? undefined : linked.get(state.link);
      if (result === undefined) {
        result = decode(file);
        if (state.link !== undefined) linked.set(state.link, result);
      }
      const error = await result;
      const { size, mtime } = state;
      // What cannot be read is tried again: permissions change without a trace in a file's time of change.
      if (error?.action !== "read") [indexed.sizes[i], indexed.mtimes[i]] = [size, mtime];
      if (error !== undefined) indexed.bad.set(frame, { size, mtime, reason: error.reason });
      done++;
      onImage?.(done, total);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return done < total;
}

/** Why an image cannot be used; undefined if it can. */
async function errorOf(path: string): Promise<ImageError | undefined> {
  try {
    await readImage(path);
    return undefined;
  } catch (error) {
    if (error instanceof ImageError) return error;
    throw error;
  }
}

/** Orders a folder's bad crops by frame: they were decoded side by side. */
function sortBad({ indexed: { bad } }: Folder): void {
  const sorted = [...bad].sort(([a], [b]) => a - b);
  bad.clear();
  for (const [frame, entry] of sorted) bad.set(frame, entry);
}

/**
 * Prepares the index of a data folder.
 *
 * @throws {Error} if the folder is not in Aff-Wild2's layout; all else that is wrong is among the problems
 */
export async function prepareIndex(root: string, options: PrepareOptions = {}): Promise<Preparation> {
  const { previous, signal, onFolder } = options;
  const problems: string[] = [];
  const effort: Effort = { annotations: 0, folders: 0, decoded: 0, crops: 0 };
  const layout = await findLayout(root);
  const sets = await listSets(layout, problems);
  const annotations = await indexAnnotations(layout, sets, previous, effort, problems);
  const tracks = [...new Set(sets.flatMap((set) => set.tracks))].sort();
  const crops = new Map<string, IndexedCrops>();
  const folders: Folder[] = [];
  for (const [done, track] of tracks.entries()) {
    const folder = `${layout.crops}/${track}`;
    const path = folder.slice(layout.root.length + 1);
    try {
      const found = await indexFolder(folder, previous?.crops.get(path), effort);
      if (found !== undefined) {
        crops.set(path, found.indexed);
        folders.push(found);
      }
    } catch (error) {
      problems.push(messageOf(error));
    }
    onFolder?.(done + 1, tracks.length);
    if (done % 8 === 7) await new Promise((resolve) => setTimeout(resolve)); // lets Ctrl-C and the bar have a turn
    signal?.throwIfAborted();
  }
  const interrupted = await decodeAll(folders, effort, options);
  folders.forEach(sortBad);
  return { root: layout.root, content: { annotations, crops }, sets, problems, effort, interrupted };
}
