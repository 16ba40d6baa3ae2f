/**
 * How the kernels of a GRU's steps divide their work, and which division runs on which adapter.
 *
 * @module
 */
import type { AdapterTraits } from "../runtime/device.ts";
import { backendInternals, currentTraits } from "../runtime/program.ts";
import { variantFor } from "../runtime/tuner.ts";
import type { Constants } from "../runtime/wgsl.ts";

/** Invocations of a workgroup: the lanes of a software adapter's vector. */
export const LANES = 8;
/** Time of a lane-wise load of a vec4, in multiply-adds of a vector (lavapipe 22.3: about 12 ns and 0.4 ns). */
const LOAD = 25;
/** Workgroups that run at the same time on the smallest software adapter. */
const CORES = 2;
/** Up to here U stays in a core's cache, and what a step's dispatch costs outweighs the units being one workgroup's. */
const FUSED_HIDDEN = 128;
/** The same on a GPU, where a step has more invocations apart. */
const GPU_FUSED_HIDDEN = 64;
/** Workgroups of 16 clips and 8 vec4s of units below which a GPU has too little to do. */
const FEW_WORKGROUPS = 64;
/**
 * Rounds of loops that one invocation takes at most, all loops counted: Mesa's software driver leaves a loop after 65535,
 * without an error.
 */
export const MAX_ROUNDS = 32768;

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

/**
 * `clips` clips an invocation, `groups` invocations along them, `units` along the units, `slices` along the sum; `depth`
 * vec4s of a slice at a time.
 */
export function workgroupTile(
  clips: number,
  units: number,
  groups: number,
  slices: number,
  depth: number,
  fused = false,
): GruTile {
  const constants = {
    TILE_M: clips,
    UNITS: units,
    GROUPS: groups,
    SLICES: slices,
    DEPTH: depth,
    FUSED: fused,
  };
  return { kind: "workgroup", constants, clips: clips * groups, units, fused };
}

/** What is computed: the states, or the gradients at the gates. */
export type GruPass = "forward" | "backward";

/** The passes' names for the tuner. */
export const GRU_OPS: Readonly<Record<GruPass, string>> = { forward: "gru_fwd", backward: "gru_bwd" };

/** A division of the work that does not tell how many units a layer has: it makes a tile for each. */
export type GruVariant =
  | { readonly kind: "subgroup"; readonly lanes: number; readonly clips: number; readonly fused: boolean }
  | {
    readonly kind: "workgroup";
    readonly clips: number;
    readonly slices: number;
    readonly fused: boolean;
  };

/** The sizes on which the choice depends. */
export function sizesOf({ clips, hidden, directions }: GruGeometry): Record<string, number> {
  return { B: clips, G: hidden, directions };
}

/** vec4s of units of a lane where a step is a dispatch: a backward sum has a third of a forward one's weights. */
const SUBGROUP_UNITS: Readonly<Record<GruPass, number>> = { forward: 1, backward: 2 };

/** vec4s of a sum that a workgroup brings at a time where a step is a dispatch: in 16 KiB, which every adapter has. */
const roundOf = (pass: GruPass, clips: number) => pass === "backward" && clips <= 2 ? 16 : 8;

/** The tile of a variant for a layer. */
export function tileOf(pass: GruPass, variant: GruVariant, { hidden }: Pick<GruGeometry, "hidden">): GruTile {
  const units = hidden / 4;
  const { kind, clips, fused } = variant;
  if (kind === "workgroup") {
    const { slices } = variant;
    return fused
      ? workgroupTile(clips, units, Math.ceil(64 / units), slices, 2 / slices, true)
      : workgroupTile(clips, 8, 8, slices, roundOf(pass, clips) / slices);
  }
  const { lanes } = variant;
  return fused
    ? subgroupTile(clips, 1, lanes, Math.ceil(units / lanes), true)
    : subgroupTile(clips, SUBGROUP_UNITS[pass], lanes);
}

/** The one first, the others after it. */
function withFirst(first: number, all: readonly number[]): number[] {
  return [first, ...all.filter((one) => one !== first)];
}

/** The size for which the tiles of all clips together take the least time. */
function cheapest(clips: number, sizes: readonly number[], timeOf: (size: number) => number): number {
  const time = (size: number) => Math.ceil(clips / size) * timeOf(size);
  return sizes.reduce((best, size) => time(size) < time(best) ? size : best);
}

