/**
 * The linear layer as plain loops in float64: what the kernels are held against.
 *
 * @module
 */
import { geluDerivativeRef, geluRef } from "../gelu/gelu_ref.ts";
import { matmulBackwardRef, matmulRef } from "../matmul/matmul_ref.ts";
import { type MatmulShape, matmulShape } from "../matmul/shape.ts";
import type { LinearCase } from "./linear_cases.ts";

function shapeOf({ rows, depth, columns }: LinearCase): MatmulShape {
  return matmulShape([rows, depth], [depth, columns]);
}

function activate(activation: LinearCase["activation"], z: number): number {
  if (activation === "relu") return Math.max(0, z);
  return activation === "gelu" ? geluRef(z) : z;
}

function derivative(activation: LinearCase["activation"], z: number): number {
  if (activation === "relu") return z > 0 ? 1 : 0;
  return activation === "gelu" ? geluDerivativeRef(z) : 1;
}

/** x [M, D], weight [D, K], bias [K] -> what the activation is applied to, [M, K] */
function preactivation(
  layer: LinearCase,
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
): Float64Array {
  return matmulRef(x, weight, shapeOf(layer)).map((sum, i) => sum + bias[i % layer.columns]);
}

/** x [M, D], weight [D, K], bias [K] -> y [M, K] */
export function linearRef(
  layer: LinearCase,
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
): Float64Array {
  return preactivation(layer, x, weight, bias).map((z) => activate(layer.activation, z));
}

/** dy [M, K] and the inputs -> their gradients */
export function linearBackwardRef(
  layer: LinearCase,
  dy: ArrayLike<number>,
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
): { dx: Float64Array; dWeight: Float64Array; dBias: Float64Array } {
  const dz = preactivation(layer, x, weight, bias).map((z, i) => dy[i] * derivative(layer.activation, z));
  const { da, db } = matmulBackwardRef(dz, x, weight, shapeOf(layer));
  const dBias = new Float64Array(layer.columns);
  dz.forEach((value, i) => dBias[i % layer.columns] += value);
  return { dx: da, dWeight: db, dBias };
}
