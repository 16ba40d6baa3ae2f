/**
 * Frames whose image could not be used have no label and probabilities of 0: they are no neighbours either.
 *
 * @module
 */
import type { NetworkName } from "../../models/networks.ts";
import { smooth, type Smoothing } from "../../models/smoothing.ts";
import { allLabels, type LabelledFrames } from "./frames.ts";

/** Probabilities of each network with the frames that they are of. */
interface Predicted {
  readonly probabilities: ReadonlyMap<NetworkName, Float32Array>;
  readonly dataset: LabelledFrames;
}

/** The rows that are there; undefined if all are, or none. */
function rowsThere(networks: readonly Float32Array[], dataset: LabelledFrames): Int32Array | undefined {
  const labels = allLabels(dataset);
  const { labelWidth, classNames: { length: classes } } = dataset;
  const frames = labels.length / labelWidth;
  const isThere = (row: number) =>
    labels.subarray(row * labelWidth, (row + 1) * labelWidth).some((label) => label >= 0) ||
    networks.some((values) =>
      values.subarray(row * classes, (row + 1) * classes).some((value) => value !== 0)
    );
  const rows = Int32Array.from({ length: frames }, (_, row) => row).filter(isThere);
  return rows.length === 0 || rows.length === frames ? undefined : rows;
}

function pick(values: Float32Array, rows: Int32Array, width: number): Float32Array {
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => picked.set(values.subarray(row * width, (row + 1) * width), i * width));
  return picked;
}

/** Tracks without the other rows of the list of frames. */
function tracksOf({ tracks, labelWidth }: LabelledFrames, rows: Int32Array): LabelledFrames["tracks"] {
  let first = 0;
  let next = 0;
  return tracks.map((track) => {
    const end = first + track.frames.length;
    const own: number[] = [];
    while (next < rows.length && rows[next] < end) own.push(rows[next++] - first);
    first = end;
    const labels = new Int8Array(own.length * labelWidth);
    own.forEach((i, at) =>
      labels.set(track.labels.subarray(i * labelWidth, (i + 1) * labelWidth), at * labelWidth)
    );
    return { ...track, frames: Int32Array.from(own, (i) => track.frames[i]), labels };
  });
}

/** The frames that were not left out. */
export function withoutLeftOut({ probabilities, dataset }: Predicted): Predicted {
  const rows = rowsThere([...probabilities.values()], dataset);
  if (rows === undefined) return { probabilities, dataset };
  const { length: classes } = dataset.classNames;
  const picked = [...probabilities].map(([name, values]) => [name, pick(values, rows, classes)] as const);
  return { probabilities: new Map(picked), dataset: { ...dataset, tracks: tracksOf(dataset, rows) } };
}

/** {@link smooth} over the frames that were not left out; the others keep their probabilities of 0. */
export function smoothThere(
  values: Float32Array,
  dataset: LabelledFrames,
  smoothing: Smoothing,
): Float32Array {
  const { length: classes } = dataset.classNames;
  const rows = rowsThere([values], dataset);
  if (rows === undefined) return smooth(values, classes, dataset.tracks, smoothing);
  const smoothed = smooth(pick(values, rows, classes), classes, tracksOf(dataset, rows), smoothing);
  const out = new Float32Array(values.length);
  rows.forEach((row, i) => out.set(smoothed.subarray(i * classes, (i + 1) * classes), row * classes));
  return out;
}
