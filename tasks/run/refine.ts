/**
 * What lies beyond the paper, and what it brings: smoothing along the tracks, frames without a crop interpolated,
 * thresholds per action unit, a temperature.
 * Every setting is chosen by cross-validation over tracks, so that the scores are honest; with one track they are not.
 *
 * @module
 */
import {
  applyTemperature,
  type Calibration,
  calibrationOf,
  fitTemperature,
} from "../../models/calibration.ts";
import { combine, searchSmoothedWeights, searchWeights } from "../../models/ensemble.ts";
import { actionUnitMetrics } from "../../models/metrics.ts";
import { NETWORK_TITLES, type NetworkName } from "../../models/networks.ts";
import { foldTracks } from "../../models/selection.ts";
import { describeSmoothing, smooth, type Smoothing, SMOOTHINGS } from "../../models/smoothing.ts";
import { applyThresholds, bestThresholds, searchThresholds } from "../../models/thresholds.ts";
import { everyAnnotatedFrame, type EveryFrame } from "./gaps.ts";
import { allLabels, type LabelledFrames, trackNumbers } from "./frames.ts";
import { withoutLeftOut } from "./left_out.ts";
import type { ResultRow } from "./table.ts";

/** A score with one more refinement than the row before it. */
export interface Effect extends ResultRow {
  /** what was chosen, in words */
  readonly note: string;
  /** what was chosen on all frames: of a smoothed row of expressions */
  readonly smoothing?: Smoothing;
  /** with the smoothing: one per network, in the order of the record's */
  readonly weights?: readonly number[];
}

/** Effects of the refinements, and how far the probabilities can be trusted. */
export interface Refinement {
  /** false: there is one track, on which the settings were chosen and scored; absent in older records */
  readonly crossValidated?: boolean;
  readonly effects: readonly Effect[];
  /** of the ensemble's probabilities before and after a temperature; null for action units */
  readonly calibration: CalibrationEffect | null;
}

/** Reliability before and after a temperature that was fitted on the other folds' tracks. */
export interface CalibrationEffect {
  /** fitted on all frames: to use on other data */
  readonly temperature: number;
  readonly before: Calibration;
  readonly after: Calibration;
}

/** How the settings are searched; see the run file's `evaluation`. */
export interface RefinementSettings {
  readonly step: number;
  readonly folds: number;
  readonly smoothing: boolean;
  /** rows on every annotated frame, without and with those that have no crop interpolated */
  readonly interpolation: boolean;
}

/**
 * Refines the networks' probabilities.
 *
 * @param all networks: [frames, classes] each
 */
export function refine(
  all: ReadonlyMap<NetworkName, Float32Array>,
  frames: LabelledFrames,
  settings: RefinementSettings,
): Refinement {
  const { probabilities, dataset } = withoutLeftOut({ probabilities: all, dataset: frames });
  if (dataset.labelSet === "action_units") return refineUnits(probabilities, dataset, settings);
  return refineExpressions(probabilities, dataset, settings);
}

