/**
 * One layer of a gated recurrent unit, one or two directions, as dispatches on the device.
 *
 * Forward: one product for all frames' inputs, then one dispatch a step. Backward: one dispatch a step, then one
 * product each for the gradients of the recurrent weights, the input weights and x.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { matmul } from "../matmul/matmul.ts";
import type { AdapterTraits } from "../runtime/device.ts";
import { currentTraits, foldWorkgroups, release, reshapeInfo, run } from "../runtime/program.ts";
import type { Constants, ShaderFile } from "../runtime/wgsl.ts";
import beginSource from "./gru_begin.wgsl" with { type: "text" };
import biasSource from "./gru_bias.wgsl" with { type: "text" };
import backwardSource from "./gru_bwd.wgsl" with { type: "text" };
import backwardFinishSource from "./gru_bwd_finish.wgsl" with { type: "text" };
import backwardTileSource from "./gru_bwd_tile.wgsl" with { type: "text" };
import forwardSource from "./gru_fwd.wgsl" with { type: "text" };
import forwardFinishSource from "./gru_fwd_finish.wgsl" with { type: "text" };
import forwardTileSource from "./gru_fwd_tile.wgsl" with { type: "text" };
import joinSource from "./gru_join.wgsl" with { type: "text" };
import splitSource from "./gru_split.wgsl" with { type: "text" };

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
const JOIN: ShaderFile = { file: "gru/gru_join.wgsl", source: joinSource };
const SPLIT: ShaderFile = { file: "gru/gru_split.wgsl", source: splitSource };

/** Invocations of a workgroup: the lanes of a software adapter's vector. */
const LANES = 8;
/** Time of a lane-wise load of a vec4, in multiply-adds of a vector (lavapipe 22.3: about 12 ns and 0.4 ns). */
const LOAD = 25;
/** Workgroups that run at the same time on the smallest software adapter. */
const CORES = 2;
/** Up to here U stays in a core's cache, and what a step's dispatch costs outweighs the units being one workgroup's. */
const FUSED_HIDDEN = 128;
/**
 * Rounds of loops that one invocation takes at most, all loops counted: Mesa's software driver leaves a loop after 65535,
 * without an error.
 */
const MAX_ROUNDS = 32768;

/** The weights of one direction, gates r, z, n along 3G; G is a multiple of 4. */
export interface DirectionWeights {
  /** [D, 3G] */
  readonly inputWeight: TensorInfo;
  /** [G, 3G] */
  readonly hiddenWeight: TensorInfo;
  /** [3G] */
  readonly inputBias: TensorInfo;
  /** [3G] */
  readonly hiddenBias: TensorInfo;
}

/** Sizes of a layer. */
export interface GruGeometry {
  /** B */
  readonly clips: number;
  /** T */
  readonly frames: number;
  /** D */
  readonly depth: number;
  /** G, a multiple of 4 */
  readonly hidden: number;
  readonly directions: 1 | 2;
}

/** How the kernel of a step divides its work. */
export interface GruTile {
  /** `subgroup`: registers and subgroupBroadcast, for software adapters; `workgroup`: workgroup memory, for GPUs */
  readonly kind: "subgroup" | "workgroup";
  readonly constants: Constants;
  /** clips and vec4s of units of a workgroup */
  readonly clips: number;
  readonly units: number;
  /** several steps in one dispatch; a workgroup then owns all units of its clips */
  readonly fused: boolean;
}

/** Sums of `clips` clips and `units` vec4s of units an invocation, `span` subgroups a workgroup. */
export function subgroupTile(clips: number, units: number, lanes = LANES, span = 1, fused = false): GruTile {
  const constants = { TILE_M: clips, TILE_U: units, LANES: lanes, SPAN: span, FUSED: fused };
  return { kind: "subgroup", constants, clips, units: units * lanes * span, fused };
}

/** `clips` clips an invocation, `groups` invocations along them, `units` along the units; `depth` vec4s at a time. */
export function workgroupTile(
  clips: number,
  units: number,
  groups: number,
  depth: number,
  fused = false,
): GruTile {
  const constants = { TILE_M: clips, UNITS: units, GROUPS: groups, DEPTH: depth, FUSED: fused };
  return { kind: "workgroup", constants, clips: clips * groups, units, fused };
}

/** The tiles of both kernels of a layer. */
export interface GruTiles {
  readonly forward: GruTile;
  readonly backward: GruTile;
}

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

/** The number of clips a tile for which all tiles together take the least time. */
function cheapest(clips: number, sizes: readonly number[], timeOf: (size: number) => number): number {
  const time = (size: number) => Math.ceil(clips / size) * timeOf(size);
  return sizes.reduce((best, size) => time(size) < time(best) ? size : best);
}

