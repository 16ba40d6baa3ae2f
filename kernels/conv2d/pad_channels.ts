/**
 * Tensors with a multiple of 4 channels, as the convolution's kernels read and write them.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, release, run } from "../runtime/program.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import source from "./pad_channels.wgsl" with { type: "text" };

const SHADER: ShaderFile = { file: "conv2d/pad_channels.wgsl", source };
/** Invocations of a workgroup in the shader. */
const GROUP = 64;

/** x [.., C] -> [.., channels]: zeros are added, or channels cut. One dispatch. */
function resizeChannels(x: TensorInfo, channels: number): TensorInfo {
  const inChannels = x.shape[x.shape.length - 1];
  const rows = x.shape.slice(0, -1).reduce((product, size) => product * size, 1);
  const groups = Math.ceil(channels / 4);
  const [y] = run({
    shader: SHADER,
    inputs: [x],
    outputs: [{ shape: [...x.shape.slice(0, -1), channels] }],
    uniforms: { rows, in_channels: inChannels, out_channels: channels, row_groups: groups },
    workgroups: foldWorkgroups(Math.ceil(rows * groups / GROUP)),
  });
  return y;
}

/** Runs `body` on tensors that are padded to a multiple of 4 channels; those that are not, as they are. */
export function withPaddedChannels<T>(
  tensors: readonly (TensorInfo | undefined)[],
  body: (padded: (TensorInfo | undefined)[]) => T,
): T {
  const padded = tensors.map((tensor) => {
    const channels = tensor?.shape.at(-1) ?? 0;
    return tensor && channels % 4 !== 0 ? resizeChannels(tensor, 4 * Math.ceil(channels / 4)) : tensor;
  });
  const result = body(padded);
  padded.forEach((tensor, i) => tensor && tensor !== tensors[i] && release(tensor));
  return result;
}

/** x, which is given back, without the channels beyond C; x itself if there are none. */
export function cutChannels(x: TensorInfo, channels: number): TensorInfo {
  if (x.shape[x.shape.length - 1] === channels) return x;
  const y = resizeChannels(x, channels);
  release(x);
  return y;
}
