/**
 * What was kept of a dataset and what was dropped and why, per track and in all: as an object for JSON and as
 * lines of text.
 *
 * @module
 */
import type { Dataset, SkippedTrack, Split, Target, Track } from "./types.ts";

/** Counts of frames: `annotated` = `kept` + `unlabelled` + `missingCrop` + `excluded`. */
export interface FrameCounts {
  /** label lines = frames of the video */
  readonly annotated: number;
  /** frames that are in */
  readonly kept: number;
  /** labelled -1 */
  readonly unlabelled: number;
  /** labelled, without a crop */
  readonly missingCrop: number;
  /** usable, left out with the whole track on purpose */
  readonly excluded: number;
  /** crops beyond the last label line; not among the annotated */
  readonly unlabelledCrops: number;
}

/** One track's frames. */
export interface TrackReport extends FrameCounts {
  /** e.g. `video59_right` */
  readonly name: string;
  /** e.g. `video59` */
  readonly video: string;
  /** why the whole track is left out; absent if it is in */
  readonly skipped?: string;
}

/** The sums over all tracks. */
export interface ReportTotals extends FrameCounts {
  /** tracks that are in */
  readonly tracks: number;
  /** tracks that are left out whole */
  readonly skippedTracks: number;
  /** videos of the tracks that are in */
  readonly videos: number;
}

/** How often a class is among the kept frames. */
export interface ClassCount {
  /** of {@linkcode EXPRESSIONS} or {@linkcode ACTION_UNITS} */
  readonly name: string;
  /** frames of the class; action units: frames where the unit is active */
  readonly frames: number;
}

/** A dataset's report; plain data, fit for JSON. */
export interface DatasetReport {
  /** the folder that was read */
  readonly root: string;
  /** which labels */
  readonly labelSet: Target;
  /** which part */
  readonly split: Split;
  /** the sums over `tracks` */
  readonly totals: ReportTotals;
  /** in label order */
  readonly classes: readonly ClassCount[];
  /** all tracks, kept and skipped, ordered by name */
  readonly tracks: readonly TrackReport[];
}

/** The columns that are summed. */
const COUNTS = ["annotated", "kept", "unlabelled", "missingCrop", "excluded", "unlabelledCrops"] as const;

function reportTrack(track: Track | SkippedTrack): TrackReport {
  const isKept = "frames" in track;
  return {
    name: track.name,
    video: track.video,
    annotated: track.annotatedFrames,
    kept: isKept ? track.frames.length : 0,
    unlabelled: track.dropped.unlabelled,
    missingCrop: track.dropped.missingCrop,
    excluded: isKept ? 0 : track.excludedFrames,
    unlabelledCrops: track.dropped.unlabelledCrops,
    ...(isKept ? {} : { skipped: track.reason }),
  };
}

/** Counts the kept frames of each class, or those where each action unit is active. */
export function countClasses(dataset: Dataset): ClassCount[] {
  const names = dataset.classNames;
  const counts = new Array<number>(names.length).fill(0);
  for (const { labels } of dataset.tracks) {
    for (let i = 0; i < labels.length; i++) {
      const column = i % dataset.labelWidth;
      if (labels[i] < 0) continue;
      // The first column of one-class labels numbers the class; each other column is a class of its own.
      if (dataset.labelSet !== "action_units" && column === 0) counts[labels[i]]++;
      else counts[names.length - dataset.labelWidth + column] += labels[i];
    }
  }
  return names.map((name, i) => ({ name, frames: counts[i] }));
}

/** The report of a dataset. */
export function reportDataset(dataset: Dataset): DatasetReport {
  const tracks = [...dataset.tracks, ...dataset.skipped].map(reportTrack)
    .sort((a, b) => a.name < b.name ? -1 : 1);
  const sums = { annotated: 0, kept: 0, unlabelled: 0, missingCrop: 0, excluded: 0, unlabelledCrops: 0 };
  for (const track of tracks) for (const column of COUNTS) sums[column] += track[column];
  return {
    root: dataset.root,
    labelSet: dataset.labelSet,
    split: dataset.split,
    totals: {
      tracks: dataset.tracks.length,
      skippedTracks: dataset.skipped.length,
      videos: new Set(dataset.tracks.map((track) => track.video)).size,
      ...sums,
    },
    classes: countClasses(dataset),
    tracks,
  };
}

/** Rows of cells as lines: the first column to the left, numbers to the right, the last as it is. */
function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((cell, column) => {
      if (column === 0) return cell.padEnd(widths[column]);
      return column === row.length - 1 ? cell : cell.padStart(widths[column]);
    }).join("  ").trimEnd()
  );
}

/**
 * The per-track table: one line a track under a line of headings, a last line of sums.
 *
 * @param only `all` tracks (the default) or those that lost something
 */
export function trackLines(report: DatasetReport, only: "all" | "dropped" = "all"): string[] {
  const numbers = (row: FrameCounts) => COUNTS.map((column) => String(row[column]));
  const rows = [["track", "annotated", "kept", "unlabelled", "no crop", "excluded", "extra crops", "note"]];
  for (const track of report.tracks) {
    const whole = track.kept === track.annotated && track.unlabelledCrops === 0 && !track.skipped;
    if (only === "dropped" && whole) continue;
    rows.push([track.name, ...numbers(track), track.skipped ? `skipped: ${track.skipped}` : ""]);
  }
  rows.push([`all ${report.tracks.length} tracks`, ...numbers(report.totals), ""]);
  return alignColumns(rows);
}

/** The totals and the class counts, a few lines. */
export function summaryLines(report: DatasetReport): string[] {
  const { totals, classes } = report;
  const share = (frames: number) => `${(100 * frames / Math.max(1, totals.kept)).toFixed(1)} %`;
  const rows = classes.map(({ name, frames }) => [`  ${name}`, String(frames), share(frames), ""]);
  const skipped = totals.skippedTracks === 0 ? "" : `, ${totals.skippedTracks} skipped`;
  const excluded = totals.excluded === 0 ? "" : `, ${totals.excluded} excluded`;
  return [
    `${report.labelSet} ${report.split}: ${totals.tracks} tracks of ${totals.videos} videos${skipped}`,
    `${totals.kept} of ${totals.annotated} annotated frames kept: ${totals.unlabelled} unlabelled, ` +
    `${totals.missingCrop} without a crop${excluded}; crops beyond the last label: ${totals.unlabelledCrops}`,
    ...alignColumns(rows),
  ];
}
