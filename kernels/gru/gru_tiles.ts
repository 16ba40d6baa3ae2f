/**
 * How the kernels of a GRU's steps divide their work, and which division runs on which adapter.
 *
 * @module
 */
import type { AdapterTraits } from "../runtime/device.ts";
import { currentTraits } from "../runtime/program.ts";
import type { Constants } from "../runtime/wgsl.ts";

/** Invocations of a workgroup: the lanes of a software adapter's vector. */
export const LANES = 8;
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

/** The number of clips a tile for which all tiles together take the least time. */
function cheapest(clips: number, sizes: readonly number[], timeOf: (size: number) => number): number {
  const time = (size: number) => Math.ceil(clips / size) * timeOf(size);
  return sizes.reduce((best, size) => time(size) < time(best) ? size : best);
}

/** The faster tiles for an adapter and a shape. */
export function chooseGruTiles(
  { clips, hidden, directions }: GruGeometry,
  { software, subgroupSize }: AdapterTraits = currentTraits(),
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

/** Rounds of all loops that an invocation takes for a step, at most. */
function roundsOf({ kind, constants }: GruTile, units: number): number {
  const { TILE_M, TILE_U, UNITS, GROUPS, DEPTH } = constants as Record<string, number>;
  if (kind === "subgroup") return 3 * units + TILE_M * TILE_U + 1;
  const fill = Math.ceil(TILE_M * DEPTH / UNITS) + Math.ceil(12 * DEPTH / GROUPS);
  return Math.ceil(3 * units / DEPTH) * (1 + fill) + 1;
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
