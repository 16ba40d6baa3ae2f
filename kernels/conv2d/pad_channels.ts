/**
 * Tensors with a multiple of 4 channels, as the convolution's kernels read and write them.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, release, run } from "../runtime/program.ts";
import { sizeOf } from "../runtime/shapes.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import cutSource from "./cut_channels.wgsl" with { type: "text" };
import padSource from "./pad_channels.wgsl" with { type: "text" };
import padRgbSource from "./pad_rgb.wgsl" with { type: "text" };

const PAD: ShaderFile = { file: "conv2d/pad_channels.wgsl", source: padSource };
const PAD_RGB: ShaderFile = { file: "conv2d/pad_rgb.wgsl", source: padRgbSource };
const CUT: ShaderFile = { file: "conv2d/cut_channels.wgsl", source: cutSource };
/** Invocations of a workgroup in the shaders. */
const GROUP = 64;

/** The channels C of a shape. */
function channelsOf(shape: readonly number[]): number {
  return shape[shape.length - 1];
}

/** x, without or with padding, of which C channels count. One dispatch. */
function copyChannels(shader: ShaderFile, x: TensorInfo, channels: number, outChannels: number): TensorInfo {
  const outer = x.shape.slice(0, -1);
  const rows = sizeOf(outer);
  const groups = Math.ceil(channels / 4);
  const [y] = run({
    shader,
    inputs: [x],
    outputs: [{ shape: [...outer, outChannels] }],
    uniforms: { rows, channels, row_groups: groups },
    workgroups: foldWorkgroups(Math.ceil(rows * groups / GROUP)),
  });
  return y;
}

/** x [.., C] -> [.., C and up to 3 more]; x itself if C is a multiple of 4. */
function padded(x: TensorInfo): TensorInfo {
  const channels = channelsOf(x.shape);
  if (channels % 4 === 0) return x;
  const outer = x.shape.slice(0, -1);
  const rows = sizeOf(outer);
  if (channels !== 3 || rows % 4 !== 0) return copyChannels(PAD, x, channels, 4 * Math.ceil(channels / 4));
  const [y] = run({
    shader: PAD_RGB,
    inputs: [x],
    outputs: [{ shape: [...outer, 4] }],
    uniforms: { quads: rows / 4 },
    workgroups: foldWorkgroups(Math.ceil(rows / 4 / GROUP)),
  });
  return y;
}

/** Runs `body` on tensors that are padded to a multiple of 4 channels; those that are not, as they are. */
export function withPaddedChannels<T>(
  tensors: readonly (TensorInfo | undefined)[],
  body: (padded: (TensorInfo | undefined)[]) => T,
): T {
  const all = tensors.map((tensor) => tensor && padded(tensor));
  const result = body(all);
  all.forEach((tensor, i) => tensor && tensor !== tensors[i] && release(tensor));
  return result;
}

/** x, which is given back, without the channels beyond C; x itself if there are none. */
export function cutChannels(x: TensorInfo, channels: number): TensorInfo {
  if (channelsOf(x.shape) === channels) return x;
  const y = copyChannels(CUT, x, channels, channels);
  release(x);
  return y;
}
