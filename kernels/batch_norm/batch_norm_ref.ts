/**
 * Batch normalisation as plain loops in float64: what the kernels are held against.
 *
 * @module
 */

/** x is [M, C]: M rows of C channels. */
export interface BatchNormSize {
  readonly rows: number;
  readonly channels: number;
}

type Values = ArrayLike<number>;

/** Mean and (biased) variance of each channel: [C], [C]. */
export function batchNormStatisticsRef(
  x: Values,
  { rows, channels }: BatchNormSize,
): { mean: Float64Array; variance: Float64Array } {
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  for (let i = 0; i < rows * channels; i++) mean[i % channels] += x[i] / rows;
  for (let i = 0; i < rows * channels; i++) variance[i % channels] += (x[i] - mean[i % channels]) ** 2 / rows;
  return { mean, variance };
}

/** The running statistics after a batch; the variance takes the unbiased estimate. */
export function batchNormRunningRef(
  running: { mean: Values; variance: Values },
  batch: { mean: Values; variance: Values },
  { rows, channels }: BatchNormSize,
  momentum: number,
): { mean: Float64Array; variance: Float64Array } {
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  for (let c = 0; c < channels; c++) {
    mean[c] = (1 - momentum) * running.mean[c] + momentum * batch.mean[c];
    const unbiased = batch.variance[c] * rows / Math.max(1, rows - 1);
    variance[c] = (1 - momentum) * running.variance[c] + momentum * unbiased;
  }
  return { mean, variance };
}

/** y [M, C] with given statistics. */
export function batchNormForwardRef(
  x: Values,
  { gamma, beta, residual }: { gamma: Values; beta: Values; residual?: Values },
  { mean, variance }: { mean: Values; variance: Values },
  { channels }: BatchNormSize,
  { epsilon, relu }: { epsilon: number; relu: boolean },
): Float64Array {
  return Float64Array.from({ length: x.length }, (_, i) => {
    const c = i % channels;
    const xhat = (x[i] - mean[c]) / Math.sqrt(variance[c] + epsilon);
    const y = gamma[c] * xhat + beta[c] + (residual ? residual[i] : 0);
    return relu && y < 0 ? 0 : y;
  });
}

/** Gradients of sum(y dy); `frozen`: the statistics do not depend on x. */
export function batchNormBackwardRef(
  { x, y, dy, gamma }: Record<"x" | "y" | "dy" | "gamma", Values>,
  { mean, variance }: { mean: Values; variance: Values },
  { rows, channels }: BatchNormSize,
  { epsilon, relu, frozen }: { epsilon: number; relu: boolean; frozen: boolean },
): Record<"dx" | "dgamma" | "dbeta" | "dresidual", Float64Array> {
  const dgamma = new Float64Array(channels);
  const dbeta = new Float64Array(channels);
  const g = Float64Array.from({ length: x.length }, (_, i) => relu && y[i] <= 0 ? 0 : dy[i]);
  const inverse = (c: number) => 1 / Math.sqrt(variance[c] + epsilon);
  const xhat = (i: number) => (x[i] - mean[i % channels]) * inverse(i % channels);
  for (let i = 0; i < g.length; i++) {
    dbeta[i % channels] += g[i];
    dgamma[i % channels] += g[i] * xhat(i);
  }
  const dx = g.map((value, i) => {
    const c = i % channels;
    const fromStatistics = frozen ? 0 : (dbeta[c] + xhat(i) * dgamma[c]) / rows;
    return gamma[c] * inverse(c) * (value - fromStatistics);
  });
  return { dx, dgamma, dbeta, dresidual: g };
}
