/**
 * The variants of the convolution kernels: which shader, with which tile constants, for which adapter and shape.
 *
 * @module
 */
import type { AdapterTraits } from "../runtime/device.ts";
import type { Constants } from "../runtime/wgsl.ts";
import type { Conv2dGeometry } from "./conv2d_geometry.ts";

/** What is computed: y, dx or dFilter. */
export type Conv2dPass = "forward" | "backwardInput" | "backwardFilter";

/** The passes' names for the tuner and the bench. */
export const CONV2D_OPS: Readonly<Record<Conv2dPass, string>> = {
  forward: "conv2d_fwd",
  backwardInput: "conv2d_bwd_input",
  backwardFilter: "conv2d_bwd_filter",
};

/** The sizes that tell which variant is fastest. */
export function sizesOf(g: Conv2dGeometry): Record<string, number> {
  return {
    pixels: g.images * g.outHeight * g.outWidth,
    taps: g.filterHeight * g.filterWidth,
    stride: g.strides[0],
    C: g.channels,
    K: g.outChannels,
  };
}

/**
 * A shader and its tile constants. `subgroup`: registers and subgroup operations, for software adapters;
 * `subgroup_pixels`: the same with the pixels over the lanes (dFilter alone); `workgroup`: tiles in workgroup memory, for GPUs.
 */
export interface Conv2dVariant {
  readonly kind: "subgroup" | "subgroup_pixels" | "workgroup";
  readonly constants: Constants;
}

/** Lanes of the subgroup variants at most: a CPU's vector of floats. */
const LANES = 8;
/** Workgroups that run at the same time on the smallest software adapter. */
const CORES = 2;
/** Time of a lane-wise load of eight vec4s, in multiply-adds of a vector (lavapipe 22.3: about 12 ns and 0.4 ns). */
const LOAD = 25;
/** Time of adding up one vec4 over the lanes, in the same unit. */
const LANE_SUM = 80;
/** A GPU should get at least this many workgroups: dFilter is cut into chunks until it has them. */
const GPU_WORKGROUPS = 512;
/** Pixels that make a chunk of dFilter worth its partial sums. */
const MIN_CHUNK_PIXELS = 256;

/** Tiles of the subgroup variants: rows, vec4s of columns. */
const TILES = [[16, 4], [8, 8], [6, 8], [4, 4]] as const;
/** dFilter with taps and channels over the lanes: vec4s of rows, vec4s of columns, pixels a round. */
const FILTER_TILES = [[2, 8, 2], [4, 4, 2], [1, 4, 8]] as const;
/** dFilter with the pixels over the lanes. */
const PIXEL_TILES = [[4, 4, 2], [2, 4, 2], [1, 4, 2]] as const;
/** The workgroup variants: TILE_M, TILE_N of an invocation, BLOCK_M, BLOCK_N of a workgroup, BLOCK_D of a round. */
const BLOCKS = [[8, 2, 64, 16, 2], [8, 2, 128, 16, 2], [4, 1, 64, 16, 4], [4, 1, 32, 8, 4]] as const;
/** The smallest of them, for layers with few pixels and channels. */
const SMALL_BLOCK = BLOCKS[3];
/** dFilter: TILE_C, TILE_K, BLOCK_C, BLOCK_K, BLOCK_P. */
const FILTER_BLOCKS = [[2, 2, 16, 16, 8], [2, 2, 16, 16, 16], [1, 1, 16, 16, 8], [1, 1, 8, 8, 16]] as const;

/** GEMM rows (the most of a phase), vec4s of columns, and independent grids of a pass. */
function gemmOf(pass: "forward" | "backwardInput", g: Conv2dGeometry) {
  if (pass === "forward") {
    return { rows: g.images * g.outHeight * g.outWidth, columns: Math.ceil(g.outChannels / 4) };
  }
  const [strideY, strideX] = g.strides;
  return {
    rows: g.images * Math.ceil(g.height / strideY) * Math.ceil(g.width / strideX),
    columns: Math.ceil(g.channels / 4),
  };
}

