/**
 * Tensors with a multiple of 4 channels, as the convolution's kernels read and write them.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import type { Output } from "../runtime/dispatch.ts";
import type { Own } from "../runtime/intermediates.ts";
import { foldWorkgroups, type Input, run } from "../runtime/program.ts";
import { rowsOf, sizeOf } from "../runtime/shapes.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import { BINDING_ALIGNMENT, type ImageRange } from "./conv2d_geometry.ts";
import cutSource from "./cut_channels.wgsl" with { type: "text" };
import padSource from "./pad_channels.wgsl" with { type: "text" };
import padRgbSource from "./pad_rgb.wgsl" with { type: "text" };

const PAD: ShaderFile = { file: "conv2d/pad_channels.wgsl", source: padSource };
const PAD_RGB: ShaderFile = { file: "conv2d/pad_rgb.wgsl", source: padRgbSource };
const CUT: ShaderFile = { file: "conv2d/cut_channels.wgsl", source: cutSource };
/** Invocations of a workgroup in the shaders. */
const GROUP = 64;

/** Some bytes of a tensor, all by default, and the values among them that come before those that are meant. */
interface Window {
  readonly offset?: number;
  readonly size?: number;
  readonly skip: number;
}

/** The part of an [N, ..] tensor with those images, which begins anywhere. */
function windowAt(shape: readonly number[], { first, images }: ImageRange): Window {
  if (images === shape[0]) return { skip: 0 };
  const bytes = 4 * sizeOf(shape.slice(1));
  const before = first * bytes % BINDING_ALIGNMENT;
  return { offset: first * bytes - before, size: before + images * bytes, skip: before / 4 };
}

/** The part of an [N, ..] tensor with those images, which begins where a binding may. */
export function windowOf(shape: readonly number[], part: ImageRange): Omit<Window, "skip"> {
  const { skip: _none, ...window } = windowAt(shape, part);
  return window;
}

/** What the copies' uniforms say of a tensor of this shape, and their workgroups. */
function rowsAndGroups(shape: readonly number[], { skip }: Window) {
  const channels = shape.at(-1)!;
  const rows = rowsOf(shape);
  const groups = Math.ceil(channels / 4);
  return {
    uniforms: { rows, channels, row_groups: groups, skip },
    workgroups: foldWorkgroups(Math.ceil(rows * groups / GROUP)),
  };
}

/** What a window of x has, in this shape, with up to 3 more channels. One dispatch. */
function padded(x: TensorInfo, shape: readonly number[], window: Window): TensorInfo {
  const { skip, ...bytes } = window;
  const rows = rowsOf(shape);
  const whole = { inputs: [{ tensor: x, ...bytes }], outputs: [{ shape: paddedShape(shape) }] };
  const quads = rows / 4;
  const rgb = shape.at(-1) === 3 && rows % 4 === 0 && skip % 4 === 0;
  const [y] = run(
    rgb
      ? {
        ...whole,
        shader: PAD_RGB,
        uniforms: { quads, skip: skip / 4 },
        workgroups: foldWorkgroups(Math.ceil(quads / GROUP)),
      }
      : { ...whole, shader: PAD, ...rowsAndGroups(shape, window) },
  );
  return y;
}

/** [.., C] -> [.., C and up to 3 more] */
export function paddedShape(shape: readonly number[]): number[] {
  return [...shape.slice(0, -1), 4 * Math.ceil(shape.at(-1)! / 4)];
}

function isPadded(shape: readonly number[]): boolean {
  return shape.at(-1)! % 4 === 0;
}

/** x [.., C], or a copy with up to 3 more channels. */
export function paddedChannels(x: TensorInfo, own: Own): TensorInfo {
  return isPadded(x.shape) ? x : own(padded(x, x.shape, { skip: 0 }));
}

/** Some images of x [N, H, W, C], or a copy of them with up to 3 more channels. */
export function paddedImages(x: TensorInfo, part: ImageRange, own: Own): Input {
  if (isPadded(x.shape)) return { tensor: x, ...windowOf(x.shape, part) };
  const shape = [part.images, ...x.shape.slice(1)];
  return { tensor: own(padded(x, shape, windowAt(x.shape, part))) };
}

/**
 * Some images of y [N, H, W, K] as `make` makes them, with a multiple of 4 channels.
 *
 * @param y with the images before these; a new tensor for the first
 * @param shape of y
 */
export function madeImages(
  y: TensorInfo | undefined,
  shape: number[],
  part: ImageRange,
  own: Own,
  make: (output: Output) => TensorInfo,
): TensorInfo {
  const target = y ? { inPlace: y } : { shape };
  if (isPadded(shape)) return make({ ...target, ...windowOf(shape, part) });
  const partShape = [part.images, ...shape.slice(1)];
  const made = own(make({ shape: paddedShape(partShape) }));
  const window = windowAt(shape, part);
  const { skip: _inUniforms, ...bytes } = window;
  const [cut] = run({
    shader: CUT,
    inputs: [made],
    outputs: [{ ...target, ...bytes }],
    ...rowsAndGroups(partShape, window),
  });
  return cut;
}
