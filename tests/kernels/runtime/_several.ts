/** A shader with several inputs, outputs and uniforms, which the runtime's tests share. */
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, run, type UniformValue } from "../../../kernels/runtime/program.ts";
import severalSource from "./shaders/several.wgsl" with { type: "text" };

export const SEVERAL = { file: "shaders/several.wgsl", source: severalSource };

export interface SeveralOptions {
  readonly size?: number;
  readonly scale?: UniformValue;
  readonly shift?: UniformValue;
  /** elements that are written */
  readonly count?: number;
}

/** sum = scale (a + b) + shift, and i + shift */
export function several(
  a: TensorInfo,
  b: TensorInfo,
  { size = b.shape[0], scale = 1, shift = 0, count = size }: SeveralOptions = {},
): TensorInfo[] {
  const workgroups = foldWorkgroups(Math.ceil(size / 8));
  return run({
    shader: SEVERAL,
    inputs: [a, b],
    outputs: [{ shape: [size] }, { shape: [size], dtype: "int32" }],
    // in another order than the struct's
    uniforms: { row: 8 * workgroups[0], a_first: 0, shift, scale, count },
    workgroups,
  });
}
