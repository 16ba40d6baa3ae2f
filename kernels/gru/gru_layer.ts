/**
 * One layer of a gated recurrent unit, one or two directions, as dispatches on the device.
 *
 * Forward: one product for all frames' inputs, then one dispatch a step, or for many steps where U is small. Backward: the
 * same, then one product each for the gradients of the recurrent weights, the input weights and x.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { matmul } from "../matmul/matmul.ts";
import { currentTraits, foldWorkgroups, release, reshapeInfo, run } from "../runtime/program.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import {
  chooseGruTile,
  divideSteps,
  type GruGeometry,
  type GruPass,
  type GruTile,
  LANES,
  MAX_ROUNDS,
} from "./gru_tiles.ts";
import beginSource from "./gru_begin.wgsl" with { type: "text" };
import biasSource from "./gru_bias.wgsl" with { type: "text" };
import backwardSource from "./gru_bwd.wgsl" with { type: "text" };
import backwardFinishSource from "./gru_bwd_finish.wgsl" with { type: "text" };
import backwardTileSource from "./gru_bwd_tile.wgsl" with { type: "text" };
import forwardSource from "./gru_fwd.wgsl" with { type: "text" };
import forwardFinishSource from "./gru_fwd_finish.wgsl" with { type: "text" };
import forwardTileSource from "./gru_fwd_tile.wgsl" with { type: "text" };
import { type DirectionWeights, prepareWeights, splitGradients } from "./gru_weights.ts";

const forwardIncludes = { "gru_fwd_finish.wgsl": forwardFinishSource };
const backwardIncludes = { "gru_bwd_finish.wgsl": backwardFinishSource };
const FORWARD: ShaderFile = { file: "gru/gru_fwd.wgsl", source: forwardSource, includes: forwardIncludes };
const FORWARD_TILE: ShaderFile = {
  file: "gru/gru_fwd_tile.wgsl",
  source: forwardTileSource,
  includes: forwardIncludes,
};
const BACKWARD: ShaderFile = { file: "gru/gru_bwd.wgsl", source: backwardSource, includes: backwardIncludes };
const BACKWARD_TILE: ShaderFile = {
  file: "gru/gru_bwd_tile.wgsl",
  source: backwardTileSource,
  includes: backwardIncludes,
};
const BIAS: ShaderFile = { file: "gru/gru_bias.wgsl", source: biasSource };
const BEGIN: ShaderFile = { file: "gru/gru_begin.wgsl", source: beginSource };

/** All that the steps of a pass may run. */
export const GRU_SHADERS: Readonly<Record<GruPass, readonly ShaderFile[]>> = {
  forward: [FORWARD, FORWARD_TILE],
  backward: [BACKWARD, BACKWARD_TILE],
};

/** What forward gives: y, and what backward reads. */
export interface GruLayerResult {
  /** [B, T, directions * G] */
  readonly y: TensorInfo;
  /** [B, T, directions, 4, G]: r, z, n, and the recurrent product of n */
  readonly gates: TensorInfo;
  /** [directions, T, B, G]: the state before each step, in the order of computation */
  readonly previous: TensorInfo;
  /** [D, directions * 3G] */
  readonly inputWeight: TensorInfo;
  /** [directions, G, 3G] */
  readonly hiddenWeight: TensorInfo;
}

/** The states before each step, with the initial one in its place. */
function beginStates(
  initialState: TensorInfo,
  { clips, frames, hidden, directions }: GruGeometry,
): TensorInfo {
  const clipUnits = clips * hidden / 4;
  const workgroups = foldWorkgroups(Math.ceil(directions * clipUnits / LANES));
  return run({
    shader: BEGIN,
    inputs: [initialState],
    outputs: [{ shape: [directions, frames, clips, hidden] }],
    uniforms: {
      count: directions * clipUnits,
      clip_units: clipUnits,
      frames,
      grid_row: workgroups[0] * LANES,
    },
    workgroups,
  })[0];
}

/**
 * x [B, T, D] -> states of all frames.
 *
 * @param initialState [directions, B, G]
 */
