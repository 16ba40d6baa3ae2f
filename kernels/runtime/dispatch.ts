/**
 * What a dispatch is: the argument of `run` in program.ts.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import type { UniformValue } from "./uniforms.ts";
import type { Constants, ShaderFile } from "./wgsl.ts";

export type { UniformValue } from "./uniforms.ts";

/** How a shader reads an input. */
export interface Input {
  readonly tensor: TensorInfo;
  /**
   * `storage` by default. `uniform` copies a window of at most 64 KiB into the uniform address space, where it is an
   * `array<vec4<f32>, 4096>`: a software adapter loads values that a workgroup shares from there once, not once
   * per lane (16x16 register tile, lavapipe 22.3: 36 GFLOP/s on two cores against 15 from a storage buffer).
   */
  readonly as?: "storage" | "uniform";
  /** the window's first byte and length in bytes; the whole buffer by default */
  readonly offset?: number;
  readonly size?: number;
}

/** An output: a new tensor, or one that is updated in place. */
export type Output =
  & ({ readonly shape: number[]; readonly dtype?: "float32" | "int32" } | { readonly inPlace: TensorInfo })
  & {
    /** first byte and length in bytes of the part that is written; the whole buffer by default */
    readonly offset?: number;
    readonly size?: number;
  };

/** One dispatch. */
export interface Dispatch {
  readonly shader: ShaderFile;
  readonly constants?: Constants;
  readonly inputs: readonly (TensorInfo | Input)[];
  readonly outputs: readonly Output[];
  /** by name; the shader's struct gives the types (u32, i32, f32) */
  readonly uniforms?: Readonly<Record<string, UniformValue>>;
  readonly workgroups: readonly [number, number?, number?];
  /** floating-point operations, for profiles */
  readonly flops?: number;
}