/** The faster tiles for an adapter and a shape. */
export function chooseGruTiles(
  { clips, hidden, directions }: GruGeometry,
  { software, subgroupSize }: AdapterTraits = adapterTraits(backendInternals().device),
): GruTiles {
  const units = hidden / 4;
  const fused = hidden <= FUSED_HIDDEN;
  const lanes = Math.min(LANES, subgroupSize);
  if (!software || lanes === 0) {
    const tile = fused ? workgroupTile(1, units, Math.ceil(64 / units), 2, true) : workgroupTile(2, 8, 8, 4);
    return { forward: tile, backward: tile };
  }
  const load = (rows: number, vectors: number) => LOAD * (vectors + Math.ceil(rows / lanes));
  if (!fused) {
    return {
      forward: subgroupTile(cheapest(clips, [8, 16, 24], (rows) => load(rows, 12) + 48 * rows), 1, lanes),
      backward: subgroupTile(cheapest(clips, [8, 16], (rows) => load(rows, 8) + 32 * rows), 2, lanes),
    };
  }
  const busy = (rows: number) => Math.ceil(clips / rows) * directions >= CORES;
  const rows = clips <= 4 ? 4 : busy(16) ? 16 : 8;
  const tile = subgroupTile(rows, 1, lanes, Math.ceil(units / lanes), true);
  return { forward: tile, backward: tile };
}

/** Grid of a step's dispatch, and how many steps it takes at most. */
function divide(tile: GruTile, { clips, hidden, directions }: GruGeometry, frames: number) {
  const units = hidden / 4;
  if (tile.fused && tile.units < units) {
    throw new RangeError(
      `Cannot run gru: a workgroup has ${tile.units} vec4s of units; expected all ${units} to fuse steps`,
    );
  }
  const grid = [Math.ceil(clips / tile.clips), Math.ceil(units / tile.units)];
  const rounds = 3 * units + Number(tile.constants.TILE_M) * Number(tile.constants.TILE_U ?? 1) + 1;
  return {
    workgroups: [...grid, directions] as [number, number, number],
    stepsEach: tile.fused ? Math.min(frames, Math.max(1, Math.floor(MAX_ROUNDS / rounds))) : 1,
  };
}

/** first, second [rows, columns] -> [rows, 2 columns]; biases [n] -> [2n] */
function join(
  [first, second]: TensorInfo[],
  [firstBias, secondBias]: TensorInfo[],
  rows: number,
  shape: number[],
): [TensorInfo, TensorInfo] {
  const columns = first.shape[0] * first.shape[1] / (4 * rows);
  const biasColumns = firstBias.shape[0] / 4;
  const workgroups = foldWorkgroups(Math.ceil(2 * Math.max(rows * columns, biasColumns) / LANES));
  const [joined, joinedBias] = run({
    shader: JOIN,
    inputs: [first, second, firstBias, secondBias],
    outputs: [{ shape }, { shape: [8 * biasColumns] }],
    uniforms: { rows, columns, bias_columns: biasColumns, grid_row: workgroups[0] * LANES },
    workgroups,
  });
  return [joined, joinedBias];
}

