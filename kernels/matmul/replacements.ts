/**
 * The matrix product in place of tfjs's `BatchMatMul` and `_FusedMatMul`.
 *
 * @module
 */
import { broadcast_util, type TensorInfo } from "@tensorflow/tfjs";
import type { KernelAttributes, KernelInputs, Replacement } from "../runtime/registry.ts";
import { isActivation } from "./activation.ts";
import { matmul, type MatmulOptions } from "./matmul.ts";
import { emptySums, isRow } from "./rows.ts";
import { batchesRepeat } from "./shape.ts";

interface Attributes {
  transposeA?: boolean;
  transposeB?: boolean;
  activation?: string;
  leakyreluAlpha?: number;
}

function isEmpty(a: TensorInfo, b: TensorInfo): boolean {
  return [...a.shape, ...b.shape].includes(0);
}

/** The options of tfjs's operands; undefined for what our kernels leave to tfjs's. */
function optionsOf(
  { a, b, bias, preluActivationWeights: slopes }: KernelInputs,
  { transposeA = false, transposeB = false, activation = "linear", leakyreluAlpha }: Attributes,
): MatmulOptions | undefined {
  if (a.dtype !== "float32" || b.dtype !== "float32") return undefined;
  const fits = isEmpty(a, b) || batchesRepeat(a.shape.slice(0, -2), b.shape.slice(0, -2));
  if (!fits || !isActivation(activation)) return undefined;
  const columns = b.shape[b.shape.length - (transposeB ? 2 : 1)];
  if ([bias, slopes].some((row) => row && !isRow(row, columns))) return undefined;
  return {
    transposeA,
    transposeB,
    activation,
    ...(bias ? { bias } : {}),
    ...(slopes && activation === "prelu" ? { slopes } : {}),
    ...(leakyreluAlpha === undefined ? {} : { alpha: leakyreluAlpha }),
  };
}

/** f(bias), or nothing at all. */
function emptyProduct({ a, b }: KernelInputs, options: MatmulOptions): TensorInfo {
  const { transposeA, transposeB } = options;
  const batches = broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const shape = [...batches, a.shape.at(transposeA ? -1 : -2)!, b.shape.at(transposeB ? -2 : -1)!];
  return emptySums(shape, options);
}

function replace(inputs: KernelInputs, attributes: KernelAttributes): TensorInfo | undefined {
  const { a, b } = inputs;
  const options = optionsOf(inputs, attributes as Attributes);
  if (options === undefined) return undefined;
  return isEmpty(a, b) ? emptyProduct(inputs, options) : matmul(a, b, options);
}

/** For `replaceKernels`. */
export const MATMUL_REPLACEMENTS: readonly Replacement[] = [
  { name: "BatchMatMul", run: replace },
  { name: "_FusedMatMul", run: replace },
];
