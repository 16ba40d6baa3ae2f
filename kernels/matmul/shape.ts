/**
 * The shape of a batched matrix product.
 *
 * @module
 */
import { sizeOf } from "../runtime/shapes.ts";

/** y [batches, M, N] = a [batches, M, K] b [batches, K, N]. */
export interface MatmulShape {
  /** of y, as its caller sees it */
  readonly outShape: readonly number[];
  readonly batches: number;
  /** batch i of y takes batch i mod these of a and b */
  readonly batchesA: number;
  readonly batchesB: number;
  /** M */
  readonly rows: number;
  /** N */
  readonly columns: number;
  /** K */
  readonly inner: number;
  /** true if a is [.., K, M] */
  readonly transposeA: boolean;
  /** true if b is [.., N, K] */
  readonly transposeB: boolean;
}

/** Batch dimensions without the ones in front. */
function trimmed(sizes: readonly number[]): readonly number[] {
  const first = sizes.findIndex((size) => size !== 1);
  return first < 0 ? [] : sizes.slice(first);
}

function isTail(of: readonly number[], sizes: readonly number[]): boolean {
  return sizes.every((size, i) => size === of[of.length - sizes.length + i]);
}

/** True if the operand with fewer batches repeats along leading batch dimensions of the other. */
export function batchesRepeat(a: readonly number[], b: readonly number[]): boolean {
  const [longer, shorter] = sizeOf(a) >= sizeOf(b) ? [a, b] : [b, a];
  return isTail(longer, trimmed(shorter));
}

/**
 * The shape of a product, or why there is none.
 *
 * @param a shape [.., M, K], or [.., K, M] if transposed
 * @param b shape [.., K, N], or [.., N, K] if transposed; batch dimensions equal, or one operand repeats along leading
 * batch dimensions that it lacks or where it has 1
 * @throws {RangeError} if the shapes do not fit, or have fewer than two dimensions or an empty one
 */
export function matmulShape(
  a: readonly number[],
  b: readonly number[],
  transposeA = false,
  transposeB = false,
): MatmulShape {
  const refuse = (wanted: string): never => {
    const name = (shape: readonly number[], transposed: boolean) =>
      `[${shape.join(", ")}]${transposed ? " transposed" : ""}`;
    throw new RangeError(
      `Cannot run matmul: a is ${name(a, transposeA)} and b is ${name(b, transposeB)}; expected ${wanted}`,
    );
  };
  if (a.length < 2 || b.length < 2) refuse("at least two dimensions");
  if ([...a, ...b].includes(0)) refuse("no empty dimension");
  const [aFirst, aSecond] = a.slice(-2);
  const [bFirst, bSecond] = b.slice(-2);
  const inner = transposeA ? aFirst : aSecond;
  if (inner !== (transposeB ? bSecond : bFirst)) refuse("equal inner dimensions");
  const aBatch = a.slice(0, -2);
  const bBatch = b.slice(0, -2);
  if (!batchesRepeat(aBatch, bBatch)) refuse("equal batch dimensions, or leading ones to repeat");
  const longer = sizeOf(aBatch) >= sizeOf(bBatch) ? aBatch : bBatch;
  const ones = Math.max(a.length, b.length) - 2 - longer.length;
  const rows = transposeA ? aSecond : aFirst;
  const columns = transposeB ? bFirst : bSecond;
  // Batches that share b are more rows of one product.
  const folded = sizeOf(bBatch) === 1 && !transposeA;
  return {
    outShape: [...new Array<number>(Math.max(0, ones)).fill(1), ...longer, rows, columns],
    batches: folded ? 1 : sizeOf(longer),
    batchesA: folded ? 1 : sizeOf(aBatch),
    batchesB: sizeOf(bBatch),
    rows: folded ? sizeOf(longer) * rows : rows,
    columns,
    inner,
    transposeA,
    transposeB,
  };
}
