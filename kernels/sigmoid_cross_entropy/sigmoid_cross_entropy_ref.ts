/**
 * Sigmoid cross-entropy as plain loops in float64: what the kernels are held against.
 *
 * @module
 */

type Values = ArrayLike<number>;

/** log(1 + exp(x)) */
function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** logits, labels [M, K], positive weights [K] -> loss, dlogits [M, K]; the formula is sigmoidCrossEntropy's. */
export function sigmoidCrossEntropyRef(
  logits: Values,
  labels: Values,
  positiveWeights: Values,
): { loss: number; dlogits: Float64Array } {
  const dlogits = new Float64Array(logits.length);
  let [sum, count] = [0, 0];
  for (let i = 0; i < logits.length; i++) {
    if (labels[i] === -1) continue;
    count += labels[i] === 0 || labels[i] === 1 ? 1 : NaN;
    const weight = positiveWeights[i % positiveWeights.length];
    const sigmoid = 1 / (1 + Math.exp(-logits[i]));
    sum += labels[i] === 1 ? weight * softplus(-logits[i]) : softplus(logits[i]);
    dlogits[i] = labels[i] === 1 ? -weight / (1 + Math.exp(logits[i])) : sigmoid;
  }
  const scale = count === 0 ? 0 : 1 / count;
  return { loss: sum * scale, dlogits: dlogits.map((d, i) => labels[i] === -1 ? 0 : d * scale) };
}
