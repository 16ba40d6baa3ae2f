/**
 * How long a matrix product in tiles of workgroup memory takes on a GPU, roughly: which tile is the default follows from it.
 * Of 8 to 12 tiles and splits that were timed on an NVIDIA H200 for each of [2048, 2048] x [2048, 2048], [864, 768] x
 * [768, 2304], [864, 2048] x [2048, 768] and [864, 3072] x [768, 3072]^T it chooses the fastest; its times are off by 13 %.
 *
 * @module
 */

/** Multiprocessors of a large GPU (NVIDIA H200); a smaller one has as much to do for each, in more turns. */
const MULTIPROCESSORS = 132;
/** Invocations that keep a multiprocessor busy. */
const BUSY = 192;
/** Multiply-adds in the time in which a value is moved to memory or from it. */
const MOVE = 50;
/** Multiply-adds of a multiprocessor in the time that a dispatch takes beside its work, in part the host's (9 us). */
const DISPATCH = 2_100_000;
/** Fewest products that make a range of the sum worth its partial sums. */
const MIN_RANGE = 128;
const MAX_SPLIT = 512;
/** Workgroups for which a sum is split in ranges. */
const WORKGROUPS = [1, 256, 512, 1024] as const;

/** Variants worth timing at most. */
const CANDIDATES = 10;

/** A product in tiles. */
export interface TiledProduct {
  /** tiles of the result, rows times columns of each, and how long their sums are */
  readonly tiles: number;
  readonly tileSize: number;
  readonly products: number;
  /** invocations of a workgroup */
  readonly threads: number;
  /** share of the adapter's peak that the tile reaches where there is work enough, measured */
  readonly efficiency: number;
  /** to count with; those of a large GPU by default */
  readonly multiprocessors?: number;
  /** fewest ranges of the sum; 1 by default */
  readonly leastSplit?: number;
}

/** A tile, and the variant that it is with its sums in so many ranges. */
export interface TiledCandidate<V> {
  readonly product: TiledProduct;
  variant(split: number): V;
}

/** The variants of some tiles, with each number of ranges worth trying, the fastest by estimate first. */
export function rankVariants<V>(candidates: readonly TiledCandidate<V>[]): V[] {
  return candidates
    .flatMap(({ product, variant }) =>
      splitsOf(product).map((split) => ({ variant: variant(split), time: workgroupTime(product, split) }))
    )
    .sort((a, b) => a.time - b.time)
    .slice(0, CANDIDATES)
    .map(({ variant }) => variant);
}

/** 1, and what gives a GPU enough workgroups. */
function splitsOf({ tiles, products, leastSplit = 1 }: TiledProduct): number[] {
  const most = Math.max(1, Math.min(MAX_SPLIT, Math.floor(products / MIN_RANGE)));
  return [
    ...new Set(WORKGROUPS.map((count) => Math.max(leastSplit, Math.min(most, Math.ceil(count / tiles))))),
  ];
}

/** Multiply-adds that a multiprocessor could make meanwhile. */
function workgroupTime(product: TiledProduct, split: number): number {
  const { tiles, tileSize, products, threads, efficiency, multiprocessors = MULTIPROCESSORS } = product;
  const turns = Math.max(Math.ceil(tiles * split / multiprocessors), BUSY / threads);
  const sums = turns * tileSize * Math.ceil(products / split) / efficiency;
  if (split === 1) return sums;
  return sums + DISPATCH + MOVE * (2 * split + 1) * tiles * tileSize / multiprocessors;
}
