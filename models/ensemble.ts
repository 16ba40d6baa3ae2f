/**
 * The ensemble: a weighted sum of the networks' class probabilities (paper, Section 2), its weights on the simplex.
 *
 * @module
 */
import { argmaxRows, type ExpressionMetrics, expressionMetrics, metricsOf } from "./metrics.ts";
import { DEFAULT_FOLDS, foldTracks, select } from "./selection.ts";
import { smooth, type Smoothing } from "./smoothing.ts";

/** Distance of neighbouring weights in a search, unless another is asked for. */
export const DEFAULT_STEP = 0.1;

/** A finer search has more points than memory: 5151 of three networks at this step. */
const MIN_STEP = 0.01;

/** True for a step that a search takes: at least .01, and one that divides 1. */
export function isSearchStep(step: number): boolean {
  return step >= MIN_STEP && Math.abs(Math.round(1 / step) * step - 1) < 1e-9;
}

/** Into how many parts a step divides 1. */
function partsOf(step: number): number {
  if (!isSearchStep(step)) {
    throw new RangeError(
      `Cannot search ensemble weights in steps of ${step}: expected a step of at least ${MIN_STEP} that divides 1, ` +
        "such as .05, .1 or .25",
    );
  }
  return Math.round(1 / step);
}

/** What a search for ensemble weights found. */
export interface WeightSearch {
  /** one per network, >= 0, sum 1: the best on all frames */
  readonly weights: number[];
  /** each track scored with weights that were chosen without it: the number to report */
  readonly honest: ExpressionMetrics;
  /** scored on the frames the weights were chosen on: optimistic */
  readonly optimistic: ExpressionMetrics;
  /** false: there is one track, and `honest` is the optimistic score */
  readonly crossValidated: boolean;
  /** the weights that were chosen for each fold */
  readonly foldWeights: number[][];
}

/** How the weights are searched. */
export interface WeightSearchOptions {
  /** distance of neighbouring points on the simplex; {@link DEFAULT_STEP} by default */
  readonly step?: number;
  /** folds of the cross-validation over tracks; {@link DEFAULT_FOLDS} by default, at most the number of tracks */
  readonly folds?: number;
  readonly classes?: number;
}

/** The weighted sum of probabilities: [F, classes] of each network -> [F, classes]. */
export function combine(probabilities: readonly Float32Array[], weights: readonly number[]): Float32Array {
  const sum = new Float32Array(probabilities[0].length);
  for (const [network, values] of probabilities.entries()) {
    const weight = weights[network];
    if (weight === 0) continue;
    for (let i = 0; i < sum.length; i++) sum[i] += weight * values[i];
  }
  return sum;
}

/** All points of the simplex of n weights with the given number of parts, e.g. 20 parts = steps of .05. */
export function simplexPoints(n: number, parts: number): number[][] {
  if (n === 1) return [[1]];
  const points: number[][] = [];
  const extend = (head: number[], left: number) => {
    if (head.length === n - 1) points.push([...head, left].map((part) => part / parts));
    else for (let part = 0; part <= left; part++) extend([...head, part], left - part);
  };
  extend([], parts);
  return points;
}

/**
 * Searches the simplex by cross-validation over tracks: for each fold the weights are chosen on the other folds'
 * tracks, and the fold is scored with them. Of equal scores the most even weights win: corners overfit small sets.
 *
 * @param probabilities [F, classes] of each network
 * @param labels [F]; -1 = not counted
 * @param tracks [F] the number of each frame's track
 * @throws {RangeError} if lengths differ, there is no network, or the step does not divide 1
 */
export function searchWeights(
  probabilities: readonly Float32Array[],
  labels: ArrayLike<number>,
  tracks: ArrayLike<number>,
  options: WeightSearchOptions = {},
): WeightSearch {
  return searchVariants([probabilities], labels, tracks, options);
}

/**
 * Searches weights and a smoothing together, the same honest way.
 *
 * @param clips the tracks with their frame numbers, in the order of the probabilities
 * @param smoothings the candidates, the plainest first
 */
export function searchSmoothedWeights(
  probabilities: readonly Float32Array[],
  labels: ArrayLike<number>,
  clips: readonly { readonly frames: ArrayLike<number> }[],
  smoothings: readonly Smoothing[],
  options: WeightSearchOptions = {},
): WeightSearch & { smoothing: Smoothing } {
  const classes = options.classes ?? 7;
  // Both are linear: smoothing each network once serves all weights.
  const variants = smoothings.map((smoothing) =>
    probabilities.map((values) => smooth(values, classes, clips, smoothing))
  );
  const tracks = clips.flatMap(({ frames }, track) => new Array<number>(frames.length).fill(track));
  const search = searchVariants(variants, labels, tracks, options);
  return { ...search, smoothing: smoothings[search.variant] };
}

/** @param variants alternatives for the networks' probabilities, of which one is chosen with the weights */
function searchVariants(
  variants: readonly (readonly Float32Array[])[],
  labels: ArrayLike<number>,
  tracks: ArrayLike<number>,
  { step = DEFAULT_STEP, folds = DEFAULT_FOLDS, classes = 7 }: WeightSearchOptions,
): WeightSearch & { variant: number } {
  const networks = variants[0];
  if (networks.length === 0 || networks.some((rows) => rows.length !== labels.length * classes)) {
    throw new RangeError(
      `Cannot search ensemble weights: expected [${labels.length}, ${classes}] probabilities of each network but got ` +
        `lengths ${networks.map((rows) => rows.length).join(", ") || "of no network"}`,
    );
  }
  const divided = foldTracks(tracks, folds);
  const points = simplexPoints(networks.length, partsOf(step));
  const candidates = variants.flatMap((_, variant) => points.map((weights) => ({ variant, weights })));
  // One confusion matrix per (candidate, fold): sums of them score any set of folds without another pass.
  const confusions = candidates.map(({ variant, weights }) => {
    const predicted = argmaxRows(combine(variants[variant], weights), classes);
    const perFold = Array.from({ length: divided.count }, () => new Float64Array(classes * classes));
    for (let i = 0; i < labels.length; i++) {
      if (labels[i] >= 0) perFold[divided.of[i]][labels[i] * classes + predicted[i]]++;
    }
    return perFold;
  });
  const unevenness = candidates.map(({ weights }) =>
    weights.reduce((sum, weight) => sum + weight * weight, 0)
  );
  const { chosen, perFold } = select(
    candidates.length,
    divided,
    (candidate, counted) =>
      metricsOf(sumOf(confusions[candidate].filter((_, f) => counted(f)), classes)).score,
    (candidate) => unevenness[candidate],
  );
  return {
    variant: candidates[chosen].variant,
    weights: candidates[chosen].weights,
    honest: metricsOf(sumOf(perFold.map((candidate, fold) => confusions[candidate][fold]), classes)),
    optimistic: metricsOf(sumOf(confusions[chosen], classes)),
    crossValidated: divided.count > 1,
    foldWeights: perFold.map((candidate) => candidates[candidate].weights),
  };
}

function sumOf(
  matrices: readonly Float64Array[],
  classes: number,
): { classes: number; counts: Float64Array } {
  const counts = new Float64Array(classes * classes);
  for (const matrix of matrices) matrix.forEach((count, i) => counts[i] += count);
  return { classes, counts };
}

/** The metrics of one network's probabilities [F, classes]. */
export function scoreProbabilities(
  probabilities: Float32Array,
  labels: ArrayLike<number>,
  classes = 7,
): ExpressionMetrics {
  return expressionMetrics(labels, argmaxRows(probabilities, classes), classes);
}
