/**
 * Layer normalisation as plain loops in float64: what the kernels are held against.
 *
 * @module
 */

type Values = ArrayLike<number>;

/** Mean and inverse deviation of row m of x [M, D]. */
function statistics(x: Values, m: number, size: number, epsilon: number): [mean: number, inverse: number] {
  let mean = 0;
  for (let d = 0; d < size; d++) mean += x[m * size + d] / size;
  let variance = 0;
  for (let d = 0; d < size; d++) variance += (x[m * size + d] - mean) ** 2 / size;
  return [mean, 1 / Math.sqrt(variance + epsilon)];
}

/** x [M, D], gamma [D], beta [D] -> y [M, D] */
export function layerNormForwardRef(x: Values, gamma: Values, beta: Values, epsilon: number): Float64Array {
  const size = gamma.length;
  const y = new Float64Array(x.length);
  for (let m = 0; m < x.length / size; m++) {
    const [mean, inverse] = statistics(x, m, size, epsilon);
    for (let d = 0; d < size; d++) {
      y[m * size + d] = (x[m * size + d] - mean) * inverse * gamma[d] + beta[d];
    }
  }
  return y;
}

/** x, dy [M, D], gamma [D] -> dx [M, D], dgamma [D], dbeta [D] */
export function layerNormBackwardRef(
  x: Values,
  dy: Values,
  gamma: Values,
  epsilon: number,
): { dx: Float64Array; dgamma: Float64Array; dbeta: Float64Array } {
  const size = gamma.length;
  const dx = new Float64Array(x.length);
  const dgamma = new Float64Array(size);
  const dbeta = new Float64Array(size);
  for (let m = 0; m < x.length / size; m++) {
    const [mean, inverse] = statistics(x, m, size, epsilon);
    let sum = 0;
    let products = 0;
    for (let d = 0; d < size; d++) {
      const xhat = (x[m * size + d] - mean) * inverse;
      const g = dy[m * size + d] * gamma[d];
      sum += g;
      products += g * xhat;
      dgamma[d] += dy[m * size + d] * xhat;
      dbeta[d] += dy[m * size + d];
    }
    for (let d = 0; d < size; d++) {
      const xhat = (x[m * size + d] - mean) * inverse;
      const g = dy[m * size + d] * gamma[d];
      dx[m * size + d] = inverse * (g - sum / size - xhat * products / size);
    }
  }
  return { dx, dgamma, dbeta };
}
