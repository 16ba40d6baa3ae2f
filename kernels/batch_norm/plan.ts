/**
 * How a batch normalisation is divided over workgroups.
 *
 * @module
 */
import type { AdapterTraits } from "../runtime/device.ts";
import { elementShader } from "../runtime/elements.ts";
import { currentTraits } from "../runtime/program.ts";
import { rowsOf } from "../runtime/shapes.ts";
import { variantFor } from "../runtime/tuner.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import columnsSource from "./batch_norm_columns.wgsl" with { type: "text" };
import gradientSource from "./batch_norm_gradient.wgsl" with { type: "text" };
import momentsSource from "./batch_norm_moments.wgsl" with { type: "text" };

/** The tile constants; the tests vary each. */
export interface BatchNormTile {
  /** invocations of a workgroup, a power of 2 */
  readonly lanes: number;
  /** most of them that lie along channels where rows are summed; the others take rows in turn */
  readonly lanesC: number;
  /** workgroups that the sums are divided over, if there are rows enough */
  readonly workgroups: number;
  /** most chunks of rows that are summed apart */
  readonly maxChunks: number;
  /** fewest rows of a chunk, per invocation */
  readonly chunkRows: number;
  /** most elements that an invocation has side by side: 4, 2 or 1 */
  readonly wide: number;
  /** fewest rows that an invocation of the last dispatch makes */
  readonly blockRows: number;
  /** most rows that a workgroup makes alone, from the sums to the last value: one dispatch a pass */
  readonly aloneRows: number;
  /** its invocations that then take rows in turn, a power of 2; only 1 takes elements side by side */
  readonly aloneLanesM: number;
  /** workgroups that it then takes elements side by side down to; with less than a quarter it is not alone */
  readonly aloneGroups: number;
  /** chunks are merged in a dispatch of their own, not by every invocation of the last one */
  readonly merge: boolean;
}

/** The tiles of a driver that runs on the CPU, and of a GPU. */
export const TILES: Readonly<Record<"software" | "gpu", BatchNormTile>> = {
  software: {
    lanes: 8,
    lanesC: 8,
    workgroups: 64,
    maxChunks: 16,
    chunkRows: 32,
    wide: 4,
    blockRows: 64,
    aloneRows: 4096,
    aloneLanesM: 1,
    aloneGroups: 2,
    merge: false,
  },
  gpu: {
    lanes: 256,
    lanesC: 16,
    workgroups: 1024,
    maxChunks: 1024,
    chunkRows: 8,
    wide: 1,
    blockRows: 8,
    aloneRows: 640,
    aloneLanesM: 64,
    aloneGroups: 0,
    merge: true,
  },
};

/**
 * Most rows that one invocation sums, and most chunks. Mesa's software driver leaves a loop after 65535 rounds, all
 * loops of an invocation counted together, without an error.
 */
const MAX_ROUNDS = 32768;

/** The name of the choice of a tile, see tuner.ts. */
export const BATCH_NORM_OP = "batch_norm";

/** The sizes of [.., C] on which the choice depends: rows and channels. */
export function sizesOf(shape: readonly number[]): Record<string, number> {
  const C = shape[shape.length - 1];
  return { M: rowsOf(shape), C };
}

/** The tiles that are worth timing, the default first. */
export function batchNormCandidates({ software }: AdapterTraits): BatchNormTile[] {
  const onCpu = [
    TILES.software,
    { ...TILES.software, wide: 1 },
    { ...TILES.software, blockRows: 16 },
    { ...TILES.software, aloneRows: 0 },
    { ...TILES.software, aloneRows: 16384 },
  ];
  const onGpu = [
    TILES.gpu,
    { ...TILES.gpu, workgroups: 512, blockRows: 1 },
    { ...TILES.gpu, workgroups: 256 },
    { ...TILES.gpu, workgroups: 2048, blockRows: 1 },
    { ...TILES.gpu, lanesC: 32, workgroups: 512 },
    { ...TILES.gpu, lanes: 128, workgroups: 512 },
    { ...TILES.gpu, aloneRows: 0 },
    { ...TILES.gpu, aloneRows: 4096 },
  ];
  return software ? [...onCpu, TILES.gpu] : [...onGpu, TILES.software];
}

