/**
 * Rows of values, one for each column of a result, and results that are nothing but their epilogue.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { withIntermediates } from "../runtime/intermediates.ts";
import { backendInternals, reshapeInfo } from "../runtime/program.ts";
import { sizeOf } from "../runtime/shapes.ts";
import type { Epilogue } from "./epilogue.ts";
import { matmul } from "./matmul.ts";

/** True for one float a column: [N], [1, N], ... */
export function isRow({ shape, dtype }: TensorInfo, columns: number): boolean {
  return dtype === "float32" && shape.at(-1) === columns && shape.slice(0, -1).every((size) => size === 1);
}

/** Zeros; tfjs's own kernels fail on tensors without elements, on this backend. */
export function zeros(shape: number[]): TensorInfo {
  const sizes = shape.map((size) => Math.max(0, size));
  return backendInternals().makeTensorInfo(sizes, "float32", new Float32Array(sizeOf(sizes)));
}

/** f(bias), what sums over nothing end in. @param shape [.., N], which may be empty */
export function emptySums(shape: number[], epilogue: Epilogue): TensorInfo {
  const { bias, activation = "linear" } = epilogue;
  if (shape.some((size) => size <= 0) || (!bias && activation === "linear")) return zeros(shape);
  return withIntermediates((own) => {
    const columns = shape.at(-1)!;
    const [a, b] = [[sizeOf(shape) / columns, 1], [1, columns]].map((operand) => own(zeros(operand)));
    return reshapeInfo(own(matmul(a, b, epilogue)), shape);
  });
}
