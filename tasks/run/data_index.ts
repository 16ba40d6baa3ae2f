/**
 * Opening the index that `prepare` wrote, where there is one.
 *
 * @module
 */
import { DatasetIndex, INDEX_NAME } from "../../data/aff_wild2/mod.ts";
import type { BadImages } from "../../data/bad_images.ts";
import type { Dataset } from "../../data/aff_wild2/types.ts";
import { UserError } from "./cli.ts";

/** How splits are opened. */
export interface OpenOptions {
  /** an index elsewhere than in the data folder */
  readonly index?: string | null;
  /** decides about images that the index knows to be unusable */
  readonly badImages?: BadImages;
}

/**
 * Opens the index of a data folder. One beside the data that cannot be used is said to be so, and the data is read.
 *
 * @throws {UserError} if the index was asked for by name and cannot be used
 */
export async function openIndex(
  root: string,
  named: string | null | undefined,
  log: (line: string) => void,
): Promise<DatasetIndex | undefined> {
  const folder = root.replace(/(?<=.)\/+$/, "");
  const path = named ?? `${folder}/${INDEX_NAME}`;
  try {
    return await DatasetIndex.open(path, folder);
  } catch (error) {
    const { message } = error as Error;
    if (typeof named === "string") {
      throw new UserError(`Cannot open the index ${path}: ${message}; expected what deno task prepare wrote`);
    }
    if (!(error instanceof Deno.errors.NotFound)) log(`${message}; the data is read without it`);
    return undefined;
  }
}

/** Says how much of the data came from the index. */
export function indexLine({ path, unchanged, changed }: DatasetIndex): string {
  if (changed.length === 0) return `index: ${path}, all ${unchanged} files and folders as they were`;
  return `index: ${path}, ${unchanged} files and folders as they were, ${changed.length} read anew ` +
    `(${changed[0]}${changed.length > 1 ? ", ..." : ""}); deno task prepare brings it up to date`;
}

/**
 * Holds the datasets against what the index knows of their images, before anything is computed.
 *
 * @throws {UserError} if there are images that cannot be used and they are not to be left out
 */
export function refuseBadImages(
  index: DatasetIndex,
  datasets: readonly Dataset[],
  { policy }: BadImages,
  log: (line: string) => void,
): void {
  const known = datasets.flatMap((dataset) => index.badImages(dataset));
  if (known.length === 0) return;
  if (policy === "skip") {
    log(`images that cannot be used, by the index: ${known.length}; their frames are left out`);
    return;
  }
  const shown = known.slice(0, 5).map(({ path, reason }) => `${path}: ${reason}`).join("; ");
  throw new UserError(
    `Cannot start: ${known.length} image${
      known.length > 1 ? "s" : ""
    } cannot be used, says ${index.path}: ${shown}${
      known.length > 5 ? "; ..." : ""
    }; make them good and run deno task prepare again, or leave their frames out with --on-bad-image=skip`,
  );
}