function refineExpressions(
  all: ReadonlyMap<NetworkName, Float32Array>,
  dataset: LabelledFrames,
  settings: RefinementSettings,
): Refinement {
  // The baseline is no part of the paper's ensemble.
  const probabilities = new Map([...all].filter(([network]) => network !== "vgg" || all.size === 1));
  const labels = allLabels(dataset);
  const tracks = trackNumbers(dataset);
  const classes = dataset.classNames.length;
  const options = { ...settings, classes };
  const values = [...probabilities.values()];
  const name = values.length === 1 ? NETWORK_TITLES[[...probabilities.keys()][0]] : "ensemble";
  const plain = searchWeights(values, labels, tracks, options);
  const effects: Effect[] = [{
    name,
    ...scoresOf(plain.honest),
    note: weightsInWords(probabilities, plain.weights),
  }];
  if (settings.smoothing && dataset.labelSet === "expression") {
    if (values.length > 1) {
      for (const [network, single] of probabilities) {
        const search = searchSmoothedWeights([single], labels, dataset.tracks, SMOOTHINGS, options);
        const title = `${NETWORK_TITLES[network]} + smoothing`;
        const { honest, smoothing, weights } = search;
        const note = describeSmoothing(smoothing);
        effects.push({ name: title, ...scoresOf(honest), note, smoothing, weights });
      }
    }
    const { honest, smoothing, weights } = searchSmoothedWeights(
      values,
      labels,
      dataset.tracks,
      SMOOTHINGS,
      options,
    );
    const note = `${describeSmoothing(smoothing)}, ${weightsInWords(probabilities, weights)}`;
    effects.push({ name: `${name} + smoothing`, ...scoresOf(honest), note, smoothing, weights });
  }
  const every = settings.interpolation ? everyAnnotatedFrame(dataset) : undefined;
  if (every !== undefined) effects.push(...interpolationEffects(name, values, every, options));
  const joined = combine(values, plain.weights);
  const calibration = calibrate(joined, labels, tracks, classes, settings.folds);
  return { crossValidated: plain.crossValidated, effects, calibration };
}

/** The ensemble on every annotated frame: those without a crop taken as Neutral, then interpolated. */
function interpolationEffects(
  name: string,
  values: readonly Float32Array[],
  { dataset, uncropped, widen }: EveryFrame,
  options: RefinementSettings & { classes: number },
): Effect[] {
  const labels = allLabels(dataset);
  const score = (fill: "zero" | "interpolate") => {
    const wide = values.map((rows) => widen(rows, options.classes, fill));
    return scoresOf(searchWeights(wide, labels, trackNumbers(dataset), options).honest);
  };
  const all = `${name}, every annotated frame`;
  return [
    { name: all, ...score("zero"), note: `${uncropped} frames without a crop taken as Neutral` },
    {
      name: `${all} + interpolation`,
      ...score("interpolate"),
      note: "between the nearest frames with a crop",
    },
  ];
}

function scoresOf({ f1, accuracy, score }: { f1: number; accuracy: number; score: number }) {
  return { f1, accuracy, score };
}

function weightsInWords(networks: ReadonlyMap<NetworkName, unknown>, weights: readonly number[]): string {
  if (weights.length === 1) return "";
  return [...networks.keys()].map((network, i) => `${weights[i].toFixed(2)} ${network}`).join(" + ");
}

/** Fits a temperature on each fold's complement and applies it to the fold. */
function calibrate(
  probabilities: Float32Array,
  labels: ArrayLike<number>,
  tracks: ArrayLike<number>,
  classes: number,
  foldCount: number,
): CalibrationEffect {
  const { count, of } = foldTracks(tracks, foldCount);
  const after = new Float32Array(probabilities.length);
  for (let fold = 0; fold < count; fold++) {
    const others = Int32Array.from(labels, (label, i) => count > 1 && of[i] === fold ? -1 : label);
    const scaled = applyTemperature(probabilities, classes, fitTemperature(probabilities, others, classes));
    of.forEach((f, i) => {
      if (f === fold) after.set(scaled.subarray(i * classes, (i + 1) * classes), i * classes);
    });
  }
  return {
    temperature: fitTemperature(probabilities, labels, classes),
    before: calibrationOf(probabilities, labels, classes),
    after: calibrationOf(after, labels, classes),
  };
}

