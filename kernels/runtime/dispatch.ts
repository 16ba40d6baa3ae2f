/**
 * What a dispatch is, the argument of `run` in program.ts, and what it may not be.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { sizeOf } from "./shapes.ts";
import type { UniformValue } from "./uniforms.ts";
import type { Constants, ShaderFile } from "./wgsl.ts";

export type { UniformValue } from "./uniforms.ts";

/** How a shader reads an input. */
export interface Input {
  readonly tensor: TensorInfo;
  /** first byte and length in bytes of the part that is read; the whole tensor by default */
  readonly offset?: number;
  readonly size?: number;
}

/** An output: a new tensor, or one that is updated in place. */
export type Output =
  & ({ readonly shape: number[]; readonly dtype?: "float32" | "int32" } | { readonly inPlace: TensorInfo })
  & {
    /** first byte and length in bytes of the part that is written; the whole tensor by default */
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

/** What a shader binds: the bytes of a tensor from `offset` on, all that follow unless it says how many. */
export interface Bound {
  readonly tensor: { readonly shape: readonly number[] };
  readonly offset?: number;
  readonly size?: number;
}

/** Its bytes. */
export function boundBytes({ tensor, offset = 0, size }: Bound): number {
  return size ?? 4 * sizeOf(tensor.shape) - offset;
}

/** Inputs, then outputs, in the order of their bindings. */
export function boundOf(inputs: readonly Input[], outputs: readonly Output[]): Bound[] {
  return [
    ...inputs,
    ...outputs.map((output) => ({ ...output, tensor: "inPlace" in output ? output.inPlace : output })),
  ];
}

/** An input, whole unless it says which part. */
export function inputOf(input: TensorInfo | Input): Input {
  return "tensor" in input ? input : { tensor: input };
}

/** @throws {RangeError} for what WebGPU would refuse, naming the shader */
export function requireDispatch(
  { shader, outputs, workgroups }: Dispatch,
  bound: readonly Bound[],
  { maxComputeWorkgroupsPerDimension: most, maxStorageBufferBindingSize: mostBytes }: GPUSupportedLimits,
): void {
  if (workgroups.some((count = 1) => !Number.isInteger(count) || count < 1 || count > most)) {
    throw new RangeError(
      `Cannot run ${shader.file}: it has [${workgroups}] workgroups; expected 1 to ${most} in each dimension`,
    );
  }
  for (const output of outputs) {
    const shape = "inPlace" in output ? output.inPlace.shape : output.shape;
    if (shape.every((size) => Number.isInteger(size) && size > 0)) continue;
    throw new RangeError(`Cannot run ${shader.file}: an output has shape [${shape}]; expected sizes above 0`);
  }
  for (const one of bound) {
    const bytes = boundBytes(one);
    if (bytes <= mostBytes) continue;
    throw new RangeError(
      `Cannot run ${shader.file}: a tensor of shape [${one.tensor.shape}] takes ${bytes} bytes; expected at most the ` +
        `${mostBytes} that this adapter binds at once`,
    );
  }
}