/** The tile for a shape on the adapter in use. */
export function chooseTile(shape: readonly number[]): BatchNormTile {
  return variantFor(BATCH_NORM_OP, sizesOf(shape), () => batchNormCandidates(currentTraits())[0]);
}

/** A tensor seen as M rows of C channels, and how they are divided. */
export interface BatchNormPlan {
  /** M */
  readonly rows: number;
  /** C, in values */
  readonly size: number;
  /** C, in elements of 4 values or of 1 */
  readonly channels: number;
  readonly lanes: number;
  readonly lanesC: number;
  readonly lanesM: number;
  /** of `lanesC` elements */
  readonly groups: number;
  /** workgroups of the sums */
  readonly sumGroups: number;
  /** elements that an invocation of the sums has side by side */
  readonly sumWide: number;
  readonly chunks: number;
  readonly chunkRows: number;
  readonly blocks: number;
  readonly blockRows: number;
  /** elements that an invocation of the last dispatch has side by side */
  readonly wide: number;
  /** whether the chunks are merged in a dispatch of their own */
  readonly merge: boolean;
  /** where a workgroup makes all rows of its elements: its lanes, and the elements that each has side by side */
  readonly alone?: { readonly lanes: number; readonly lanesM: number; readonly wide: number };
}

/** Divides [.., C]; the same shape and tile always give the same division, so the same bits. */
export function planBatchNorm(shape: readonly number[], tile: BatchNormTile): BatchNormPlan {
  const size = shape[shape.length - 1];
  const rows = rowsOf(shape);
  const channels = size % 4 === 0 ? size / 4 : size;
  // Where no two invocations share rows, those of a workgroup need not share a chunk either.
  const flat = tile.lanesC >= tile.lanes;
  const lanesC = flat ? tile.lanes : Math.min(tile.lanesC, 2 ** Math.ceil(Math.log2(channels)));
  const lanesM = tile.lanes / lanesC;
  const groups = Math.ceil(channels / lanesC);
  const wanted = Math.max(
    Math.ceil(rows / (MAX_ROUNDS * lanesM)),
    Math.min(
      tile.maxChunks,
      MAX_ROUNDS,
      Math.ceil(tile.workgroups / groups),
      Math.ceil(rows / (tile.chunkRows * lanesM)),
    ),
  );
  const chunkRows = Math.ceil(rows / wanted);
  const chunks = Math.ceil(rows / chunkRows);
  const merge = tile.merge && chunks > 1;
  // Where every invocation adds all chunks, that must stay small against its block.
  const blockRows = Math.min(rows, Math.max(tile.blockRows, merge ? 1 : 8 * chunks));
  const widths = [4, 2, 1].filter((count) =>
    count === 1 || count <= tile.wide && channels % (count * tile.lanes) === 0
  );
  const [wide] = widths;
  const lanesOfAll = tile.lanes / tile.aloneLanesM;
  const columns = channels / lanesOfAll;
  const wideOfAll = tile.aloneLanesM > 1
    ? 1
    : widths.find((count) => count === 1 || columns >= tile.aloneGroups * count)!;
  const isAlone = rows <= tile.aloneRows && columns >= tile.aloneGroups / 4;
  return {
    rows,
    size,
    channels,
    lanes: tile.lanes,
    lanesC,
    lanesM,
    groups,
    sumGroups: flat ? Math.ceil(chunks * channels / (lanesC * wide)) : chunks * groups,
    sumWide: flat ? wide : 1,
    chunks,
    chunkRows,
    blocks: Math.ceil(rows / blockRows),
    blockRows,
    wide,
    merge,
    alone: isAlone ? { lanes: lanesOfAll, lanesM: tile.aloneLanesM, wide: wideOfAll } : undefined,
  };
}

/** A shader of this folder for rows of that length. */
export function batchNormShader(name: string, source: string): (size: number) => ShaderFile {
  const includes = {
    "batch_norm_moments.wgsl": momentsSource,
    "batch_norm_columns.wgsl": columnsSource,
    "batch_norm_gradient.wgsl": gradientSource,
  };
  const shader = elementShader({ file: `batch_norm/${name}.wgsl`, source, includes });
  return (size) => shader.forRow(size).shader;
}
