/**
 * How far probabilities can be trusted: expected calibration error and temperature scaling (Guo et al. 2017).
 *
 * @module
 */
import { argmaxRows } from "./metrics.ts";

/** Frames whose highest probability falls into one interval. */
export interface ReliabilityBin {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  /** mean of the highest probability; NaN in an empty bin */
  readonly confidence: number;
  /** share of right predictions; NaN in an empty bin */
  readonly accuracy: number;
}

/** Bins of equal width of the highest probability, and the mean distance of confidence and accuracy. */
export interface Calibration {
  readonly bins: readonly ReliabilityBin[];
  /** expected calibration error, 0 to 1 */
  readonly error: number;
}

/**
 * The reliability of [F, classes] probabilities.
 *
 * @param labels [F]; -1 = not counted
 */
export function calibrationOf(
  probabilities: Float32Array,
  labels: ArrayLike<number>,
  classes: number,
  binCount = 15,
): Calibration {
  const sums = Array.from({ length: binCount }, () => ({ count: 0, confidence: 0, right: 0 }));
  const predicted = argmaxRows(probabilities, classes);
  let counted = 0;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] < 0) continue;
    const confidence = probabilities[i * classes + predicted[i]];
    const bin = sums[Math.min(binCount - 1, Math.floor(confidence * binCount))];
    bin.count++;
    bin.confidence += confidence;
    if (predicted[i] === labels[i]) bin.right++;
    counted++;
  }
  const bins = sums.map(({ count, confidence, right }, b) => ({
    from: b / binCount,
    to: (b + 1) / binCount,
    count,
    confidence: confidence / count,
    accuracy: right / count,
  }));
  const error = bins.reduce(
    (sum, { count, confidence, accuracy }) =>
      count === 0 ? sum : sum + count / counted * Math.abs(confidence - accuracy),
    0,
  );
  return { bins, error };
}

/** softmax(log p / temperature) of each row: above 1 softens, below 1 sharpens, the order of classes stays. */
export function applyTemperature(
  probabilities: Float32Array,
  classes: number,
  temperature: number,
): Float32Array {
  const out = new Float32Array(probabilities.length);
  for (let row = 0; row < probabilities.length; row += classes) {
    let total = 0;
    for (let c = row; c < row + classes; c++) total += out[c] = probabilities[c] ** (1 / temperature);
    for (let c = row; c < row + classes; c++) out[c] /= total;
  }
  return out;
}

/**
 * The temperature with the smallest cross-entropy on labelled frames, by golden-section search over its logarithm
 * (the loss is convex in 1 / temperature).
 *
 * @param labels [F]; -1 = not counted
 */
export function fitTemperature(
  probabilities: Float32Array,
  labels: ArrayLike<number>,
  classes: number,
): number {
  const logs = Float64Array.from(probabilities, (p) => Math.log(Math.max(p, 1e-12)));
  const loss = (inverse: number) => {
    let sum = 0;
    for (let i = 0; i < labels.length; i++) {
      if (labels[i] < 0) continue;
      let total = 0;
      for (let c = 0; c < classes; c++) total += Math.exp(inverse * logs[i * classes + c]);
      sum += Math.log(total) - inverse * logs[i * classes + labels[i]];
    }
    return sum;
  };
  const ratio = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [Math.log(0.05), Math.log(20)];
  let [left, right] = [high - ratio * (high - low), low + ratio * (high - low)];
  let [lossLeft, lossRight] = [loss(Math.exp(left)), loss(Math.exp(right))];
  while (high - low > 1e-4) {
    if (lossLeft < lossRight) {
      [high, right, lossRight] = [right, left, lossLeft];
      left = high - ratio * (high - low);
      lossLeft = loss(Math.exp(left));
    } else {
      [low, left, lossLeft] = [left, right, lossRight];
      right = low + ratio * (high - low);
      lossRight = loss(Math.exp(right));
    }
  }
  return Math.exp(-(low + high) / 2);
}
