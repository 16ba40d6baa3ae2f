/**
 * The challenge's metrics: for expressions macro F1, total accuracy and .67 F1 + .33 accuracy (paper, Section 3.3);
 * for action units the mean of twelve binary F1, accuracy and .5 F1 + .5 accuracy.
 *
 * @module
 */

/** Counts of (truth, prediction) pairs: `counts[truth * classes + prediction]`. */
export interface ConfusionMatrix {
  readonly classes: number;
  readonly counts: Float64Array;
}

/** Expression metrics. */
export interface ExpressionMetrics {
  /** mean of the per-class F1 */
  readonly f1: number;
  readonly accuracy: number;
  /** .67 f1 + .33 accuracy */
  readonly score: number;
  readonly perClassF1: number[];
  readonly confusion: ConfusionMatrix;
}

/** Action-unit metrics; "accuracy" has two meanings in the field, both are given, the score uses per element. */
export interface ActionUnitMetrics {
  /** mean of the twelve binary F1 */
  readonly f1: number;
  /** share of right (frame, unit) decisions */
  readonly accuracy: number;
  /** share of frames with all twelve units right */
  readonly accuracyAllRight: number;
  /** .5 f1 + .5 accuracy */
  readonly score: number;
  readonly perUnitF1: number[];
}

/** F1 of a class; 0 where it is neither in the truth nor predicted (scikit-learn's `zero_division=0`). */
function f1Of(truePositives: number, falsePositives: number, falseNegatives: number): number {
  const denominator = 2 * truePositives + falsePositives + falseNegatives;
  return denominator === 0 ? 0 : 2 * truePositives / denominator;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function requireSameLength(truth: ArrayLike<number>, predicted: ArrayLike<number>): void {
  if (truth.length !== predicted.length || truth.length === 0) {
    throw new RangeError(
      `Cannot score predictions: there are ${predicted.length} of them for ${truth.length} labels`,
    );
  }
}

/**
 * Counts (truth, prediction) pairs.
 *
 * @param truth [F] classes 0..classes-1; frames with -1 are left out
 * @param predicted [F] classes
 * @throws {RangeError} if the lengths differ or a class is out of range
 */
export function confusionMatrix(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes: number,
): ConfusionMatrix {
  requireSameLength(truth, predicted);
  const counts = new Float64Array(classes * classes);
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] === -1) continue;
    const inRange = (value: number) => Number.isInteger(value) && value >= 0 && value < classes;
    if (!inRange(truth[i]) || !inRange(predicted[i])) {
      throw new RangeError(
        `Cannot score frame ${i}: label ${truth[i]}, prediction ${predicted[i]}; expected 0 to ${
          classes - 1
        }`,
      );
    }
    counts[truth[i] * classes + predicted[i]]++;
  }
  return { classes, counts };
}

/** The metrics of a confusion matrix. */
export function metricsOf(confusion: ConfusionMatrix): ExpressionMetrics {
  const { classes, counts } = confusion;
  const at = (row: number, column: number) => counts[row * classes + column];
  const all = [...Array(classes).keys()];
  const perClassF1 = all.map((c) => {
    const falsePositives = all.reduce((sum, other) => other === c ? sum : sum + at(other, c), 0);
    const falseNegatives = all.reduce((sum, other) => other === c ? sum : sum + at(c, other), 0);
    return f1Of(at(c, c), falsePositives, falseNegatives);
  });
  const total = counts.reduce((sum, count) => sum + count, 0);
  const right = all.reduce((sum, c) => sum + at(c, c), 0);
  const f1 = mean(perClassF1);
  const accuracy = total === 0 ? 0 : right / total;
  return { f1, accuracy, score: 0.67 * f1 + 0.33 * accuracy, perClassF1, confusion };
}

/**
 * Expression metrics of predicted classes.
 *
 * @throws {RangeError} as {@link confusionMatrix}
 */
export function expressionMetrics(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  classes = 7,
): ExpressionMetrics {
  return metricsOf(confusionMatrix(truth, predicted, classes));
}

/**
 * Action-unit metrics.
 *
 * @param truth [F, 12] of 0, 1, or -1 = left out (of the all-right accuracy the whole frame is)
 * @param predicted [F, 12] of 0, 1
 * @throws {RangeError} if the lengths differ
 */
