/**
 * Operands of a matrix product, and their padding to multiples of 4.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import type { Own } from "../runtime/intermediates.ts";
import { foldWorkgroups, run } from "../runtime/program.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import padSource from "./matmul_pad.wgsl" with { type: "text" };

/** Copies an operand with zeros. */
export const PAD: ShaderFile = { file: "matmul/matmul_pad.wgsl", source: padSource };
const GROUP = 64;

/** An operand: [batches, outer, K] if `inner`, else [batches, K, outer]. */
export interface Operand {
  readonly batches: number;
  /** M or N */
  readonly outer: number;
  readonly inner: boolean;
}

/** The next multiple of 4. */
export function up4(size: number): number {
  return 4 * Math.ceil(size / 4);
}

/** True if vec4s fit the operand as it is. */
export function fitsVec4({ outer, inner }: Operand, k: number): boolean {
  return k % 4 === 0 && (inner || outer % 4 === 0);
}

/** A copy with zeros up to the next multiples of 4: [batches, outer, K'] or [batches, K', outer']. One dispatch. */
function padOperand(tensor: TensorInfo, { batches, outer, inner }: Operand, k: number): TensorInfo {
  const [rows, columns] = inner ? [outer, k] : [k, outer];
  const rowsOut = inner ? rows : up4(rows);
  const width = up4(columns) / 4;
  const count = batches * rowsOut * width;
  const workgroups = foldWorkgroups(Math.ceil(count / GROUP));
  const [padded] = run({
    shader: PAD,
    inputs: [tensor],
    outputs: [{ shape: [batches, rowsOut, 4 * width] }],
    uniforms: { count, grid: workgroups[0] * GROUP, rows_out: rowsOut, width, rows, columns },
    workgroups,
  });
  return padded;
}

/** An operand as a kernel reads it. */
export interface Layout {
  readonly tensor: TensorInfo;
  /** vec4s from row to row, from batch to batch */
  readonly stride: number;
  readonly batch: number;
}

/** The operand itself if vec4s fit it, else a copy. */
export function layOut(tensor: TensorInfo, operand: Operand, k: number, own: Own): Layout {
  const { outer, inner } = operand;
  const stride = up4(inner ? k : outer) / 4;
  return {
    tensor: fitsVec4(operand, k) ? tensor : own(padOperand(tensor, operand, k)),
    stride,
    batch: stride * (inner ? outer : up4(k)),
  };
}