export function gruLayerForward(
  x: TensorInfo,
  weights: readonly DirectionWeights[],
  initialState: TensorInfo | undefined,
  geometry: GruGeometry,
  tile: GruTile = chooseGruTile("forward", geometry),
): GruLayerResult {
  const { clips, frames, depth } = geometry;
  const grid = divideSteps(tile, geometry);
  const made: TensorInfo[] = []; // given back if a later dispatch cannot run
  const rows = reshapeInfo(x, [clips * frames, depth]);
  try {
    const prepared = prepareWeights(weights, geometry, made);
    const { inputWeight, hiddenWeight, inputBias, hiddenBias } = prepared;
    const projected = matmul(rows, inputWeight, { bias: inputBias }); // [B * T, directions * 3G]
    made.push(projected);
    const previous = initialState && beginStates(initialState, geometry);
    if (previous !== undefined) made.push(previous);
    const states = forwardSteps(projected, prepared, previous, geometry, tile, grid, made);
    [projected, inputBias, hiddenBias].forEach(release);
    return { ...states, inputWeight, hiddenWeight };
  } catch (error) {
    made.forEach(release);
    throw error;
  } finally {
    release(rows);
  }
}

/**
 * The steps' dispatches.
 *
 * @param begun the states before each step where there is an initial one; the others are written into it
 */
function forwardSteps(
  projected: TensorInfo,
  { hiddenWeight, hiddenBias }: Pick<DirectionWeights, "hiddenWeight" | "hiddenBias">,
  begun: TensorInfo | undefined,
  geometry: GruGeometry,
  tile: GruTile,
  { workgroups, stepsEach }: ReturnType<typeof divideSteps>,
  made: TensorInfo[],
): Pick<GruLayerResult, "y" | "gates" | "previous"> {
  const { clips, frames, hidden, directions } = geometry;
  let previous = begun;
  let y: TensorInfo | undefined;
  let gates: TensorInfo | undefined;
  for (let step = 0; step < frames; step += stepsEach) {
    const steps = Math.min(stepsEach, frames - step);
    const products = steps - (step === 0 && !begun ? 1 : 0);
    [previous, y, gates] = run({
      shader: tile.kind === "subgroup" ? FORWARD : FORWARD_TILE,
      constants: tile.constants,
      inputs: [projected, hiddenWeight, hiddenBias],
      outputs: [
        previous ? { inPlace: previous } : { shape: [directions, frames, clips, hidden] },
        y ? { inPlace: y } : { shape: [clips, frames, directions * hidden] },
        gates ? { inPlace: gates } : { shape: [clips, frames, directions, 4, hidden] },
      ],
      uniforms: { clips, frames, units: hidden / 4, directions, step, steps, initial: begun ? 1 : 0 },
      workgroups,
      flops: 6 * products * directions * clips * hidden * hidden,
    });
    if (step === 0) made.push(...(begun ? [] : [previous]), y, gates);
  }
  return { y: y!, gates: gates!, previous: previous! };
}

/** The gradients at the gates, for all steps. */
export interface GruGateGradients {
  /** [B * T, directions * 3G], of x W + b_in */
  readonly dProjected: TensorInfo;
  /** [directions, T * B, 3G], of U h + b_h, in the order of computation */
  readonly dRecurrent: TensorInfo;
  /** [directions, B, G]; undefined without an initial state */
  readonly dInitialState?: TensorInfo;
}

/** Back through time: dy [B, T, directions * G] -> the gradients at the gates. */
export function gruLayerBackwardSteps(
  dy: TensorInfo,
  { gates, previous, hiddenWeight }: Pick<GruLayerResult, "gates" | "previous" | "hiddenWeight">,
  geometry: GruGeometry,
  hasInitialState: boolean,
  tile: GruTile = chooseGruTile("backward", geometry),
): GruGateGradients {
  const { clips, frames, hidden, directions } = geometry;
  let dRecurrent: TensorInfo | undefined;
  let dProjected: TensorInfo | undefined;
  let dState: TensorInfo | undefined;
  const last = hasInitialState ? 0 : 1;
  const { workgroups, stepsEach } = divideSteps(tile, geometry);
  for (let after = frames; after >= last; after -= stepsEach) {
    const steps = Math.min(stepsEach, after - last + 1);
    [dRecurrent, dProjected, dState] = run({
      shader: tile.kind === "subgroup" ? BACKWARD : BACKWARD_TILE,
      constants: tile.constants,
      inputs: [hiddenWeight, dy, gates, previous],
      outputs: [
        dRecurrent ? { inPlace: dRecurrent } : { shape: [directions, frames * clips, 3 * hidden] },
        dProjected ? { inPlace: dProjected } : { shape: [clips * frames, directions * 3 * hidden] },
        dState ? { inPlace: dState } : { shape: [directions, clips, hidden] },
      ],
      uniforms: { clips, frames, units: hidden / 4, directions, after, steps },
      workgroups,
      flops: 6 * (steps - (after === frames ? 1 : 0)) * directions * clips * hidden * hidden,
    });
  }
  if (!hasInitialState) release(dState!);
  return {
    dRecurrent: dRecurrent!,
    dProjected: dProjected!,
    dInitialState: hasInitialState ? dState : undefined,
  };
}

