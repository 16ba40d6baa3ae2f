/**
 * What the tuner tries for the matrix product: every candidate on the shape classes of the networks' layers.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { randomTensor } from "../runtime/bench.ts";
import { currentTraits } from "../runtime/program.ts";
import { onePerClass, type TuneCase } from "../runtime/tuner.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import { candidates, matmul, type MatmulVariant } from "./matmul.ts";
import { toleranceOf } from "./matmul_cases.ts";
import { PAD } from "./pad.ts";
import { matmulShape } from "./shape.ts";
import { SUBGROUP } from "./subgroup.ts";
import { sizesOf } from "./variants.ts";
import { PLAIN, SUM, WORKGROUP } from "./workgroup.ts";

const SHADERS: readonly ShaderFile[] = [
  ...[4, 1].flatMap((columns) =>
    [PLAIN, SUBGROUP, WORKGROUP].map((shaders) => shaders.forRow(columns).shader)
  ),
  PAD,
  SUM,
];

/** A product [M, K] [K, N]. */
export interface Product {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** a is [K, M] */
  readonly transposeA: boolean;
  /** b is [N, K] */
  readonly transposeB: boolean;
}

/** Every candidate on a product. */
export function matmulTuneCase({ m, k, n, transposeA, transposeB }: Product): TuneCase<MatmulVariant> {
  const [a, b] = [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n]];
  const shape = matmulShape(a, b, transposeA, transposeB);
  return {
    op: "matmul",
    sizes: sizesOf(shape),
    shaders: SHADERS,
    candidates: () => candidates(shape, currentTraits()),
    setup() {
      const [left, right] = [a, b].map((operand) => randomTensor<tf.Rank.R2>(operand));
      return {
        run: (variant) => matmul(left, right, { transposeA, transposeB, variant }),
        expected: () => tf.matMul(left, right, transposeA, transposeB),
        tolerance: 2 * toleranceOf(k), // two float32 sums, each with its own error
        dispose: () => tf.dispose([left, right]),
      };
    },
  };
}

/** M (B * T), D, K of the heads' layers: features, q k v and output of attention, MLP, input of the GRU, classes. */
const LAYERS = [
  ...[[512, 96], [96, 288], [96, 96], [96, 384], [384, 96], [96, 7]].map((sizes) => [288, ...sizes]),
  ...[[2048, 768], [768, 2304], [768, 768], [768, 3072], [3072, 768], [768, 7]].map((
    sizes,
  ) => [864, ...sizes]),
];

/** Of a layer x w: y, dx = dy w', dw = x' dy. */
const PRODUCTS = LAYERS.flatMap(([m, d, k]): Product[] => [
  { m, k: d, n: k, transposeA: false, transposeB: false },
  { m, k, n: d, transposeA: false, transposeB: true },
  { m: d, k: m, n: k, transposeA: true, transposeB: false },
]);

/** One case a class. */
export const MATMUL_TUNE_CASES: readonly TuneCase<MatmulVariant>[] = onePerClass(
  PRODUCTS.map(matmulTuneCase),
);
