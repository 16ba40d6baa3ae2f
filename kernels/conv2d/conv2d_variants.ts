/**
 * The variants of the convolution kernels: which shader, with which tile constants, for which adapter and shape.
 *
 * @module
 */
import { rankVariants, type TiledCandidate, type TiledProduct } from "../matmul/workgroup_time.ts";
import type { AdapterTraits } from "../runtime/device.ts";
import { COUNTED_ITERATIONS } from "../runtime/rows.ts";
import type { Constants } from "../runtime/wgsl.ts";
import type { Conv2dGeometry } from "./conv2d_geometry.ts";
import { roundsOf, sumIterations } from "./conv2d_loops.ts";

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
  /**
   * of `workgroup`, and of dFilter: ranges of the sum that are made apart and then added, where there are few tiles; 1 by
   * default
   */
  readonly split?: number;
}

/** Lanes of the subgroup variants at most: a CPU's vector of floats. */
const LANES = 8;
/** Workgroups that run at the same time on the smallest software adapter. */
const CORES = 2;
/** Time of a lane-wise load of eight vec4s, in multiply-adds of a vector (lavapipe 22.3: about 12 ns and 0.4 ns). */
const LOAD = 25;
/** Time of adding up one vec4 over the lanes, in the same unit. */
const LANE_SUM = 80;
/**
 * Tiles of the subgroup variants: rows, vec4s of columns. Few, since each is compiled on a fresh machine: of eight tiles the
 * best of each layer saves 11 % of the time of ResNet50's layers, forward and dInput, against these two.
 */
const TILES = [[6, 8], [4, 4]] as const;
/** dFilter with taps and channels over the lanes: vec4s of rows, vec4s of columns, pixels a round. */
const FILTER_TILES = [[4, 4, 2], [1, 4, 4]] as const;
/** dFilter with the pixels over the lanes. */
const PIXEL_TILES = [[4, 4, 2]] as const;
/**
 * The workgroup variants: TILE_M, TILE_N of an invocation, BLOCK_M, BLOCK_N of a workgroup, BLOCK_D of a round; and about
 * the share of its peak that an NVIDIA H200 reaches with them where there is work enough (guessed for the second and the
 * last but one).
 */
const BLOCKS = [
  [8, 1, 64, 16, 4, 0.5],
  [8, 1, 64, 16, 8, 0.48],
  [4, 2, 64, 16, 4, 0.47],
  [4, 1, 64, 16, 4, 0.45],
  [8, 2, 64, 16, 4, 0.4],
  [8, 2, 128, 16, 4, 0.39],
  [4, 2, 32, 16, 4, 0.4],
  [8, 1, 64, 8, 4, 0.4],
  [4, 1, 32, 8, 4, 0.31],
] as const;
/** dFilter: TILE_C, TILE_K, BLOCK_C, BLOCK_K, BLOCK_P, and the share. */
const FILTER_BLOCKS = [
  [2, 2, 16, 32, 8, 0.44],
  [2, 2, 32, 16, 8, 0.43],
  [1, 2, 16, 16, 16, 0.45],
  [2, 2, 16, 16, 8, 0.39],
  [1, 1, 16, 16, 16, 0.42],
  [1, 1, 8, 8, 16, 0.3],
] as const;

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
    if (sumIterations(pass, g) > COUNTED_ITERATIONS) return [];
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

/** Variants for a GPU, by their estimated time. */
function workgroupVariants(pass: Conv2dPass, g: Conv2dGeometry): Conv2dVariant[] {
  const taps = g.filterHeight * g.filterWidth;
  const channels = Math.ceil(g.channels / 4);
  const outChannels = Math.ceil(g.outChannels / 4);
  return rankVariants(
    pass === "backwardFilter"
      ? FILTER_BLOCKS.map(([TILE_C, TILE_K, BLOCK_C, BLOCK_K, BLOCK_P, efficiency]) =>
        tiled({ TILE_C, TILE_K, BLOCK_C, BLOCK_K, BLOCK_P }, {
          tiles: Math.ceil(taps * channels / BLOCK_C) * Math.ceil(outChannels / BLOCK_K),
          tileSize: 16 * BLOCK_C * BLOCK_K,
          products: g.images * g.outHeight * g.outWidth,
          threads: BLOCK_C / TILE_C * BLOCK_K / TILE_K,
          efficiency,
          // An H200 has 132, but that many make conv2's sum over all pixels 29 ranges, 1.29 times as slow as 114.
          multiprocessors: 128,
        })
      )
      : BLOCKS.map(([TILE_M, TILE_N, BLOCK_M, BLOCK_N, BLOCK_D, efficiency]) => {
        const { rows, columns } = gemmOf(pass, g);
        const phases = pass === "forward" ? 1 : g.strides[0] * g.strides[1];
        return tiled({ TILE_M, TILE_N, BLOCK_M, BLOCK_N, BLOCK_D }, {
          tiles: phases * Math.ceil(rows / BLOCK_M) * Math.ceil(columns / BLOCK_N),
          tileSize: 4 * BLOCK_M * BLOCK_N,
          products: Math.ceil(4 * taps * (pass === "forward" ? channels : outChannels) / phases),
          threads: BLOCK_M / TILE_M * BLOCK_N / TILE_N,
          efficiency,
          leastSplit: Math.ceil(roundsOf(pass, g, BLOCK_D) / (COUNTED_ITERATIONS / 2)),
        });
      }),
  );
}

/** A tile that may have its sum split. */
function tiled(constants: Constants, product: TiledProduct): TiledCandidate<Conv2dVariant> {
  return { product, variant: (split) => ({ kind: "workgroup", constants, split }) };
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

const defaults = new Map<string, Conv2dVariant>();

/** The variant that runs unless another is given; found once, since each training step asks for some 160. */
export function defaultVariant(pass: Conv2dPass, g: Conv2dGeometry, adapter: AdapterTraits): Conv2dVariant {
  const key = [pass, adapter.software, adapter.subgroupSize, ...Object.values(g)].join();
  let variant = defaults.get(key);
  if (variant === undefined) defaults.set(key, variant = candidates(pass, g, adapter)[0]);
  return variant;
}