/** The weights as the kernels read them; both directions' together. */
function prepareWeights(weights: readonly DirectionWeights[], { depth, hidden }: GruGeometry) {
  if (weights.length === 1) {
    const [{ inputWeight, hiddenWeight, inputBias, hiddenBias }] = weights;
    const biases = [inputBias, hiddenBias].map((bias) => reshapeInfo(bias, bias.shape));
    return {
      inputWeight: reshapeInfo(inputWeight, inputWeight.shape),
      hiddenWeight: reshapeInfo(hiddenWeight, [1, hidden, 3 * hidden]),
      inputBias: biases[0],
      hiddenBias: biases[1],
    };
  }
  const pick = (name: keyof DirectionWeights) => weights.map((direction) => direction[name]);
  const [inputWeight, inputBias] = join(pick("inputWeight"), pick("inputBias"), depth, [depth, 6 * hidden]);
  const [hiddenWeight, hiddenBias] = join(pick("hiddenWeight"), pick("hiddenBias"), 1, [
    2,
    hidden,
    3 * hidden,
  ]);
  return { inputWeight, inputBias, hiddenWeight, hiddenBias };
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
  tile: GruTile = chooseGruTiles(geometry).forward,
): GruLayerResult {
  const { clips, frames, depth, hidden, directions } = geometry;
  const { inputWeight, hiddenWeight, inputBias, hiddenBias } = prepareWeights(weights, geometry);
  const rows = reshapeInfo(x, [clips * frames, depth]);
  const projected = matmul(rows, inputWeight, { bias: inputBias }); // [B * T, directions * 3G]
  release(rows);
  release(inputBias);
  let previous = initialState && beginStates(initialState, geometry);
  let y: TensorInfo | undefined;
  let gates: TensorInfo | undefined;
  const { workgroups, stepsEach } = divide(tile, geometry, frames);
  for (let step = 0; step < frames; step += stepsEach) {
    const steps = Math.min(stepsEach, frames - step);
    const products = steps - (step === 0 && !initialState ? 1 : 0);
    [previous, y, gates] = run({
      shader: tile.kind === "subgroup" ? FORWARD : FORWARD_TILE,
      constants: tile.constants,
      inputs: [projected, hiddenWeight, hiddenBias],
      outputs: [
        previous ? { inPlace: previous } : { shape: [directions, frames, clips, hidden] },
        y ? { inPlace: y } : { shape: [clips, frames, directions * hidden] },
        gates ? { inPlace: gates } : { shape: [clips, frames, directions, 4, hidden] },
      ],
      uniforms: { clips, frames, units: hidden / 4, directions, step, steps, initial: initialState ? 1 : 0 },
      workgroups,
      flops: 6 * products * directions * clips * hidden * hidden,
    });
  }
  release(projected);
  release(hiddenBias);
  return { y: y!, gates: gates!, previous: previous!, inputWeight, hiddenWeight };
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
  tile: GruTile = chooseGruTiles(geometry).backward,
): GruGateGradients {
  const { clips, frames, hidden, directions } = geometry;
  let dRecurrent: TensorInfo | undefined;
  let dProjected: TensorInfo | undefined;
  let dState: TensorInfo | undefined;
  const last = hasInitialState ? 0 : 1;
  const { workgroups, stepsEach } = divide(tile, geometry, frames + 1);
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

/** dInputBias, dHiddenBias [3G] of one direction */
function biasGradients(
  { dProjected, dRecurrent }: GruGateGradients,
  { clips, frames, hidden, directions }: GruGeometry,
  direction: number,
  lanes: number,
): TensorInfo[] {
  const rows = clips * frames;
  let sums: TensorInfo[] | undefined;
  for (let first = 0; first < rows; first += MAX_ROUNDS / 2) {
    sums = run({
      shader: BIAS,
      constants: { LANES: lanes },
      inputs: [dProjected, dRecurrent],
      outputs: [0, 1].map((i) => sums ? { inPlace: sums[i] } : { shape: [3 * hidden] }),
      uniforms: {
        rows,
        first,
        last: Math.min(rows, first + MAX_ROUNDS / 2),
        units: hidden / 4,
        directions,
        direction,
      },
      workgroups: [Math.ceil(3 * hidden / (4 * lanes))],
    });
  }
  return sums!;
}

/** @returns the gradients of the weights, per direction */
export function gruLayerBackwardWeights(
  x: TensorInfo,
  previous: TensorInfo,
  gradients: GruGateGradients,
  geometry: GruGeometry,
  lanes: number = currentTraits().software ? LANES : 64,
): DirectionWeights[] {
  const { clips, frames, depth, hidden, directions } = geometry;
  const { dProjected, dRecurrent } = gradients;
  const rows = reshapeInfo(x, [clips * frames, depth]);
  const states = reshapeInfo(previous, [directions, frames * clips, hidden]);
  const dInput = matmul(rows, dProjected, { transposeA: true }); // [D, directions * 3G]
  const dHidden = matmul(states, dRecurrent, { transposeA: true }); // [directions, G, 3G]
  release(rows);
  release(states);
  const biases = Array.from(
    { length: directions },
    (_, direction) => biasGradients(gradients, geometry, direction, lanes),
  );
  let weights = [[dInput, dHidden]];
  if (directions === 1) {
    weights[0][1] = reshapeInfo(dHidden, [hidden, 3 * hidden]);
    release(dHidden);
  } else {
    weights = split(dInput, dHidden, geometry);
    release(dInput);
    release(dHidden);
  }
  return weights.map(([inputWeight, hiddenWeight], direction) => {
    const [inputBias, hiddenBias] = biases[direction];
    return { inputWeight, hiddenWeight, inputBias, hiddenBias };
  });
}

/** [D, 2 * 3G], [2, G, 3G] -> per direction [D, 3G], [G, 3G] */
function split(dInput: TensorInfo, dHidden: TensorInfo, { depth, hidden }: GruGeometry): TensorInfo[][] {
  const columns = 3 * hidden / 4;
  const workgroups = foldWorkgroups(Math.ceil(Math.max(depth, hidden) * columns / LANES));
  const [first, second, firstHidden, secondHidden] = run({
    shader: SPLIT,
    inputs: [dInput, dHidden],
    outputs: [
      { shape: [depth, 3 * hidden] },
      { shape: [depth, 3 * hidden] },
      { shape: [hidden, 3 * hidden] },
      { shape: [hidden, 3 * hidden] },
    ],
    uniforms: { rows: depth, columns, hidden_size: hidden * columns, grid_row: workgroups[0] * LANES },
    workgroups,
  });
  return [[first, firstHidden], [second, secondHidden]];
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
