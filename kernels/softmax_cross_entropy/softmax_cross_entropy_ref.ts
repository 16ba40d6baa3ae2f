/**
 * Softmax cross-entropy as plain loops in float64: what the kernels are held against.
 *
 * @module
 */
import type { SoftmaxCrossEntropySettings } from "./softmax_cross_entropy.ts";

type Values = ArrayLike<number>;

/**
 * logits [M, K], labels [M], weights [K] -> loss, dlogits [M, K]; the formula is softmaxCrossEntropy's. A label that is
 * no class makes the loss, and the gradient of all rows that are not ignored, NaN.
 */
export function softmaxCrossEntropyRef(
  logits: Values,
  labels: Values,
  classes: number,
  { labelSmoothing = 0, focalGamma = 0 }: SoftmaxCrossEntropySettings = {},
  weights: Values = new Float64Array(classes).fill(1),
): { loss: number; dlogits: Float64Array } {
  const dlogits = new Float64Array(logits.length);
  let [sum, weightSum] = [0, 0];
  for (let m = 0; m < labels.length; m++) {
    const t = labels[m];
    if (t === -1) continue;
    if (!(t >= 0 && t < classes)) weightSum = NaN;
    const row = rowLoss(Array.from({ length: classes }, (_, k) => logits[m * classes + k]), t);
    weightSum += weights[t];
    sum += row.loss;
    dlogits.set(row.gradient, m * classes);
  }
  const scale = weightSum === 0 ? 0 : 1 / weightSum;
  return {
    loss: sum * scale,
    dlogits: dlogits.map((d, i) => labels[Math.floor(i / classes)] === -1 ? 0 : d * scale),
  };

  function rowLoss(z: number[], t: number): { loss: number; gradient: number[] } {
    const greatest = Math.max(...z);
    const exponentials = z.map((v) => Math.exp(v - greatest));
    const total = exponentials.reduce((a, b) => a + b, 0);
    const logTotal = Math.log(total) + greatest;
    const p = exponentials.map((e) => e / total);
    const share = z.map((_, k) =>
      (k === t ? (1 - labelSmoothing) * weights[k] : 0) + labelSmoothing / classes * weights[k]
    );
    const plain = share.reduce((loss, c, k) => loss + (c === 0 ? 0 : c * (logTotal - z[k])), 0);
    const shares = share.reduce((a, b) => a + b, 0);
    if (focalGamma === 0) return { loss: plain, gradient: p.map((p, k) => shares * p - share[k]) };
    const q = exponentials.reduce((a, e, k) => k === t ? a : a + e, 0) / total;
    const focus = q ** focalGamma;
    const gradient = p.map((pk, k) => {
      const dq = k === t ? -p[t] * q : p[t] * pk;
      return focus * (shares * pk - share[k]) + focalGamma * q ** (focalGamma - 1) * dq * plain;
    });
    return { loss: focus * plain, gradient };
  }
}
