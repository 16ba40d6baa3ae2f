/**
 * The variants of the matrix product side by side, for the profile of one kernel.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { randomTensor } from "../runtime/bench.ts";
import { currentTraits } from "../runtime/program.ts";
import type { TuneCase } from "../runtime/tuner.ts";
import { matmul, type MatmulVariant } from "./matmul.ts";
import { toleranceOf } from "./matmul_cases.ts";

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
  return {
    op: "matmul",
    sizes: { M: m, N: n, K: k },
    shaders: [],
    candidates() {
      const lanes = Math.min(8, currentTraits().subgroupSize);
      const tiles = lanes < 4 ? [] : [[8, 8], [4, 8], [4, 2]].filter(([, tileQ]) => 4 * tileQ >= lanes);
      return [
        { kind: "plain" },
        ...[false, true].flatMap((swapped) =>
          tiles.map(([tileP, tileQ]) => ({
            kind: "subgroup" as const,
            lanes,
            swapped,
            tileP,
            tileQ,
            panels: false,
          }))
        ),
      ];
    },
    setup() {
      const a = randomTensor<tf.Rank.R2>(transposeA ? [k, m] : [m, k]);
      const b = randomTensor<tf.Rank.R2>(transposeB ? [n, k] : [k, n]);
      return {
        run: (variant) => matmul(a, b, { transposeA, transposeB, variant }),
        expected: () => tf.matMul(a, b, transposeA, transposeB),
        tolerance: 2 * toleranceOf(k), // two float32 sums, each with its own error
        dispose: () => tf.dispose([a, b]),
      };
    },
  };
}
