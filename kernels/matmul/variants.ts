/**
 * The variants of the matrix product: which shader, with which tiles, for which adapter and shape.
 *
 * @module
 */
import type { AdapterTraits } from "../runtime/device.ts";
import { backendInternals } from "../runtime/program.ts";
import { fitsVec4, type Operand, up4 } from "./pad.ts";
import type { MatmulShape } from "./shape.ts";
import { operandsOf, type SubgroupVariant } from "./subgroup.ts";
import { PLAIN_GROUP, PLAIN_TILE, workgroupBytes, type WorkgroupVariant } from "./workgroup.ts";
import { rankVariants } from "./workgroup_time.ts";

/** How a product is computed; `plain` takes any sizes as they are, and is slow but for few k. */
export type MatmulVariant = { readonly kind: "plain" } | SubgroupVariant | WorkgroupVariant;

/** Lanes of the subgroup variants at most: a CPU's vector of floats. */
const LANES = 8;
/** Workgroups that run at the same time on the smallest software adapter. */
const CORES = 2;
/** Rows of a lane, vec4s that are shared. Few, since each is compiled for each layout on a fresh machine. */
const TILES = [[4, 8], [4, 2]] as const;
/**
 * Nanoseconds on lavapipe 22.3, without AVX-512. Of four k: a row times a vec4, loads of a row, loads of a shared vec4; what
 * these loads take more where each k lies far from the last. Of one k of the plain product. To store a vec4 of each lane; a
 * dispatch that pads.
 */
const COST = {
  multiply: 8,
  row: 19,
  shared: 10,
  farRow: 20,
  farShared: 5,
  plain: 124,
  store: 74,
  pad: 130_000,
};
/** Elements from one k to the next that are far: the rows of several k share no page. */
const FAR = 512;

/**
 * Blocks for GPUs: rows, columns, k of a workgroup, rows and vec4s of an invocation; and about the share of its peak that
 * an NVIDIA H200 reaches with them where there is work enough.
 */
const BLOCKS = [
  [64, 128, 16, 8, 2, 0.5],
  [128, 128, 8, 16, 2, 0.55],
  [64, 64, 16, 8, 1, 0.46],
  [64, 64, 16, 4, 2, 0.45],
  [32, 64, 16, 4, 2, 0.42],
  [32, 32, 16, 4, 1, 0.4],
  [128, 128, 16, 8, 2, 0.4],
] as const;
/** Most rounds of a loop, so that an invocation stays under the 65535 after which llvmpipe leaves it (see rows.ts). */
const MAX_ROUNDS = 2 ** 15;
/** k of a part at most, for the same reason: a round loads a block in up to a dozen iterations. */
const MAX_PART = 2 ** 14;

/** The sizes on which the choice depends, by the letters of the product. */
export function sizesOf({ batches, rows, columns, inner, transposeA, transposeB }: MatmulShape) {
  return { B: batches, M: rows, N: columns, K: inner, TA: transposeA ? 1 : 0, TB: transposeB ? 1 : 0 };
}

/** A variant with its estimated time. */
interface Estimate {
  readonly variant: MatmulVariant;
  readonly time: number;
}

/** For a software adapter; of few k that want padding the fastest. */
function plainVariant({ batches, rows, columns, inner }: MatmulShape): Estimate {
  const groups = batches * Math.ceil(Math.ceil(rows / PLAIN_TILE) * Math.ceil(columns / 4) / PLAIN_GROUP);
  const each = COST.plain * inner + COST.store * PLAIN_TILE;
  return { variant: { kind: "plain" }, time: Math.ceil(groups / CORES) * each };
}

/** For a software adapter. */
function subgroupVariants(shape: MatmulShape, lanes: number): Estimate[] {
  const k = up4(shape.inner);
  const far = ({ inner, outer }: Operand) => !inner && outer >= FAR;
  return [false, true].flatMap((swapped) => {
    const { p, q } = operandsOf(shape, swapped);
    const padding = COST.pad * [p, q].filter((operand) => !fitsVec4(operand, shape.inner)).length;
    return TILES.filter(([, tileQ]) => 4 * tileQ >= lanes).map(([tileP, tileQ]) => {
      const groups = shape.batches * Math.ceil(p.outer / (tileP * lanes)) * Math.ceil(q.outer / (4 * tileQ));
      const row = COST.row + (far(p) ? COST.farRow : 0);
      const shared = COST.shared + (far(q) ? COST.farShared : 0);
      const step = COST.multiply * tileP * tileQ + row * tileP + shared * tileQ;
      const variant: SubgroupVariant = { kind: "subgroup", lanes, swapped, tileP, tileQ };
      const each = k / 4 * step + COST.store * tileP * tileQ;
      return { variant, time: Math.ceil(groups / CORES) * each + padding };
    });
  });
}

/** Variants for a GPU whose blocks fit its workgroup memory, by their estimated time. */
function workgroupVariants(shape: MatmulShape, mostBytes: number): WorkgroupVariant[] {
  const { batches, rows, columns, inner } = shape;
  const tiles = BLOCKS.map(([blockM, blockN, blockK, tileM, tileN, efficiency]) => {
    const product = {
      tiles: batches * Math.ceil(rows / blockM) * Math.ceil(columns / blockN),
      tileSize: blockM * blockN,
      products: inner,
      threads: blockM / tileM * blockN / (4 * tileN),
      efficiency,
      leastSplit: Math.ceil(inner / MAX_PART),
    };
    const variant = (parts: number): WorkgroupVariant => ({
      kind: "workgroup",
      blockM,
      blockN,
      blockK,
      tileM,
      tileN,
      parts,
    });
    return { product, variant };
  });
  return rankVariants(tiles.filter(({ variant }) => workgroupBytes(variant(1), shape) <= mostBytes));
}

/**
 * The variants that are worth timing, the default first.
 *
 * @param mostBytes of memory that the adapter gives a workgroup; WebGPU guarantees 16 KiB
 */
export function candidates(
  shape: MatmulShape,
  { software, subgroupSize }: AdapterTraits,
  mostBytes = backendInternals().device.limits.maxComputeWorkgroupStorageSize,
): MatmulVariant[] {
  const lanes = Math.min(LANES, subgroupSize);
  const subgroup = lanes < 4 || shape.inner > 4 * MAX_ROUNDS ? [] : subgroupVariants(shape, lanes);
  const plain = shape.inner > MAX_ROUNDS || !software ? [] : [plainVariant(shape)];
  const ranked = [...subgroup, ...plain].sort((a, b) => a.time - b.time).map(({ variant }) => variant);
  const workgroup = workgroupVariants(shape, mostBytes);
  return software ? [...ranked, ...workgroup] : [...workgroup, ...ranked];
}

const defaults = new Map<string, MatmulVariant>();

/** The variant that runs unless another is given or was tuned; found once a shape. */
export function defaultVariant(shape: MatmulShape, adapter: AdapterTraits): MatmulVariant {
  const key = [adapter.software, adapter.subgroupSize, ...Object.values(shape)].join();
  let variant = defaults.get(key);
  if (variant === undefined) defaults.set(key, variant = candidates(shape, adapter)[0]);
  return variant;
}
