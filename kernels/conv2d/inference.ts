/**
 * Convolution at inference: batch normalisation folded into the filter, bias, residual and activation in one dispatch.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import type { Activation } from "../matmul/activation.ts";
import { elementShader } from "../runtime/elements.ts";
import { foldWorkgroups, run } from "../runtime/program.ts";
import { conv2dForward } from "./conv2d.ts";
import { type Conv2dAttributes, geometryOf } from "./conv2d_geometry.ts";
import foldSource from "./fold_batch_norm.wgsl" with { type: "text" };

const FOLD = elementShader({ file: "conv2d/fold_batch_norm.wgsl", source: foldSource });
/** Invocations of a workgroup in the shader. */
const GROUP = 8;
/** Rows of a block: enough to be worth the scale's square root. */
const BLOCK_ROWS = 16;

/** The statistics and parameters of a batch normalisation, each [K]. */
export interface FoldedTensors {
  readonly gamma: tf.Tensor;
  readonly beta: tf.Tensor;
  readonly mean: tf.Tensor;
  readonly variance: tf.Tensor;
}

/**
 * The filter and bias whose convolution is the filter's convolution followed by inference batch normalisation (Ioffe
 * and Szegedy 2015, Section 3.1). One dispatch; no gradient.
 *
 * @param filter [R, S, C, K]
 * @returns filter [R, S, C, K] and bias [K]
 * @throws {RangeError} for tensors of other shapes
 */
export function foldBatchNorm(
  filter: tf.Tensor4D,
  tensors: FoldedTensors,
  epsilon: number,
): { filter: tf.Tensor4D; bias: tf.Tensor1D } {
  const channels = filter.shape[3];
  for (const name of ["gamma", "beta", "mean", "variance"] as const) {
    const { shape } = tensors[name];
    if (shape.length === 1 && shape[0] === channels) continue;
    throw new RangeError(`Cannot run foldBatchNorm: ${name} has shape [${shape}]; expected [${channels}]`);
  }
  const { shader, width } = FOLD.forRow(channels);
  const rows = filter.size / channels;
  const blocks = Math.ceil(rows / BLOCK_ROWS);
  const [folded, bias] = run({
    shader,
    inputs: [filter, tensors.gamma, tensors.beta, tensors.mean, tensors.variance],
    outputs: [{ shape: filter.shape }, { shape: [channels] }],
    uniforms: {
      rows,
      row_elements: channels / width,
      blocks,
      block_rows: BLOCK_ROWS,
      epsilon: { f32: epsilon },
    },
    workgroups: foldWorkgroups(Math.ceil(blocks * channels / width / GROUP)),
  });
  const tensor = (info: TensorInfo) => tf.engine().makeTensorFromTensorInfo(info);
  return { filter: tensor(folded) as tf.Tensor4D, bias: tensor(bias) as tf.Tensor1D };
}

/** How {@link conv2dInference} moves the filter, and what it does to the sums. */
export interface Conv2dInferenceOptions extends Pick<Conv2dAttributes, "strides" | "pad" | "dilations"> {
  /** [K] */
  readonly bias?: tf.Tensor1D;
  /** [N, Ho, Wo, K], added before the activation */
  readonly residual?: tf.Tensor4D;
  readonly activation?: Exclude<Activation, "prelu">;
}

/**
 * activation(conv(x, filter) + bias + residual) in one dispatch. It has no gradient.
 *
 * @param x [N, H, W, C]
 * @param filter [R, S, C, K]
 * @returns [N, Ho, Wo, K]
 * @throws {RangeError} for shapes that don't fit each other
 */
export function conv2dInference(
  x: tf.Tensor4D,
  filter: tf.Tensor4D,
  { bias, residual, activation, ...attributes }: Conv2dInferenceOptions,
): tf.Tensor4D {
  const geometry = geometryOf(x.shape, filter.shape, attributes);
  const y = conv2dForward(x, filter, geometry, { bias, residual, activation });
  return tf.engine().makeTensorFromTensorInfo(y) as tf.Tensor4D;
}
