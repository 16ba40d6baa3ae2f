/**
 * Convolution, bias and ReLU in one dispatch, as VGG has them. tfjs's own gradient of it takes six dispatches besides
 * those of the convolution.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { sumRows } from "../pool/row_sums.ts";
import { elementShader } from "../runtime/elements.ts";
import { foldWorkgroups, release, reshapeInfo, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import backwardSource from "./bias_relu_bwd.wgsl" with { type: "text" };
import { conv2dForward } from "./conv2d.ts";
import { geometryOf } from "./conv2d_geometry.ts";

const BACKWARD = elementShader({ file: "conv2d/bias_relu_bwd.wgsl", source: backwardSource });
const NAME = "FervidConv2DBiasRelu";

/** The tile constants; the tests vary each. */
export interface BiasReluTile {
  /** invocations of a workgroup */
  readonly lanes: number;
  /** rows of a chunk, which one invocation adds */
  readonly chunkRows: number;
  /** most chunks that one invocation adds */
  readonly sumRows: number;
}

const TILE: BiasReluTile = { lanes: 64, chunkRows: 128, sumRows: 4096 };

/** dy, y [.., K] -> db [K], dz [.., K] */
export function biasReluBackward(
  dy: TensorInfo,
  y: TensorInfo,
  { lanes, chunkRows, sumRows: mostChunks }: BiasReluTile = TILE,
): [TensorInfo, TensorInfo] {
  const channels = dy.shape.at(-1)!;
  const rows = tf.util.sizeFromShape(dy.shape) / channels;
  const chunks = Math.ceil(rows / chunkRows);
  const { shader, width } = BACKWARD.forRow(channels);
  const count = chunks * channels / width;
  const [dz, sums] = run({
    shader,
    constants: { LANES: lanes },
    inputs: [dy, y],
    outputs: [{ shape: dy.shape }, { shape: [1, chunks, channels] }],
    uniforms: { count, channels: channels / width, rows, chunk_rows: chunkRows },
    workgroups: foldWorkgroups(Math.ceil(count / lanes)),
  });
  const sum = chunks === 1 ? sums : sumRows(sums, 1, { lanes, chunkRows: mostChunks });
  const db = reshapeInfo(sum, [channels]);
  release(sum);
  return [db, dz];
}

interface Attributes {
  readonly strides: number;
  readonly pad: number;
}

/** The op with its gradient, for tfjs's registry; dx and dFilter are those of `Conv2D`. */
export const CONV2D_BIAS_RELU_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run({ x, filter, bias }, attributes) {
      const geometry = geometryOf(x.shape, filter.shape, attributes as unknown as Attributes);
      return conv2dForward(x, filter, geometry, { bias, activation: "relu" });
    },
    gradient: {
      inputsToSave: ["x", "filter"],
      outputsToSave: [true],
      gradFunc(dy, [x, filter, y], attributes) {
        const [db, dz] = tf.engine().runKernel(
          `${NAME}Sums`,
          { dy: dy as tf.Tensor, y },
        ) as unknown as tf.Tensor[];
        const gradient = (kernel: string, inputs: tf.NamedTensorMap, more: tf.NamedAttrMap) =>
          tf.engine().runKernel(kernel, inputs, { ...attributes, dataFormat: "NHWC", ...more }) as tf.Tensor;
        return {
          x: () => gradient("Conv2DBackpropInput", { dy: dz, filter }, { inputShape: x.shape }),
          filter: () => gradient("Conv2DBackpropFilter", { x, dy: dz }, { filterShape: filter.shape }),
          bias: () => db,
        };
      },
    },
  },
  { name: `${NAME}Sums`, run: ({ dy, y }) => biasReluBackward(dy, y) },
];

/**
 * max(0, conv(x, filter) + bias). One dispatch forward; backward one or two for the bias and ReLU's mask, then those of
 * dx and dFilter.
 *
 * @param x float32 [N, H, W, C]
 * @param filter float32 [R, S, C, K]
 * @param bias float32 [K]
 * @param options `pad` is in pixels, the same on all sides
 * @returns [N, Ho, Wo, K]
 * @throws {RangeError} for shapes that do not fit or are empty
 * @throws {TypeError} for other types than float32
 */
export function conv2dBiasRelu(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  bias: tf.Tensor1D,
  { strides, pad }: { strides: number; pad: number },
): tf.Tensor4D {
  return tf.engine().runKernel(NAME, { x, filter, bias }, { strides, pad }) as tf.Tensor4D;
}