function refineUnits(
  probabilities: ReadonlyMap<NetworkName, Float32Array>,
  dataset: LabelledFrames,
  { folds, smoothing, interpolation }: RefinementSettings,
): Refinement {
  const every = interpolation ? everyAnnotatedFrame(dataset) : undefined;
  const labels = allLabels(dataset);
  const tracks = trackNumbers(dataset);
  const units = dataset.classNames.length;
  const half = new Float32Array(units).fill(0.5);
  const effects = [...probabilities].flatMap(([network, values]): Effect[] => {
    const title = NETWORK_TITLES[network];
    const plain = actionUnitMetrics(labels, applyThresholds(values, half), units);
    const { honest, thresholds } = searchThresholds(values, labels, tracks, units, folds);
    const rows: Effect[] = [
      { name: title, ...scoresOf(plain), note: "threshold .5" },
      {
        name: `${title} + thresholds`,
        ...scoresOf(honest),
        note: thresholds.map((value, u) => `${dataset.classNames[u]} ${value.toFixed(2)}`).join(", "),
      },
    ];
    if (smoothing) {
      const best = bestUnitSmoothing(values, labels, dataset, folds);
      rows.push({ name: `${title} + thresholds + smoothing`, ...scoresOf(best.metrics), note: best.note });
    }
    if (every !== undefined) rows.push(...unitInterpolationEffects(title, values, every));
    return rows;
  });
  return { crossValidated: dataset.tracks.length > 1, effects, calibration: null };
}

/** A network on every annotated frame, threshold .5: those without a crop taken as at rest, then interpolated. */
function unitInterpolationEffects(
  title: string,
  values: Float32Array,
  { dataset, uncropped, widen }: EveryFrame,
): Effect[] {
  const units = dataset.classNames.length;
  const labels = allLabels(dataset);
  const half = new Float32Array(units).fill(0.5);
  const score = (fill: "zero" | "interpolate") =>
    scoresOf(actionUnitMetrics(labels, applyThresholds(widen(values, units, fill), half), units));
  const all = `${title}, every annotated frame`;
  return [
    {
      name: all,
      ...score("zero"),
      note: `threshold .5; ${uncropped} frames without a crop taken as without units`,
    },
    {
      name: `${all} + interpolation`,
      ...score("interpolate"),
      note: "between the nearest frames with a crop",
    },
  ];
}

/** The smoothing with the best score under thresholds; few candidates, each scored across folds. */
function bestUnitSmoothing(
  values: Float32Array,
  labels: ArrayLike<number>,
  dataset: LabelledFrames,
  folds: number,
) {
  const units = dataset.classNames.length;
  const tracks = trackNumbers(dataset);
  const { count, of } = foldTracks(tracks, folds);
  const candidates = SMOOTHINGS.map((smoothing) => {
    const smoothed = smooth(values, units, dataset.tracks, smoothing);
    return { smoothing, predicted: predictAcrossFolds(smoothed, labels, of, count, units) };
  });
  const scoreOn = (predicted: Int8Array, counted: (frame: number) => boolean) => {
    const truth = Int8Array.from(labels, (label, i) => counted(Math.floor(i / units)) ? label : -1);
    return actionUnitMetrics(truth, predicted, units).score;
  };
  const best = (counted: (frame: number) => boolean) =>
    candidates.reduce((a, b) => scoreOn(b.predicted, counted) > scoreOn(a.predicted, counted) ? b : a);
  const honest = new Int8Array(labels.length);
  for (let fold = 0; fold < count; fold++) {
    const { predicted } = best((frame) => count === 1 || of[frame] !== fold);
    predicted.forEach((value, i) => {
      if (of[Math.floor(i / units)] === fold) honest[i] = value;
    });
  }
  const chosen: Smoothing = best(() => true).smoothing;
  return { metrics: actionUnitMetrics(labels, honest, units), note: describeSmoothing(chosen) };
}

/** Predictions with thresholds that were chosen on the other folds. */
function predictAcrossFolds(
  values: Float32Array,
  labels: ArrayLike<number>,
  of: Int32Array,
  count: number,
  units: number,
): Int8Array {
  const predicted = new Int8Array(values.length);
  for (let fold = 0; fold < count; fold++) {
    const thresholds = bestThresholds(values, labels, units, (frame) => count === 1 || of[frame] !== fold);
    applyThresholds(values, thresholds).forEach((value, i) => {
      if (of[Math.floor(i / units)] === fold) predicted[i] = value;
    });
  }
  return predicted;
}
