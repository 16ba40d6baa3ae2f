/**
 * Annotated frames without a crop, 3.7 % of Aff-Wild2: no network sees them, a submission wants a row for each.
 *
 * @module
 */
import { interpolateGaps } from "../../models/smoothing.ts";
import type { LabelledFrames } from "./frames.ts";

/** Every annotated frame, those without a crop in their places. */
export interface EveryFrame {
  readonly dataset: LabelledFrames;
  /** frames without a crop */
  readonly uncropped: number;
  /**
   * Widens [kept frames, classes] probabilities to every frame.
   *
   * @param fill `interpolate`: linear between the nearest frames with a crop; `zero`: 0, which means Neutral, or no unit
   */
  widen(probabilities: Float32Array, classes: number, fill: "interpolate" | "zero"): Float32Array;
}

/** The frames of a dataset with those put back that have a label but no crop; undefined if there are none. */
export function everyAnnotatedFrame(kept: LabelledFrames): EveryFrame | undefined {
  const { labelWidth } = kept;
  let uncropped = 0;
  const tracks = kept.tracks.map((track) => {
    const { frames: missing, labels: missingLabels } = track.uncropped ?? NONE;
    uncropped += missing.length;
    const order = [
      ...Array.from(track.frames, (frame, row) => ({ frame, row, labels: track.labels })),
      ...Array.from(missing, (frame, row) => ({ frame, row, labels: missingLabels })),
    ].sort((a, b) => a.frame - b.frame);
    const labels = new Int8Array(order.length * labelWidth);
    order.forEach(({ row, labels: from }, i) =>
      labels.set(from.subarray(row * labelWidth, (row + 1) * labelWidth), i * labelWidth)
    );
    return { name: track.name, frames: Int32Array.from(order, ({ frame }) => frame), labels };
  });
  if (uncropped === 0) return undefined;
  const dataset = { ...kept, tracks };
  return {
    dataset,
    uncropped,
    widen: (probabilities, classes, fill) => widen(probabilities, classes, fill, kept, dataset),
  };
}

const NONE = { frames: new Int32Array(), labels: new Int8Array() };

function widen(
  probabilities: Float32Array,
  classes: number,
  fill: "interpolate" | "zero",
  kept: LabelledFrames,
  every: LabelledFrames,
): Float32Array {
  const rows = every.tracks.reduce((sum, { frames }) => sum + frames.length, 0);
  const wide = new Float32Array(rows * classes);
  let read = 0;
  let written = 0;
  for (const [t, { frames }] of every.tracks.entries()) {
    const seen = kept.tracks[t].frames;
    const values = probabilities.subarray(read * classes, (read + seen.length) * classes);
    const filled = fill === "interpolate" && seen.length > 0
      ? interpolateGaps(values, classes, seen, frames[frames.length - 1])
      : scatter(values, classes, seen, frames[frames.length - 1]);
    frames.forEach((frame, i) =>
      wide.set(filled.subarray((frame - 1) * classes, frame * classes), (written + i) * classes)
    );
    read += seen.length;
    written += frames.length;
  }
  return wide;
}

/** Rows at their frame numbers, 0 between them: [frameCount, classes]. */
function scatter(
  values: Float32Array,
  classes: number,
  frames: ArrayLike<number>,
  frameCount: number,
): Float32Array {
  const out = new Float32Array(frameCount * classes);
  for (let i = 0; i < frames.length; i++) {
    out.set(values.subarray(i * classes, (i + 1) * classes), (frames[i] - 1) * classes);
  }
  return out;
}
