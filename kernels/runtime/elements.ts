/**
 * One shader for rows of any length and, faster, for rows of a multiple of 4: it includes `elements.wgsl` and binds
 * `array<Element>`, which is `vec4<f32>` or `f32`.
 *
 * @module
 */
import f32Source from "./elements_f32.wgsl" with { type: "text" };
import vec4Source from "./elements_vec4.wgsl" with { type: "text" };
import nanSource from "./nan.wgsl" with { type: "text" };
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, run } from "./program.ts";
import { sizeOf } from "./shapes.ts";
import type { ShaderFile } from "./wgsl.ts";

/** A shader by how many values it takes at a time. */
export interface ElementShader {
  /** the shader for rows of that length, and how many values an element has: 4 or 1 */
  forRow(length: number): { shader: ShaderFile; width: number };
}

/** The two variants of a shader that includes `elements.wgsl`. */
export function elementShader({ file, source, includes }: ShaderFile): ElementShader {
  const variant = (width: number, elements: string) => ({
    shader: {
      file: `${file}, ${width} at a time`,
      source,
      includes: { "nan.wgsl": nanSource, ...includes, "elements.wgsl": elements },
    },
    width,
  });
  const four = variant(4, vec4Source);
  const one = variant(1, f32Source);
  return { forRow: (length) => length % 4 === 0 ? four : one };
}

const GROUP = 64;

/**
 * One dispatch of a shader that makes each element from those in the same place of its inputs: its uniforms are `count` and
 * `row`, its workgroups have 64 invocations.
 *
 * @param inputs of one shape
 * @returns of that shape
 */
export function runElementwise(shaders: ElementShader, inputs: readonly TensorInfo[]): TensorInfo {
  const { shape } = inputs[0];
  const size = sizeOf(shape);
  const { shader, width } = shaders.forRow(size);
  const count = size / width;
  const workgroups = foldWorkgroups(Math.ceil(count / GROUP));
  const [result] = run({
    shader,
    inputs: [...inputs],
    outputs: [{ shape }],
    uniforms: { count, row: workgroups[0] * GROUP },
    workgroups,
  });
  return result;
}

/** @throws {TypeError} unless x is float32; {RangeError} if it is empty */
export function requireFloats(op: string, { shape, dtype }: TensorInfo): void {
  if (dtype !== "float32") throw new TypeError(`Cannot run ${op}: x is ${dtype}; expected float32`);
  if (shape.includes(0)) {
    throw new RangeError(`Cannot run ${op}: x has shape [${shape}]; expected no empty dimension`);
  }
}
