/**
 * Multi-head self-attention as plain loops in float64, forward and backward: what the kernels are held against.
 *
 * @module
 */

/** The sizes of an attention. */
export interface AttentionSizes {
  /** B */
  readonly clips: number;
  /** T */
  readonly frames: number;
  /** A */
  readonly heads: number;
  /** S = D / A */
  readonly size: number;
}

/** What scales or leaves out probabilities. */
export interface AttentionFactors {
  /** [B, T], 0 = the key is masked */
  readonly mask?: ArrayLike<number>;
  /** [B, A, T, T] dropout's factors of the probabilities */
  readonly dropout?: ArrayLike<number>;
}

/** Probabilities [B, A, T, T] before dropout, and the log-sum-exp [B, A, T], 0 in a row without any key. */
function softmaxScores(qkv: ArrayLike<number>, sizes: AttentionSizes, mask?: ArrayLike<number>) {
  const { clips, frames, heads, size } = sizes;
  const depth = heads * size;
  const p = new Float64Array(clips * heads * frames * frames);
  const logSumExp = new Float64Array(clips * heads * frames);
  for (let row = 0; row < clips * heads * frames; row++) {
    const [pair, i] = [Math.floor(row / frames), row % frames];
    const [b, a] = [Math.floor(pair / heads), pair % heads];
    const attended: number[] = [];
    let top = -Infinity;
    for (let j = 0; j < frames; j++) {
      if (mask !== undefined && mask[b * frames + j] === 0) continue;
      let score = 0;
      for (let s = 0; s < size; s++) {
        const q = qkv[(b * frames + i) * 3 * depth + a * size + s];
        score += q * qkv[(b * frames + j) * 3 * depth + depth + a * size + s];
      }
      p[row * frames + j] = score / Math.sqrt(size);
      top = Math.max(top, p[row * frames + j]);
      attended.push(j);
    }
    let sum = 0;
    for (const j of attended) sum += Math.exp(p[row * frames + j] - top);
    for (const j of attended) p[row * frames + j] = Math.exp(p[row * frames + j] - top) / sum;
    logSumExp[row] = sum > 0 ? top + Math.log(sum) : 0;
  }
  return { p, logSumExp };
}

/** qkv [B, T, 3, A, S] -> context [B, T, A, S], log-sum-exp [B, A, T] */
export function attentionForwardRef(
  qkv: ArrayLike<number>,
  sizes: AttentionSizes,
  { mask, dropout }: AttentionFactors = {},
): { context: Float64Array; logSumExp: Float64Array } {
  const { clips, frames, heads, size } = sizes;
  const depth = heads * size;
  const { p, logSumExp } = softmaxScores(qkv, sizes, mask);
  const context = new Float64Array(clips * frames * depth);
  for (let n = 0; n < p.length; n++) {
    const [row, j] = [Math.floor(n / frames), n % frames];
    const [pair, i] = [Math.floor(row / frames), row % frames];
    const [b, a] = [Math.floor(pair / heads), pair % heads];
    for (let s = 0; s < size; s++) {
      const v = qkv[(b * frames + j) * 3 * depth + 2 * depth + a * size + s];
      context[(b * frames + i) * depth + a * size + s] += p[n] * (dropout?.[n] ?? 1) * v;
    }
  }
  return { context, logSumExp };
}

