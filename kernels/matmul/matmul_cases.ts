/**
 * The cases of the matrix product, for tests and benches.
 *
 * @module
 */

/** A named product; shapes as stored. */
export interface MatmulCase {
  readonly name: string;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** `NN`, `NT`, `TN`, `TT`: which operands are transposed. */
type Transposes = "NN" | "NT" | "TN" | "TT";

function toCase(
  name: string,
  transposes: Transposes,
  [rows, inner, columns]: readonly [number, number, number],
  batchA: readonly number[] = [],
  batchB: readonly number[] = batchA,
): MatmulCase {
  const [transposeA, transposeB] = [...transposes].map((letter) => letter === "T");
  return {
    name: `${name} ${transposes}`,
    a: [...batchA, ...(transposeA ? [inner, rows] : [rows, inner])],
    b: [...batchB, ...(transposeB ? [columns, inner] : [inner, columns])],
    transposeA,
    transposeB,
  };
}

const ALL: readonly Transposes[] = ["NN", "NT", "TN", "TT"];

/** Small shapes at the edges of what the kernels do; [M, K, N]. */
export const EDGE_CASES: readonly MatmulCase[] = [
  ...ALL.flatMap((transposes) => [
    toCase("one element", transposes, [1, 1, 1]),
    toCase("primes", transposes, [37, 23, 29]),
    toCase("fours", transposes, [36, 20, 44]),
    toCase("batches", transposes, [5, 6, 7], [2, 3]),
    toCase("batches of fours", transposes, [20, 8, 12], [3]),
    toCase("b repeats", transposes, [8, 12, 16], [3], [1]),
  ]),
  toCase("a repeats", "NN", [3, 4, 5], [1], [2]),
  toCase("b lacks a batch dimension", "NN", [3, 4, 5], [2, 3], [3]),
  toCase("more batches than a grid takes", "NN", [1, 1, 1], [65537]),
  toCase("batches for a narrow grid", "NN", [70, 5, 20], [7]),
  toCase("a sum of more rounds than a loop of llvmpipe may make", "NN", [3, 140000, 5]),
  toCase("one row", "NN", [1, 70, 33]),
  toCase("one column", "NN", [33, 70, 1]),
  toCase("outer product", "NN", [33, 1, 34]),
];

/** Products of the networks: recurrent, transformer and classifier layers, small and at the paper's scale. */
export const MODEL_CASES: readonly MatmulCase[] = [
  toCase("project features", "NN", [288, 512, 96]),
  toCase("project features dx", "NT", [288, 96, 512]),
  toCase("project features dw", "TN", [512, 288, 96]),
  toCase("qkv", "NN", [288, 96, 288]),
  toCase("seven classes", "NN", [288, 96, 7]),
  toCase("seven classes dx", "NT", [288, 7, 96]),
  toCase("seven classes dw", "TN", [96, 288, 7]),
  toCase("gru step", "NN", [96, 64, 192]),
];

/** The same at the paper's scale, for benches. */
export const PAPER_CASES: readonly MatmulCase[] = [
  toCase("paper features", "NN", [864, 2048, 768]),
  toCase("paper features dx", "NT", [864, 768, 2048]),
  toCase("paper features dw", "TN", [2048, 864, 768]),
  toCase("paper qkv", "NN", [864, 768, 2304]),
  toCase("paper mlp dx", "NT", [864, 3072, 768]),
];

/** Relative error that a float32 sum of that many products may have (1e-5 sqrt(K)). */
export function toleranceOf(products: number): number {
  return 1e-5 * Math.sqrt(products);
}