export function actionUnitMetrics(
  truth: ArrayLike<number>,
  predicted: ArrayLike<number>,
  units = 12,
): ActionUnitMetrics {
  requireSameLength(truth, predicted);
  const truePositives = new Float64Array(units);
  const falsePositives = new Float64Array(units);
  const falseNegatives = new Float64Array(units);
  let counted = 0;
  let right = 0;
  let frames = 0;
  let framesRight = 0;
  for (let start = 0; start < truth.length; start += units) {
    let complete = true;
    let allRight = true;
    for (let unit = 0; unit < units; unit++) {
      const wanted = truth[start + unit];
      const given = predicted[start + unit];
      if (wanted === -1) {
        complete = false;
        continue;
      }
      counted++;
      if (wanted === given) right++;
      else allRight = false;
      if (wanted === 1 && given === 1) truePositives[unit]++;
      if (wanted === 0 && given === 1) falsePositives[unit]++;
      if (wanted === 1 && given === 0) falseNegatives[unit]++;
    }
    if (complete) frames++;
    if (complete && allRight) framesRight++;
  }
  const perUnitF1 = Array.from(
    truePositives,
    (count, unit) => f1Of(count, falsePositives[unit], falseNegatives[unit]),
  );
  const f1 = mean(perUnitF1);
  const accuracy = counted === 0 ? 0 : right / counted;
  return {
    f1,
    accuracy,
    accuracyAllRight: frames === 0 ? 0 : framesRight / frames,
    score: 0.5 * f1 + 0.5 * accuracy,
    perUnitF1,
  };
}

/**
 * The class of each row of [F, classes]; the first of equal ones.
 *
 * @throws {RangeError} naming the first row with a NaN, which would count as the first class
 */
export function argmaxRows(values: ArrayLike<number>, classes: number): Int32Array {
  const best = new Int32Array(values.length / classes);
  for (let row = 0; row < best.length; row++) {
    const start = row * classes;
    let highest = values[start];
    let sum = highest;
    let chosen = 0;
    for (let c = 1; c < classes; c++) {
      const value = values[start + c];
      sum += value; // NaN if one of them is, or if both infinities are there
      if (value > highest) {
        highest = value;
        chosen = c;
      }
    }
    if (Number.isNaN(sum)) {
      for (let c = 0; c < classes; c++) if (Number.isNaN(values[start + c])) refuseNaN(row);
    }
    best[row] = chosen;
  }
  return best;
}

/** Refuses a row of predictions, by its number. */
export function refuseNaN(row: number): never {
  throw new RangeError(`Cannot decide row ${row} of the predictions: it has a NaN; expected numbers`);
}

/** Metrics of predicting the evaluated data's most frequent class everywhere: what a network must beat. */
export function majorityBaseline(truth: ArrayLike<number>, classes = 7): ExpressionMetrics {
  const counts = new Float64Array(classes);
  for (let i = 0; i < truth.length; i++) if (truth[i] >= 0) counts[truth[i]]++;
  return expressionMetrics(
    truth,
    new Int32Array(truth.length).fill(counts.indexOf(Math.max(...counts))),
    classes,
  );
}

/** The expected confusion matrix, and its metrics, of drawing every prediction uniformly. */
export function uniformBaseline(truth: ArrayLike<number>, classes = 7): ExpressionMetrics {
  const counts = new Float64Array(classes * classes);
  for (let i = 0; i < truth.length; i++) {
    if (truth[i] < 0) continue;
    for (let c = 0; c < classes; c++) counts[truth[i] * classes + c] += 1 / classes;
  }
  return metricsOf({ classes, counts });
}

/** A row of a published table. */
export interface PublishedRow {
  readonly name: string;
  readonly f1: number;
  readonly accuracy: number;
  readonly score: number;
}

/** The paper's Table 1: Aff-Wild2's validation set. To be printed beside ours, never to be mistaken for ours. */
export const PAPER_TABLE_1: readonly PublishedRow[] = [
  { name: "VGG-Face (baseline)", f1: 0.30, accuracy: 0.50, score: 0.366 },
  { name: "ResNet50", f1: 0.3763, accuracy: 0.5713, score: 0.4402 },
  { name: "ResNet50 + VGGFace2", f1: 0.4124, accuracy: 0.6216, score: 0.4815 },
  { name: "CNN+CNN-RNN", f1: 0.4126, accuracy: 0.6220, score: 0.4817 },
  { name: "CNN+CNN-Transformer", f1: 0.4127, accuracy: 0.6221, score: 0.4818 },
  { name: "CNN+CNN-RNN+CNN-Transformer", f1: 0.4133, accuracy: 0.6216, score: 0.4821 },
];

/** The paper's Table 2: action units on Aff-Wild2's validation set. */
export const PAPER_TABLE_2: readonly PublishedRow[] = [
  { name: "VGG-Face (baseline)", f1: 0.40, accuracy: 0.22, score: 0.31 },
  { name: "ResNet50 + VGGFace2", f1: 0.4701, accuracy: 0.8768, score: 0.6734 },
];