/** vec4s of columns and slices of rows of a workgroup that sums the biases' gradients. */
type BiasTile = readonly [lanes: number, slices: number];
const BIAS_TILES = { software: [LANES, 1], gpu: [16, 16] } as const;

/** dInputBias, dHiddenBias [3G] of each direction */
function biasGradients(
  { dProjected, dRecurrent }: GruGateGradients,
  { clips, frames, hidden, directions }: GruGeometry,
  [lanes, slices]: BiasTile,
): TensorInfo[][] {
  const rows = clips * frames;
  const part = MAX_ROUNDS / 2 - slices; // each row is a round of two loops
  let sums: TensorInfo[] | undefined;
  for (let first = 0; first < rows; first += part) {
    sums = run({
      shader: BIAS,
      constants: { LANES: lanes, SLICES: slices },
      inputs: [dProjected, dRecurrent],
      outputs: [0, 0, 1, 1].map((direction, i) =>
        sums ? { inPlace: sums[i] } : { shape: [direction < directions ? 3 * hidden : 4] }
      ),
      uniforms: { rows, first, last: Math.min(rows, first + part), units: hidden / 4, directions },
      workgroups: [Math.ceil(3 * hidden / (4 * lanes)), directions],
    });
  }
  const [input, recurrent, inputBackwards, recurrentBackwards] = sums!;
  if (directions === 2) return [[input, recurrent], [inputBackwards, recurrentBackwards]];
  release(inputBackwards);
  release(recurrentBackwards);
  return [[input, recurrent]];
}

/** @returns the gradients of the weights, per direction */
export function gruLayerBackwardWeights(
  x: TensorInfo,
  previous: TensorInfo,
  gradients: GruGateGradients,
  geometry: GruGeometry,
  biasTile: BiasTile = currentTraits().software ? BIAS_TILES.software : BIAS_TILES.gpu,
): DirectionWeights[] {
  const { clips, frames, depth, hidden, directions } = geometry;
  const { dProjected, dRecurrent } = gradients;
  const rows = reshapeInfo(x, [clips * frames, depth]);
  const states = reshapeInfo(previous, [directions, frames * clips, hidden]);
  const dInput = matmul(rows, dProjected, { transposeA: true }); // [D, directions * 3G]
  const dHidden = matmul(states, dRecurrent, { transposeA: true }); // [directions, G, 3G]
  release(rows);
  release(states);
  const biases = biasGradients(gradients, geometry, biasTile);
  let weights = [[dInput, dHidden]];
  if (directions === 1) {
    weights[0][1] = reshapeInfo(dHidden, [hidden, 3 * hidden]);
    release(dHidden);
  } else {
    weights = splitGradients(dInput, dHidden, geometry);
    release(dInput);
    release(dHidden);
  }
  return weights.map(([inputWeight, hiddenWeight], direction) => {
    const [inputBias, hiddenBias] = biases[direction];
    return { inputWeight, hiddenWeight, inputBias, hiddenBias };
  });
}

/** dProjected [B * T, directions * 3G], inputWeight [D, directions * 3G] -> dx [B, T, D] */
export function gruLayerBackwardInput(
  dProjected: TensorInfo,
  inputWeight: TensorInfo,
  { clips, frames, depth }: Pick<GruGeometry, "clips" | "frames" | "depth">,
): TensorInfo {
  const rows = matmul(dProjected, inputWeight, { transposeB: true }); // [B * T, D]
  const dx = reshapeInfo(rows, [clips, frames, depth]);
  release(rows);
  return dx;
}
