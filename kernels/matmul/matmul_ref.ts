/**
 * The matrix product as plain loops in float64: what the kernels are held against.
 *
 * @module
 */
import { geluRef } from "../gelu/gelu_ref.ts";
import type { Activation } from "./activation.ts";
import type { MatmulShape } from "./shape.ts";

/** Calls `visit` with the offsets of every product: a[ai] * b[bi] is a term of y[yi]. */
function everyProduct(s: MatmulShape, visit: (ai: number, bi: number, yi: number) => void): void {
  for (let batch = 0; batch < s.batches; batch++) {
    const a = (batch % s.batchesA) * s.rows * s.inner;
    const b = (batch % s.batchesB) * s.columns * s.inner;
    for (let m = 0; m < s.rows; m++) {
      for (let n = 0; n < s.columns; n++) {
        const yi = (batch * s.rows + m) * s.columns + n;
        for (let k = 0; k < s.inner; k++) {
          visit(
            a + (s.transposeA ? k * s.rows + m : m * s.inner + k),
            b + (s.transposeB ? n * s.inner + k : k * s.columns + n),
            yi,
          );
        }
      }
    }
  }
}

/** a, b -> y [batches, M, N], without bias and activation */
export function matmulRef(a: ArrayLike<number>, b: ArrayLike<number>, shape: MatmulShape): Float64Array {
  const y = new Float64Array(shape.batches * shape.rows * shape.columns);
  everyProduct(shape, (ai, bi, yi) => y[yi] += a[ai] * b[bi]);
  return y;
}

/** dy [batches, M, N], a, b -> da and db, in the layouts of a and b */
export function matmulBackwardRef(
  dy: ArrayLike<number>,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  shape: MatmulShape,
): { da: Float64Array; db: Float64Array } {
  const da = new Float64Array(a.length);
  const db = new Float64Array(b.length);
  everyProduct(shape, (ai, bi, yi) => {
    da[ai] += dy[yi] * b[bi];
    db[bi] += dy[yi] * a[ai];
  });
  return { da, db };
}

/** f(v); `slope` is that of leakyrelu and prelu. */
export function activationRef(activation: Activation, v: number, slope = 0.2): number {
  switch (activation) {
    case "linear":
      return v;
    case "relu":
      return Math.max(0, v);
    case "relu6":
      return Math.min(6, Math.max(0, v));
    case "elu":
      return v >= 0 ? v : Math.expm1(v);
    case "sigmoid":
      return 1 / (1 + Math.exp(-v));
    case "tanh":
      return Math.tanh(v);
    case "gelu":
      return geluRef(v);
    case "leakyrelu":
    case "prelu":
      return v >= 0 ? v : slope * v;
  }
}
