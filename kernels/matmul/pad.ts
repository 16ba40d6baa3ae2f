/**
 * Operands of a matrix product, and their padding to multiples of 4.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
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
function fitsVec4({ outer, inner }: Operand, k: number): boolean {
  return k % 4 === 0 && (inner || outer % 4 === 0);
}

/**
 * A copy with zeros up to the next multiples of 4: [batches, outer, K'] or [batches, K', outer']. One dispatch.
 *
 * @param width vec4s of a panel of columns: [batches, panels, rows, 4 width]; one panel if it is left out
 */
function padOperand(
  tensor: TensorInfo,
  { batches, outer, inner }: Operand,
  k: number,
  width = up4(inner ? k : outer) / 4,
): TensorInfo {
  const [rows, columns] = inner ? [outer, k] : [k, outer];
  const rowsOut = inner ? rows : up4(rows);
  const panels = Math.ceil(columns / (4 * width));
  const count = batches * panels * rowsOut * width;
  const workgroups = foldWorkgroups(Math.ceil(count / GROUP));
  const [padded] = run({
    shader: PAD,
    inputs: [tensor],
    outputs: [{ shape: [batches, panels, rowsOut, 4 * width] }],
    uniforms: { count, grid: workgroups[0] * GROUP, panels, rows_out: rowsOut, width, rows, columns },
    workgroups,
  });
  return padded;
}

/** An operand as a kernel reads it. */
export interface Layout {
  readonly tensor: TensorInfo;
  /** a copy, to give back */
  readonly copied: boolean;
  /** vec4s from row to row, from batch to batch */
  readonly stride: number;
  readonly batch: number;
  /** vec4s from panel to panel, where there are any */
  readonly panel?: number;
}

/**
 * The operand itself if vec4s fit it, else a copy.
 *
 * @param width vec4s of a panel, into which what lies as [K, ..] is copied
 */
export function layOut(tensor: TensorInfo, operand: Operand, k: number, width?: number): Layout {
  const { outer, inner } = operand;
  if (width !== undefined && !inner) {
    const panel = up4(k) * width;
    const batch = panel * Math.ceil(outer / (4 * width));
    return { tensor: padOperand(tensor, operand, k, width), copied: true, stride: width, batch, panel };
  }
  const copied = !fitsVec4(operand, k);
  const stride = up4(inner ? k : outer) / 4;
  return {
    tensor: copied ? padOperand(tensor, operand, k) : tensor,
    copied,
    stride,
    batch: stride * (inner ? outer : up4(k)),
  };
}
