/**
 * What `prepare` says of a data folder: tracks and frames of each set, classes, leaks between sets, unreadable images.
 *
 * @module
 */
import { readDataset, reportDataset, sharedVideos } from "../../data/aff_wild2/mod.ts";
import type { DatasetIndex, DatasetReport } from "../../data/aff_wild2/mod.ts";
import type { Preparation, PreparedSet } from "../../data/aff_wild2/prepare.ts";
import type { Dataset } from "../../data/aff_wild2/types.ts";
import { textTable } from "./table.ts";

/** Names that are listed at most. */
const SHOWN = 10;

/** A set with what it holds, or why that cannot be told. */
export interface ReadSet extends PreparedSet {
  readonly dataset?: Dataset;
  readonly report?: DatasetReport;
  /** kept frames whose crop cannot be used */
  readonly unreadable: number;
  readonly problem?: string;
}

/** Videos that two sets share although one is trained on and the other is for validation. */
export interface Leak {
  readonly train: string;
  readonly validation: string;
  readonly videos: readonly string[];
}

const nameOf = ({ labelSet, split }: PreparedSet) => `${labelSet} ${split}`;

/** Reads the prepared sets as a run will. A set with a file that cannot be read has that as its problem already. */
export async function readSets(
  { root, sets, problems }: Preparation,
  index: DatasetIndex,
): Promise<ReadSet[]> {
  const read: ReadSet[] = [];
  for (const set of sets) {
    try {
      const dataset = await readDataset(root, { ...set, index });
      const unreadable = index.badImages(dataset).length;
      read.push({ ...set, dataset, report: reportDataset(dataset), unreadable });
    } catch (error) {
      const { message } = error as Error;
      read.push({ ...set, unreadable: 0, ...(problems.includes(message) ? {} : { problem: message }) });
    }
  }
  return read;
}

/** The table of all sets, the counts of their classes, and the tracks that are skipped. */
export function setLines(sets: readonly ReadSet[]): string[] {
  const known = sets.filter((set) => set.report !== undefined);
  if (known.length === 0) return [];
  const rows = known.map((set) => {
    const { totals } = set.report!;
    const { tracks, skippedTracks, annotated, unlabelled, missingCrop, kept, unlabelledCrops } = totals;
    const numbers = [tracks, skippedTracks, annotated, annotated - unlabelled, kept, unlabelled, missingCrop];
    return [nameOf(set), ...[...numbers, unlabelledCrops, set.unreadable].map(String)];
  });
  const lines = textTable([
    "set",
    "tracks",
    "skipped",
    "frames",
    "labelled",
    "with a crop",
    "unlabelled",
    "without a crop",
    "crops too many",
    "unreadable",
  ], rows);
  for (const set of known) lines.push("", ...classLines(set), ...skippedLines(set));
  return [...lines, ""];
}

function classLines(set: ReadSet): string[] {
  const { totals: { kept }, classes } = set.report!;
  const share = (frames: number) => `${(100 * frames / Math.max(1, kept)).toFixed(1)} %`;
  return textTable(
    [nameOf(set), "frames", "share"],
    classes.map(({ name, frames }) => [name, String(frames), share(frames)]),
  );
}

function skippedLines({ dataset }: ReadSet): string[] {
  const { skipped } = dataset!;
  const lines = skipped.slice(0, SHOWN).map(({ name, reason }) => `skipped: ${name}: ${reason}`);
  return skipped.length > SHOWN ? [...lines, `skipped: and ${skipped.length - SHOWN} more tracks`] : lines;
}

/** Every training set held against every validation set. */
export function leaksOf(sets: readonly ReadSet[]): Leak[] {
  const of = (split: string) => sets.filter((set) => set.split === split && set.dataset !== undefined);
  return of("train").flatMap((train) =>
    of("validation").map((validation) => ({
      train: nameOf(train),
      validation: nameOf(validation),
      videos: sharedVideos(train.dataset!, validation.dataset!),
    }))
  );
}

/** One line a pair of sets. */
export function leakLines(leaks: readonly Leak[]): string[] {
  return leaks.map(({ train, validation, videos }) => {
    const shown = videos.slice(0, SHOWN).join(", ") + (videos.length > SHOWN ? ", ..." : "");
    return `videos in both ${train} and ${validation}: ${
      videos.length === 0 ? "none" : `${videos.length} (${shown})`
    }`;
  });
}

/** Crops that cannot be used, labelled or not. */
export function unreadableLines({ root, content }: Preparation): string[] {
  const all = [...content.crops].flatMap(([path, { bad }]) =>
    [...bad].map(([frame, { reason }]) => `${root}/${path}, frame ${frame}: ${reason}`)
  );
  if (all.length === 0) return ["unreadable crops: none"];
  const more = all.length > SHOWN ? [`  and ${all.length - SHOWN} more`] : [];
  return [
    `unreadable crops: ${all.length}; train and evaluate refuse them, or leave them out with --on-bad-image=skip`,
    ...all.slice(0, SHOWN).map((line) => `  ${line}`),
    ...more,
  ];
}

/** The same for the last line. */
export function summaryOf({ content }: Preparation, sets: readonly ReadSet[], leaks: readonly Leak[]) {
  const unreadable = [...content.crops.values()].reduce((sum, { bad }) => sum + bad.size, 0);
  return {
    sets: sets.map(({ labelSet, split, report, unreadable }) => ({
      labelSet,
      split,
      ...report?.totals,
      unreadable,
      classes: Object.fromEntries((report?.classes ?? []).map(({ name, frames }) => [name, frames])),
    })),
    leaks: leaks.filter(({ videos }) => videos.length > 0),
    unreadable,
  };
}
