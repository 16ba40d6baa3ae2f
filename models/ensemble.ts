/**
 * The ensemble: a weighted sum of the networks' class probabilities (paper, Section 2), its weights on the simplex.
 *
 * @module
 */
import { argmaxRows, type ExpressionMetrics, expressionMetrics, metricsOf } from "./metrics.ts";

/** What a search for ensemble weights found. */
export interface WeightSearch {
  /** one per network, >= 0, sum 1: the best on all frames */
  readonly weights: number[];
  /** each track scored with weights that were chosen without it: the number to report */
  readonly honest: ExpressionMetrics;
  /** scored on the frames the weights were chosen on: optimistic */
  readonly optimistic: ExpressionMetrics;
  /** the weights that were chosen for each fold */
  readonly foldWeights: number[][];
}

/** How the weights are searched. */
export interface WeightSearchOptions {
  /** distance of neighbouring points on the simplex; 0.05 by default */
  readonly step?: number;
  /** folds of the cross-validation over tracks; 5 by default, at most the number of tracks */
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
 * tracks, and the fold is scored with them.
 *
 * @param probabilities [F, classes] of each network
 * @param labels [F]; -1 = not counted
 * @param tracks [F] the number of each frame's track
 * @throws {RangeError} if lengths differ or there is no network
 */
export function searchWeights(
  probabilities: readonly Float32Array[],
  labels: ArrayLike<number>,
  tracks: ArrayLike<number>,
  { step = 0.05, folds = 5, classes = 7 }: WeightSearchOptions = {},
): WeightSearch {
  if (probabilities.length === 0 || probabilities.some((rows) => rows.length !== labels.length * classes)) {
    throw new RangeError(
      `Cannot search ensemble weights: expected [${labels.length}, ${classes}] probabilities of each network but got ` +
        `lengths ${probabilities.map((rows) => rows.length).join(", ") || "of no network"}`,
    );
  }
  const numbers = [...new Set(Array.from(tracks))].sort((a, b) => a - b);
  const foldCount = Math.max(1, Math.min(folds, numbers.length));
  const foldOf = new Map(numbers.map((track, i) => [track, i % foldCount]));
  const points = simplexPoints(probabilities.length, Math.round(1 / step));
  // One confusion matrix per (point, fold): sums of them score any set of folds without another pass.
  const confusions = points.map((weights) => {
    const predicted = argmaxRows(combine(probabilities, weights), classes);
    const perFold = Array.from({ length: foldCount }, () => new Float64Array(classes * classes));
    for (let i = 0; i < labels.length; i++) {
      if (labels[i] >= 0) perFold[foldOf.get(tracks[i])!][labels[i] * classes + predicted[i]]++;
    }
    return perFold;
  });
  const best = (counted: (fold: number) => boolean) => {
    const scores = confusions.map((perFold) =>
      metricsOf(sumOf(perFold.filter((_, f) => counted(f)), classes)).score
    );
    return centralBest(points, scores);
  };
  const chosen = Array.from(
    { length: foldCount },
    (_, fold) => best((other) => foldCount === 1 || other !== fold),
  );
  const final = best(() => true);
  return {
    weights: points[final],
    honest: metricsOf(sumOf(chosen.map((point, fold) => confusions[point][fold]), classes)),
    optimistic: metricsOf(sumOf(confusions[final], classes)),
    foldWeights: chosen.map((point) => points[point]),
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

/** Of the points with the highest score, the most even one: ties are common on small sets, corners overfit. */
function centralBest(points: readonly number[][], scores: readonly number[]): number {
  const highest = Math.max(...scores);
  const unevenness = (point: readonly number[]) => point.reduce((sum, weight) => sum + weight * weight, 0);
  let best = -1;
  for (let i = 0; i < points.length; i++) {
    if (scores[i] < highest - 1e-12) continue;
    if (best < 0 || unevenness(points[i]) < unevenness(points[best]) - 1e-12) best = i;
  }
  return best;
}

/** The metrics of one network's probabilities [F, classes]. */
export function scoreProbabilities(
  probabilities: Float32Array,
  labels: ArrayLike<number>,
  classes = 7,
): ExpressionMetrics {
  return expressionMetrics(labels, argmaxRows(probabilities, classes), classes);
}