/** qkv [B, T, 3, A, S], dcontext [B, T, A, S] -> dqkv [B, T, 3, A, S] */
export function attentionBackwardRef(
  qkv: ArrayLike<number>,
  dcontext: ArrayLike<number>,
  sizes: AttentionSizes,
  { mask, dropout }: AttentionFactors = {},
): Float64Array {
  const { clips, frames, heads, size } = sizes;
  const depth = heads * size;
  const { p } = softmaxScores(qkv, sizes, mask);
  const dqkv = new Float64Array(clips * frames * 3 * depth);
  const dp = new Float64Array(frames);
  for (let row = 0; row < clips * heads * frames; row++) {
    const [pair, i] = [Math.floor(row / frames), row % frames];
    const [b, a] = [Math.floor(pair / heads), pair % heads];
    const q = (b * frames + i) * 3 * depth + a * size;
    const dc = (b * frames + i) * depth + a * size;
    let weighted = 0;
    for (let j = 0; j < frames; j++) {
      const n = row * frames + j;
      const k = (b * frames + j) * 3 * depth + depth + a * size;
      dp[j] = 0;
      for (let s = 0; s < size; s++) {
        dp[j] += dcontext[dc + s] * qkv[k + depth + s] * (dropout?.[n] ?? 1);
        dqkv[k + depth + s] += p[n] * (dropout?.[n] ?? 1) * dcontext[dc + s];
      }
      weighted += p[n] * dp[j];
    }
    for (let j = 0; j < frames; j++) {
      const k = (b * frames + j) * 3 * depth + depth + a * size;
      const ds = p[row * frames + j] * (dp[j] - weighted) / Math.sqrt(size);
      for (let s = 0; s < size; s++) {
        dqkv[q + s] += ds * qkv[k + s];
        dqkv[k + s] += ds * qkv[q + s];
      }
    }
  }
  return dqkv;
}

/** The tensors of the whole layer, as float64 or float32 arrays. */
export interface SelfAttentionArrays {
  /** [B, T, D] */
  readonly x: ArrayLike<number>;
  /** [D, 3D] */
  readonly qkvWeight: ArrayLike<number>;
  /** [3D] */
  readonly qkvBias: ArrayLike<number>;
  /** [D, D] */
  readonly outputWeight: ArrayLike<number>;
  /** [D] */
  readonly outputBias: ArrayLike<number>;
}

/** x [M, K], w [K, N], bias [N] -> [M, N] */
function linear(x: ArrayLike<number>, w: ArrayLike<number>, bias: ArrayLike<number>): Float64Array {
  const columns = bias.length;
  const inner = w.length / columns;
  const y = Float64Array.from({ length: x.length / inner * columns }, (_, n) => bias[n % columns]);
  for (let m = 0; m < x.length / inner; m++) {
    for (let k = 0; k < inner; k++) {
      for (let n = 0; n < columns; n++) y[m * columns + n] += x[m * inner + k] * w[k * columns + n];
    }
  }
  return y;
}

/** x [M, K], w [K, N], dy [M, N] -> dx [M, K], dw [K, N], dbias [N] */
function linearBackward(x: ArrayLike<number>, w: ArrayLike<number>, dy: ArrayLike<number>, columns: number) {
  const inner = w.length / columns;
  const dx = new Float64Array(x.length);
  const dw = new Float64Array(w.length);
  const dbias = new Float64Array(columns);
  for (let m = 0; m < x.length / inner; m++) {
    for (let n = 0; n < columns; n++) dbias[n] += dy[m * columns + n];
    for (let k = 0; k < inner; k++) {
      for (let n = 0; n < columns; n++) {
        dx[m * inner + k] += dy[m * columns + n] * w[k * columns + n];
        dw[k * columns + n] += x[m * inner + k] * dy[m * columns + n];
      }
    }
  }
  return { dx, dw, dbias };
}

/** -> y [B, T, D] */
export function selfAttentionForwardRef(
  { x, qkvWeight, qkvBias, outputWeight, outputBias }: SelfAttentionArrays,
  sizes: AttentionSizes,
  factors?: AttentionFactors,
): Float64Array {
  const { context } = attentionForwardRef(linear(x, qkvWeight, qkvBias), sizes, factors);
  return linear(context, outputWeight, outputBias);
}

/** dy [B, T, D] -> the gradients of x, qkvWeight, qkvBias, outputWeight, outputBias, in this order */
export function selfAttentionBackwardRef(
  { x, qkvWeight, qkvBias, outputWeight }: SelfAttentionArrays,
  dy: ArrayLike<number>,
  sizes: AttentionSizes,
  factors?: AttentionFactors,
): Float64Array[] {
  const depth = sizes.heads * sizes.size;
  const qkv = linear(x, qkvWeight, qkvBias);
  const { context } = attentionForwardRef(qkv, sizes, factors);
  const output = linearBackward(context, outputWeight, dy, depth);
  const dqkv = attentionBackwardRef(qkv, output.dx, sizes, factors);
  const input = linearBackward(x, qkvWeight, dqkv, 3 * depth);
  return [input.dx, input.dw, input.dbias, output.dw, output.dbias];
}