/** Variants of a pass with their estimated time on a software adapter, in vector multiply-adds a core. */
function subgroupVariants(pass: Conv2dPass, g: Conv2dGeometry, lanes: number) {
  const time = (workgroups: number, each: number) => Math.ceil(workgroups / CORES) * each;
  if (pass !== "backwardFilter") {
    const { rows, columns } = gemmOf(pass, g);
    return TILES.map(([m, n]) => ({
      variant: { kind: "subgroup", constants: { TILE_M: m, TILE_N: n, LANES: lanes } } as Conv2dVariant,
      time: time(
        Math.ceil(rows / (m * lanes)) * Math.ceil(columns / n),
        16 * m * n + LOAD * (m + Math.ceil(4 * n / lanes)),
      ),
    }));
  }
  const taps = g.filterHeight * g.filterWidth;
  const pixels = g.images * g.outHeight * g.outWidth;
  const tiles = (c: number) => taps * Math.ceil(g.channels / (4 * c));
  const columns = (k: number) => Math.ceil(g.outChannels / (4 * k));
  const constants = (c: number, k: number, unroll: number) => ({
    TILE_C: c,
    TILE_K: k,
    UNROLL: unroll,
    LANES: lanes,
  });
  return [
    ...FILTER_TILES.map(([c, k, unroll]) => ({
      variant: { kind: "subgroup", constants: constants(c, k, unroll) } as Conv2dVariant,
      time: time(
        Math.ceil(tiles(c) / lanes) * columns(k),
        pixels * (16 * c * k + LOAD * (c + Math.ceil(unroll * k / lanes) / unroll) + 16),
      ),
    })),
    ...PIXEL_TILES.map(([c, k, unroll]) => ({
      variant: { kind: "subgroup_pixels", constants: constants(c, k, unroll) } as Conv2dVariant,
      time: time(
        tiles(c) * columns(k),
        Math.ceil(pixels / lanes) * (16 * c * k + LOAD * (c + k) + 16) + LANE_SUM * 4 * c * k,
      ),
    })),
  ];
}

function workgroupVariants(pass: Conv2dPass, g: Conv2dGeometry): Conv2dVariant[] {
  if (pass === "backwardFilter") {
    return FILTER_BLOCKS.map(([TILE_C, TILE_K, BLOCK_C, BLOCK_K, BLOCK_P]) => ({
      kind: "workgroup",
      constants: { TILE_C, TILE_K, BLOCK_C, BLOCK_K, BLOCK_P },
    }));
  }
  const { rows, columns } = gemmOf(pass, g);
  const [, , blockRows, blockColumns] = BLOCKS[0];
  const fills = Math.ceil(rows / blockRows) * Math.ceil(columns / blockColumns) >= GPU_WORKGROUPS / 4;
  const blocks = fills ? BLOCKS : [SMALL_BLOCK, ...BLOCKS.filter((block) => block !== SMALL_BLOCK)];
  return blocks.map(([TILE_M, TILE_N, BLOCK_M, BLOCK_N, BLOCK_D]) => ({
    kind: "workgroup",
    constants: { TILE_M, TILE_N, BLOCK_M, BLOCK_N, BLOCK_D },
  }));
}

/** Lanes of the subgroup variants; 0 if the adapter cannot run them. */
function lanesOf({ subgroupSize }: AdapterTraits): number {
  return Math.min(LANES, subgroupSize);
}

/** The variants that are worth timing, the default first. */
export function candidates(pass: Conv2dPass, g: Conv2dGeometry, adapter: AdapterTraits): Conv2dVariant[] {
  const lanes = lanesOf(adapter);
  const ranked = lanes === 0 ? [] : subgroupVariants(pass, g, lanes).sort((a, b) => a.time - b.time);
  const subgroup = ranked.map(({ variant }) => variant);
  const workgroup = workgroupVariants(pass, g);
  return adapter.software ? [...subgroup, ...workgroup] : [...workgroup, ...subgroup];
}

/** The variant that runs unless another is given. */
export function defaultVariant(pass: Conv2dPass, g: Conv2dGeometry, adapter: AdapterTraits): Conv2dVariant {
  return candidates(pass, g, adapter)[0];
}

/** Chunks of the pixels that the workgroup variant of dFilter sums apart. */
export function chunksOf({ constants }: Conv2dVariant, g: Conv2dGeometry): number {
  const rows = g.filterHeight * g.filterWidth * Math.ceil(g.channels / 4);
  const tiles = Math.ceil(rows / Number(constants.BLOCK_C)) *
    Math.ceil(g.outChannels / (4 * Number(constants.BLOCK_K)));
  const pixels = g.images * g.outHeight * g.outWidth;
  return Math.max(1, Math.min(Math.ceil(GPU_WORKGROUPS / tiles), Math.floor(pixels / MIN_CHUNK_PIXELS)));
}
