/**
 * An index beside the data it is of: what has not changed since is taken from it, what has is read anew.
 *
 * @module
 */
import { ImageError } from "../images.ts";
import type { Annotations } from "./annotations.ts";
import type { CropList } from "./crops.ts";
import { type FileState, type IndexContent, readIndex } from "./index_file.ts";
import { type Dataset, imageName } from "./types.ts";

/** The index's name in the data folder. */
export const INDEX_NAME = "fervid.index";

/** A file's or folder's state; undefined if it cannot be had. */
export function stateOf(path: string): FileState | undefined {
  try {
    const { size, mtime } = Deno.statSync(path);
    return mtime === null ? undefined : { size, mtime: mtime.getTime() };
  } catch {
    return undefined; // whoever reads it next says why
  }
}

/** The state of a file that is gone or cannot be looked at. */
export const NO_FILE: FileState = { size: 0, mtime: 0 };

function isSame(a: FileState, b: FileState | undefined): boolean {
  return a.size === b?.size && a.mtime === b.mtime;
}

/**
 * An open index. A file of annotations counts as unchanged while its size and time of change are the same, a folder of
 * crops while its time of change is: that is, while no crop came, went or was renamed.
 */
export class DatasetIndex {
  /** the index's file */
  readonly path: string;
  readonly #root: string;
  readonly #content: IndexContent;
  #unchanged = 0;
  readonly #changed: string[] = [];

  /** @param root the data folder, without a trailing slash */
  constructor(path: string, root: string, content: IndexContent) {
    this.path = path;
    this.#root = root;
    this.#content = content;
  }

  /**
   * Opens an index.
   *
   * @throws {Error} if it cannot be read, is no index, or of another version
   */
  static async open(path: string, root: string): Promise<DatasetIndex> {
    return new DatasetIndex(path, root, await readIndex(path, { images: false }));
  }

  /** Files and folders that were asked for and taken from the index. */
  get unchanged(): number {
    return this.#unchanged;
  }

  /** Those that changed since, or that it does not have. */
  get changed(): readonly string[] {
    return this.#changed;
  }

  /** The labels of an annotation file; undefined if they are to be read. */
  annotations(file: string): Annotations | undefined {
    const indexed = this.#content.annotations.get(this.#relative(file));
    return this.#count(
      file,
      indexed && isSame(indexed.state, stateOf(file)) ? indexed.annotations : undefined,
    );
  }

  /** The crops in a folder; undefined if they are to be listed. */
  crops(folder: string): CropList | undefined {
    const indexed = this.#content.crops.get(this.#relative(folder));
    const state = stateOf(folder);
    if (indexed === undefined && state === undefined) return undefined; // there is still no folder
    return this.#count(folder, indexed?.mtime === state?.mtime ? indexed?.crops : undefined);
  }

  /** The kept frames whose crop could not be decoded, as long as its file is the same, or still is not there. */
  badImages(dataset: Dataset): ImageError[] {
    return dataset.tracks.flatMap(({ imageFolder, frames }) => {
      const bad = this.#content.crops.get(this.#relative(imageFolder))?.bad;
      if (bad === undefined || bad.size === 0) return [];
      return [...frames].flatMap((frame) => {
        const path = `${imageFolder}/${imageName(frame)}`;
        const found = bad.get(frame);
        return found && isSame(found, stateOf(path) ?? NO_FILE)
          ? [new ImageError("decode", path, found.reason)]
          : [];
      });
    });
  }

  #relative(path: string): string {
    return path.startsWith(`${this.#root}/`) ? path.slice(this.#root.length + 1) : path;
  }

  #count<T>(path: string, value: T | undefined): T | undefined {
    if (value === undefined) this.#changed.push(path);
    else this.#unchanged++;
    return value;
  }
}
