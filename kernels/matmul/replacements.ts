/**
 * The matrix product in place of tfjs's `BatchMatMul` and `_FusedMatMul`.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import type { KernelAttributes, KernelInputs, Replacement } from "../runtime/registry.ts";
import { isActivation } from "./activation.ts";
import { matmul, type MatmulOptions } from "./matmul.ts";
import { batchesRepeat } from "./shape.ts";

interface Attributes {
  transposeA?: boolean;
  transposeB?: boolean;
  activation?: string;
  leakyreluAlpha?: number;
}

/** True for one value a column: [N], [1, N], ... */
function isRow({ shape, dtype }: TensorInfo, columns: number): boolean {
  return dtype === "float32" && shape.at(-1) === columns && shape.slice(0, -1).every((size) => size === 1);
}

/** The options of tfjs's operands; undefined for what our kernels leave to tfjs's. */
function optionsOf(
  { a, b, bias, preluActivationWeights: slopes }: KernelInputs,
  { transposeA = false, transposeB = false, activation = "linear", leakyreluAlpha }: Attributes,
): MatmulOptions | undefined {
  const empty = [...a.shape, ...b.shape].includes(0);
  if (a.dtype !== "float32" || b.dtype !== "float32" || empty) return undefined;
  if (!batchesRepeat(a.shape.slice(0, -2), b.shape.slice(0, -2)) || !isActivation(activation)) {
    return undefined;
  }
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

function replace(inputs: KernelInputs, attributes: KernelAttributes): TensorInfo | undefined {
  const options = optionsOf(inputs, attributes as Attributes);
  return options && matmul(inputs.a, inputs.b, options);
}

/** For `replaceKernels`. */
export const MATMUL_REPLACEMENTS: readonly Replacement[] = [
  { name: "BatchMatMul", run: replace },
  { name: "_FusedMatMul", run: replace },
];
