/**
 * Bias and ReLU as plain loops in float64.
 *
 * @module
 */

/** z [M, K], bias [K] -> max(0, z + bias) */
export function biasReluForwardRef(z: ArrayLike<number>, bias: ArrayLike<number>): Float64Array {
  return Float64Array.from(z, (value, i) => Math.max(0, value + bias[i % bias.length]));
}

/** dy, y [M, K] -> dz [M, K], db [K] */
export function biasReluBackwardRef(
  dy: ArrayLike<number>,
  y: ArrayLike<number>,
  channels: number,
): { dz: Float64Array; db: Float64Array } {
  const dz = Float64Array.from(dy, (value, i) => y[i] > 0 ? value : 0);
  const db = new Float64Array(channels);
  dz.forEach((value, i) => db[i % channels] += value);
  return { dz, db };
}