/** Variants for a software adapter: where U is small with all steps in one dispatch first. */
function subgroupVariants(
  pass: GruPass,
  { clips, hidden, directions }: GruGeometry,
  lanes: number,
): GruVariant[] {
  const variant = (rows: number, fused: boolean): GruVariant => ({
    kind: "subgroup",
    lanes,
    clips: rows,
    fused,
  });
  const load = (rows: number, vectors: number) => LOAD * (vectors + Math.ceil(rows / lanes));
  const sizes = pass === "forward" ? [8, 16, 24] : [8, 16];
  const timeOf = pass === "forward"
    ? (rows: number) => load(rows, 12) + 48 * rows
    : (rows: number) => load(rows, 8) + 32 * rows;
  const apart = withFirst(cheapest(clips, sizes, timeOf), sizes).map((rows) => variant(rows, false));
  if (hidden > FUSED_HIDDEN) return apart;
  const busy = (rows: number) => Math.ceil(clips / rows) * directions >= CORES;
  const rows = clips <= 4 ? 4 : busy(16) ? 16 : 8;
  return [...withFirst(rows, [4, 8, 16]).map((count) => variant(count, true)), ...apart];
}

/** Variants for a GPU. */
function workgroupVariants(pass: GruPass, { clips, hidden, directions }: GruGeometry): GruVariant[] {
  const variant = (rows: number, slices: number, fused: boolean): GruVariant => ({
    kind: "workgroup",
    clips: rows,
    slices,
    fused,
  });
  const few = Math.ceil(clips / 16) * Math.ceil(hidden / 32) * directions < FEW_WORKGROUPS;
  const apart = [4, 2, 1].flatMap((slices) =>
    withFirst(few ? 1 : 2, [2, 1, 4]).map((rows) => variant(rows, slices, false))
  );
  if (hidden > GPU_FUSED_HIDDEN) return apart;
  const slices = withFirst(pass === "forward" ? 1 : 2, [1, 2]);
  return [...slices.flatMap((count) => [1, 2].map((rows) => variant(rows, count, true))), ...apart];
}

/** The variants that are worth timing, the default first. */
export function gruCandidates(
  pass: GruPass,
  geometry: GruGeometry,
  { software, subgroupSize }: AdapterTraits,
): GruVariant[] {
  const lanes = Math.min(LANES, subgroupSize);
  const subgroup = lanes === 0 ? [] : subgroupVariants(pass, geometry, lanes);
  const workgroup = workgroupVariants(pass, geometry);
  return software ? [...subgroup, ...workgroup] : [...workgroup, ...subgroup];
}

/** The tile that runs unless another is given: of the tuned variant, or of the default. */
export function chooseGruTile(pass: GruPass, geometry: GruGeometry): GruTile {
  const shipped = () => gruCandidates(pass, geometry, currentTraits())[0];
  return tileOf(pass, variantFor(GRU_OPS[pass], sizesOf(geometry), shipped), geometry);
}

/** Rounds of all loops that an invocation takes for a step, at most. */
function roundsOf({ kind, constants }: GruTile, units: number): number {
  const { TILE_M, TILE_U, UNITS, GROUPS, SLICES, DEPTH } = constants as Record<string, number>;
  if (kind === "subgroup") return 3 * units + TILE_M * TILE_U + 1;
  const fill = Math.ceil(TILE_M * DEPTH / UNITS) + Math.ceil(12 * DEPTH / GROUPS);
  return Math.ceil(3 * units / (SLICES * DEPTH)) * (1 + fill) + SLICES + 1;
}

/** Grid of a step's dispatch, and how many steps a dispatch takes at most. */
export function divideSteps(tile: GruTile, { clips, hidden, directions }: GruGeometry) {
  const units = hidden / 4;
  if (tile.fused && tile.units < units) {
    throw new RangeError(
      `Cannot run gru: a workgroup has ${tile.units} vec4s of units; expected all ${units} to fuse steps`,
    );
  }
  const grid = [Math.ceil(clips / tile.clips), Math.ceil(units / tile.units)];
  return {
    workgroups: [...grid, directions] as [number, number, number],
    stepsEach: tile.fused ? Math.max(1, Math.floor(MAX_ROUNDS / roundsOf(tile, units))) : 1,
  };
}

/**
 * Clips, at most all of them, whose steps' grids the adapter takes: a tile's clips are a workgroup's.
 *
 * @param most workgroups in a dimension
 */
export function dispatchableClips(
  geometry: GruGeometry,
  most: number = backendInternals().device.limits.maxComputeWorkgroupsPerDimension,
): number {
  let { clips } = geometry;
  while (clips > most) {
    const passes: GruPass[] = ["forward", "backward"];
    const tile = Math.min(...passes.map((pass) => chooseGruTile(pass, { ...geometry, clips }).clips));
    if (Math.ceil(clips / tile) <= most) return clips;
    clips = most * tile; // for which another tile may be chosen
  }
  return clips;
}
