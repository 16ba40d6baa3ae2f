/**
 * Per-unit thresholds for action units. Rare units are seldom above .5: a threshold chosen on the precision-recall curve
 * raised an action-unit score from .564 to .627 in the 2022 edition.
 *
 * @module
 */
import { type ActionUnitMetrics, actionUnitMetrics, refuseNaN } from "./metrics.ts";
import { DEFAULT_FOLDS, foldTracks } from "./selection.ts";

/**
 * Predictions of [F, units] probabilities: 1 above the unit's threshold.
 *
 * @throws {RangeError} naming the first row with a NaN, which would count as 0
 */
export function applyThresholds(probabilities: Float32Array, thresholds: ArrayLike<number>): Int8Array {
  const units = thresholds.length;
  return Int8Array.from(probabilities, (probability, i) => {
    if (Number.isNaN(probability)) refuseNaN(Math.floor(i / units));
    return probability > thresholds[i % units] ? 1 : 0;
  });
}

/**
 * The threshold of each unit with the highest F1 on the labelled frames: half-way between two neighbouring
 * probabilities; .5 for a unit without a positive.
 *
 * @param probabilities [F, units]
 * @param labels [F, units] of 0, 1, -1 = not counted
 * @param counted which frames are looked at; all by default
 */
export function bestThresholds(
  probabilities: Float32Array,
  labels: ArrayLike<number>,
  units: number,
  counted: (frame: number) => boolean = () => true,
): number[] {
  return Array.from({ length: units }, (_, unit) => {
    const rows: { probability: number; positive: boolean }[] = [];
    for (let frame = 0; frame * units < labels.length; frame++) {
      const label = labels[frame * units + unit];
      if (label < 0 || !counted(frame)) continue;
      rows.push({ probability: probabilities[frame * units + unit], positive: label === 1 });
    }
    return bestThreshold(rows);
  });
}

function bestThreshold(rows: { probability: number; positive: boolean }[]): number {
  const positives = rows.reduce((sum, { positive }) => sum + Number(positive), 0);
  if (positives === 0) return 0.5;
  rows.sort((a, b) => b.probability - a.probability);
  let threshold = 0.5;
  let highest = -1;
  let right = 0;
  for (let i = 0; i < rows.length; i++) {
    if (rows[i].positive) right++;
    const next = rows[i + 1]?.probability ?? 0;
    if (next === rows[i].probability) continue; // a threshold cannot part equal probabilities
    const f1 = 2 * right / (i + 1 + positives);
    if (f1 > highest) [highest, threshold] = [f1, (rows[i].probability + next) / 2];
  }
  return threshold;
}

/** What a search for thresholds found. */
export interface ThresholdSearch {
  /** the best on all frames: to use on other data */
  readonly thresholds: number[];
  /** each track scored with thresholds that were chosen without it: the number to report */
  readonly honest: ActionUnitMetrics;
  /** scored on the frames the thresholds were chosen on: optimistic */
  readonly optimistic: ActionUnitMetrics;
  /** false: there is one track, and `honest` is the optimistic score */
  readonly crossValidated: boolean;
}

/**
 * Chooses thresholds by cross-validation over tracks.
 *
 * @param tracks [F] the number of each frame's track
 */
export function searchThresholds(
  probabilities: Float32Array,
  labels: ArrayLike<number>,
  tracks: ArrayLike<number>,
  units: number,
  folds = DEFAULT_FOLDS,
): ThresholdSearch {
  const { count, of } = foldTracks(tracks, folds);
  const thresholds = bestThresholds(probabilities, labels, units);
  const honest = new Int8Array(probabilities.length);
  for (let fold = 0; fold < count; fold++) {
    const chosen = bestThresholds(probabilities, labels, units, (frame) => count === 1 || of[frame] !== fold);
    const predicted = applyThresholds(probabilities, chosen);
    predicted.forEach((value, i) => {
      if (of[Math.floor(i / units)] === fold) honest[i] = value;
    });
  }
  return {
    thresholds,
    honest: actionUnitMetrics(labels, honest, units),
    optimistic: actionUnitMetrics(labels, applyThresholds(probabilities, thresholds), units),
    crossValidated: count > 1,
  };
}
