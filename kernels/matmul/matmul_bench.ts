/**
 * The matrix product side by side with tfjs's.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { matmul } from "./matmul.ts";
import { type MatmulCase, MODEL_CASES, PAPER_CASES, toleranceOf } from "./matmul_cases.ts";
import { matmulShape } from "./shape.ts";

function benchOf({ name, a, b, transposeA, transposeB }: MatmulCase): BenchCase {
  const { batches, rows, columns, inner } = matmulShape(a, b, transposeA, transposeB);
  return {
    op: "matmul",
    name: `${name} [${rows}, ${inner}, ${columns}]`,
    flops: 2 * batches * rows * columns * inner,
    bytes: 4 * batches * (rows * inner + inner * columns + rows * columns),
    setup() {
      const [left, right] = [randomTensor([...a]), randomTensor([...b])];
      return {
        ours: () => matmul(left, right, { transposeA, transposeB }),
        stock: () => tf.matMul(left, right, transposeA, transposeB),
        tolerance: 2 * toleranceOf(inner),
        dispose: () => tf.dispose([left, right]),
      };
    },
  };
}

/** The networks' products. */
export const MATMUL_BENCHES: readonly BenchCase[] = [...MODEL_CASES, ...PAPER_CASES].map(benchOf);
