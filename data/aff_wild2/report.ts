/**
 * What was kept and what was dropped, per track and in total; nothing is left out silently.
 *
 * @module
 */
import { classCounts } from "./dataset.ts";
import { ACTION_UNITS, type Dataset, EXPRESSIONS } from "./types.ts";

/** One line of the report. */
export interface TrackReport {
  readonly track: string;
  readonly annotated: number;
  readonly kept: number;
  readonly unlabelled: number;
  readonly missingCrop: number;
  readonly unlabelledCrops: number;
}

/** The report of a split. */
export interface DatasetReport {
  readonly split: string;
  readonly labelSet: string;
  readonly tracks: readonly TrackReport[];
  readonly skipped: Dataset["skipped"];
  readonly total: TrackReport;
  /** kept frames per class, or positives per action unit */
  readonly classes: Readonly<Record<string, number>>;
}

/** Counts what was kept and dropped. */
export function reportDataset(dataset: Dataset): DatasetReport {
  const tracks = dataset.tracks.map(({ name, annotatedFrames, frames, dropped }): TrackReport => ({
    track: name,
    annotated: annotatedFrames,
    kept: frames.length,
    ...dropped,
  }));
  const sum = (key: "annotated" | "kept" | "unlabelled" | "missingCrop" | "unlabelledCrops") =>
    tracks.reduce((total, track) => total + track[key], 0);
  const names = dataset.labelSet === "expression" ? EXPRESSIONS : ACTION_UNITS;
  const counts = classCounts(dataset);
  return {
    split: dataset.split,
    labelSet: dataset.labelSet,
    tracks,
    skipped: dataset.skipped,
    total: {
      track: `${tracks.length} tracks`,
      annotated: sum("annotated"),
      kept: sum("kept"),
      unlabelled: sum("unlabelled"),
      missingCrop: sum("missingCrop"),
      unlabelledCrops: sum("unlabelledCrops"),
    },
    classes: Object.fromEntries(names.map((name, i) => [name, counts[i]])),
  };
}

/** One line that sums a report up, for logs. */
export function summarize(report: DatasetReport): string {
  const { total, skipped } = report;
  const parts = [
    `${report.split}: ${total.kept} of ${total.annotated} frames in ${total.track}`,
    `${total.unlabelled} unlabelled`,
    `${total.missingCrop} without a crop`,
  ];
  if (total.unlabelledCrops > 0) parts.push(`${total.unlabelledCrops} crops beyond the labels`);
  if (skipped.length > 0) {
    parts.push(
      `${skipped.length} tracks left out (${
        skipped.map(({ name, reason }) => `${name}: ${reason}`).join("; ")
      })`,
    );
  }
  return parts.join(", ");
}
