/**
 * The gated recurrent unit as plain loops in float64: what the kernels are held against. PyTorch's form: gates r, z, n
 * along 3G, two biases, the reset gate applied after the recurrent product.
 *
 * @module
 */
import type { GruGeometry } from "./gru_tiles.ts";

/** The weights of one direction: [D, 3G], [G, 3G], [3G], [3G]. */
export interface GruRefWeights {
  readonly inputWeight: ArrayLike<number>;
  readonly hiddenWeight: ArrayLike<number>;
  readonly inputBias: ArrayLike<number>;
  readonly hiddenBias: ArrayLike<number>;
}

/** Gradients of one direction's weights, in the same shapes. */
export type GruRefWeightGradients = Record<keyof GruRefWeights, Float64Array>;

/** What forward keeps of one step of one clip: before and after the step, and the gates. */
interface Step {
  readonly before: Float64Array;
  readonly r: Float64Array;
  readonly z: Float64Array;
  readonly n: Float64Array;
  /** (U h + b_h)_n */
  readonly q: Float64Array;
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** sums[c] = bias[c] + sum over i of x[offset + i] weight[i, c] */
function affine(
  x: ArrayLike<number>,
  offset: number,
  length: number,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
) {
  const sums = Float64Array.from(bias);
  for (let i = 0; i < length; i++) {
    for (let c = 0; c < sums.length; c++) sums[c] += x[offset + i] * weight[i * sums.length + c];
  }
  return sums;
}

function stepForward(projected: Float64Array, before: Float64Array, weights: GruRefWeights): Step {
  const hidden = before.length;
  const recurrent = affine(before, 0, hidden, weights.hiddenWeight, weights.hiddenBias);
  const r = new Float64Array(hidden);
  const z = new Float64Array(hidden);
  const n = new Float64Array(hidden);
  const q = recurrent.slice(2 * hidden);
  for (let g = 0; g < hidden; g++) {
    r[g] = sigmoid(projected[g] + recurrent[g]);
    z[g] = sigmoid(projected[hidden + g] + recurrent[hidden + g]);
    n[g] = Math.tanh(projected[2 * hidden + g] + r[g] * q[g]);
  }
  return { before, r, z, n, q };
}

const frameOf = (step: number, frames: number, direction: number) =>
  direction === 1 ? frames - 1 - step : step;

/** Runs one direction of one clip over all frames, writing y. */
function clipForward(
  x: ArrayLike<number>,
  weights: GruRefWeights,
  state: Float64Array,
  { frames, depth, hidden, directions }: GruGeometry,
  clip: number,
  direction: number,
  y: Float64Array,
): Step[] {
  const steps: Step[] = [];
  for (let s = 0; s < frames; s++) {
    const row = clip * frames + frameOf(s, frames, direction);
    const projected = affine(x, row * depth, depth, weights.inputWeight, weights.inputBias);
    const step = stepForward(projected, state, weights);
    steps.push(step);
    state = step.n.map((n, g) => (1 - step.z[g]) * n + step.z[g] * step.before[g]);
    y.set(state, (row * directions + direction) * hidden);
  }
  return steps;
}

function initialStateOf(
  initial: ArrayLike<number> | undefined,
  { clips, hidden }: GruGeometry,
  clip: number,
  direction: number,
) {
  const offset = (direction * clips + clip) * hidden;
  return Float64Array.from({ length: hidden }, (_, g) => initial === undefined ? 0 : initial[offset + g]);
}

/** x [B, T, D], weights per direction, initial [directions, B, G] -> y [B, T, directions * G] */
export function gruLayerRef(
  x: ArrayLike<number>,
  weights: readonly GruRefWeights[],
  initial: ArrayLike<number> | undefined,
  geometry: GruGeometry,
): Float64Array {
  const { clips, frames, hidden, directions } = geometry;
  const y = new Float64Array(clips * frames * directions * hidden);
  for (let clip = 0; clip < clips; clip++) {
    weights.forEach((w, direction) =>
      clipForward(x, w, initialStateOf(initial, geometry, clip, direction), geometry, clip, direction, y)
    );
  }
  return y;
}

/** d[c] of `affine` at one row: adds to the gradients of weight and bias, and to dx. */
function affineBackward(
  x: ArrayLike<number>,
  offset: number,
  length: number,
  weight: ArrayLike<number>,
  d: Float64Array,
  dWeight: Float64Array,
  dBias: Float64Array,
  dx: Float64Array,
) {
  for (let c = 0; c < d.length; c++) dBias[c] += d[c];
  for (let i = 0; i < length; i++) {
    for (let c = 0; c < d.length; c++) {
      dWeight[i * d.length + c] += x[offset + i] * d[c];
      dx[offset + i] += weight[i * d.length + c] * d[c];
    }
  }
}

/** One step: dh -> the gradients of the projected input and of the recurrent sums, each [3G]. */
function stepBackward({ before, r, z, n, q }: Step, dh: Float64Array) {
  const hidden = dh.length;
  const dProjected = new Float64Array(3 * hidden);
  for (let g = 0; g < hidden; g++) {
    const dn = dh[g] * (1 - z[g]) * (1 - n[g] ** 2);
    dProjected[g] = dn * q[g] * r[g] * (1 - r[g]);
    dProjected[hidden + g] = dh[g] * (before[g] - n[g]) * z[g] * (1 - z[g]);
    dProjected[2 * hidden + g] = dn;
  }
  const dRecurrent = dProjected.map((d, i) => i < 2 * hidden ? d : d * r[i - 2 * hidden]);
  return { dProjected, dRecurrent };
}

/** dy [B, T, directions * G] -> the gradients of x, of the initial state and of the weights */
export function gruLayerBackwardRef(
  x: ArrayLike<number>,
  weights: readonly GruRefWeights[],
  initial: ArrayLike<number> | undefined,
  dy: ArrayLike<number>,
  geometry: GruGeometry,
): { dx: Float64Array; dInitial: Float64Array; dWeights: GruRefWeightGradients[] } {
  const { clips, frames, depth, hidden, directions } = geometry;
  const dx = new Float64Array(clips * frames * depth);
  const dInitial = new Float64Array(directions * clips * hidden);
  const y = new Float64Array(clips * frames * directions * hidden);
  const dWeights = weights.map((): GruRefWeightGradients => ({
    inputWeight: new Float64Array(depth * 3 * hidden),
    hiddenWeight: new Float64Array(hidden * 3 * hidden),
    inputBias: new Float64Array(3 * hidden),
    hiddenBias: new Float64Array(3 * hidden),
  }));
  for (let clip = 0; clip < clips; clip++) {
    weights.forEach((w, direction) => {
      const state = initialStateOf(initial, geometry, clip, direction);
      const steps = clipForward(x, w, state, geometry, clip, direction, y);
      const dw = dWeights[direction];
      let dh = new Float64Array(hidden);
      for (let s = frames - 1; s >= 0; s--) {
        const row = clip * frames + frameOf(s, frames, direction);
        for (let g = 0; g < hidden; g++) dh[g] += dy[(row * directions + direction) * hidden + g];
        const { dProjected, dRecurrent } = stepBackward(steps[s], dh);
        affineBackward(x, row * depth, depth, w.inputWeight, dProjected, dw.inputWeight, dw.inputBias, dx);
        const through = dh.map((d, g) => d * steps[s].z[g]);
        affineBackward(
          steps[s].before,
          0,
          hidden,
          w.hiddenWeight,
          dRecurrent,
          dw.hiddenWeight,
          dw.hiddenBias,
          through,
        );
        dh = through;
      }
      dInitial.set(dh, (direction * clips + clip) * hidden);
    });
  }
  return { dx, dInitial, dWeights };
}
