/**
 * Batch normalisation with ReLU and residual in one pass: training forward (2 dispatches), backward (2), inference (1).
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { release, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import backwardSource from "./batch_norm_bwd.wgsl" with { type: "text" };
import backwardSumsSource from "./batch_norm_bwd_sums.wgsl" with { type: "text" };
import forwardSource from "./batch_norm_fwd.wgsl" with { type: "text" };
import inferenceSource from "./batch_norm_inference.wgsl" with { type: "text" };
import sumsSource from "./batch_norm_sums.wgsl" with { type: "text" };

const SUMS: ShaderFile = { file: "batch_norm/batch_norm_sums.wgsl", source: sumsSource };
const FORWARD: ShaderFile = { file: "batch_norm/batch_norm_fwd.wgsl", source: forwardSource };
const INFERENCE: ShaderFile = { file: "batch_norm/batch_norm_inference.wgsl", source: inferenceSource };
const BACKWARD_SUMS: ShaderFile = { file: "batch_norm/batch_norm_bwd_sums.wgsl", source: backwardSumsSource };
const BACKWARD: ShaderFile = { file: "batch_norm/batch_norm_bwd.wgsl", source: backwardSource };

const LANES = 8;
/** Most chunks of rows that are summed apart; each later invocation adds them all. */
const MAX_CHUNKS = 16;
/** Rows that make an invocation's share of the work outweigh adding the partial sums. */
const MIN_BLOCK_ROWS = 32;
const TRAINING = "FervidBatchNorm";

/** How the normalisation is applied; see {@link batchNorm}. */
export interface BatchNormSettings {
  readonly epsilon: number;
  /** share of the batch's statistics in the update of the running ones */
  readonly momentum: number;
  readonly relu: boolean;
}

/** Rows and channels of [N, H, W, C] or [M, C], and how the rows are divided. */
function divide(shape: readonly number[]) {
  const channels = shape[shape.length - 1] / 4;
  const rows = shape.reduce((product, size) => product * size, 1) / (4 * channels);
  const chunks = Math.max(1, Math.min(MAX_CHUNKS, Math.ceil(rows / MIN_BLOCK_ROWS)));
  const chunkRows = Math.ceil(rows / chunks);
  return { rows, channels, chunks: Math.ceil(rows / chunkRows), chunkRows };
}

function requireChannels(shape: readonly number[]): void {
  if (shape[shape.length - 1] % 4 !== 0 || shape.some((size) => size === 0)) {
    throw new RangeError(
      `Cannot run batchNorm: x has shape [${shape}]; expected a multiple of 4 channels and no empty dimension`,
    );
  }
}

interface TrainingInputs {
  x: TensorInfo;
  gamma: TensorInfo;
  beta: TensorInfo;
  runningMean: TensorInfo;
  runningVariance: TensorInfo;
  residual?: TensorInfo;
}

/** @returns y, and [2, C] mean and inverse deviation; the running statistics are updated in place */
function forward(inputs: TrainingInputs, settings: BatchNormSettings): TensorInfo[] {
  const { x, gamma, beta, runningMean, runningVariance, residual } = inputs;
  const { rows, channels, chunks, chunkRows } = divide(x.shape);
  const groups = Math.ceil(chunks * channels / LANES);
  const [sums] = run({
    shader: SUMS,
    inputs: [x],
    outputs: [{ shape: [chunks, 2, 4 * channels] }],
    uniforms: { rows, channels, chunks, chunk_rows: chunkRows },
    workgroups: [groups],
  });
  const [y, saved] = run({
    shader: FORWARD,
    constants: { RELU: settings.relu, RESIDUAL: residual !== undefined },
    inputs: [x, residual ?? x, gamma, beta, sums],
    outputs: [
      { shape: x.shape },
      { shape: [2, 4 * channels] },
      { inPlace: runningMean },
      { inPlace: runningVariance },
    ],
    uniforms: {
      rows,
      channels,
      chunks,
      blocks: chunks,
      block_rows: chunkRows,
      epsilon: { f32: settings.epsilon },
      momentum: { f32: settings.momentum },
    },
    workgroups: [groups],
  });
  release(sums);
  return [y, saved];
}

/** @returns dx, dgamma, dbeta, and dresidual if there was a residual */
function backward(
  { x, y, dy, saved, gamma }: Record<"x" | "y" | "dy" | "saved" | "gamma", TensorInfo>,
  relu: boolean,
  residual: boolean,
): TensorInfo[] {
  const { rows, channels, chunks, chunkRows } = divide(x.shape);
  const groups = Math.ceil(chunks * channels / LANES);
  const [sums] = run({
    shader: BACKWARD_SUMS,
    constants: { RELU: relu },
    inputs: [x, y, dy, saved],
    outputs: [{ shape: [chunks, 2, 4 * channels] }],
    uniforms: { rows, channels, chunks, chunk_rows: chunkRows },
    workgroups: [groups],
  });
  const outputs = run({
    shader: BACKWARD,
    constants: { RELU: relu, RESIDUAL: residual },
    inputs: [x, y, dy, saved, gamma, sums],
    outputs: [
      { shape: x.shape },
      { shape: [4 * channels] },
      { shape: [4 * channels] },
      { shape: residual ? x.shape : [4] },
    ],
    uniforms: { rows, channels, chunks, blocks: chunks, block_rows: chunkRows },
    workgroups: [groups],
  });
  release(sums);
  if (!residual) release(outputs.pop()!);
  return outputs;
}

/** The kernels with their gradient, for tfjs's registry. */
export const BATCH_NORM_KERNELS: readonly NewKernel[] = [
  {
    name: TRAINING,
    run: (inputs, attributes) =>
      forward(inputs as unknown as TrainingInputs, attributes as unknown as BatchNormSettings),
    gradient: {
      inputsToSave: ["x", "gamma"],
      outputsToSave: [true, true],
      gradFunc(dys, tensors, attrs) {
        const [x, gamma, y, saved] = tensors;
        const dy = (dys as tf.Tensor[])[0];
        const { relu, hasResidual } = attrs as unknown as BatchNormSettings & { hasResidual: boolean };
        const [dx, dgamma, dbeta, dresidual] = tf.engine().runKernel(
          `${TRAINING}Grad`,
          { x, y, dy, saved, gamma } as unknown as tf.NamedTensorMap,
          { relu, residual: hasResidual },
        ) as tf.Tensor[];
        const none = () => {
          throw new Error("Cannot differentiate batchNorm with respect to its running statistics");
        };
        return {
          x: () => dx,
          gamma: () => dgamma,
          beta: () => dbeta,
          ...(hasResidual ? { residual: () => dresidual } : {}),
          runningMean: none,
          runningVariance: none,
        };
      },
    },
  },
  {
    name: `${TRAINING}Grad`,
    run(inputs, attributes) {
      const { relu, residual } = attributes as { relu: boolean; residual: boolean };
      return backward(inputs as unknown as Parameters<typeof backward>[0], relu, residual);
    },
  },
];

/** The tensors of a batch normalisation. */
export interface BatchNormTensors {
  /** [C] */
  readonly gamma: tf.Tensor1D;
  /** [C] */
  readonly beta: tf.Tensor1D;
  /** [C]; updated in place in training */
  readonly runningMean: tf.Tensor;
  /** [C]; updated in place in training */
  readonly runningVariance: tf.Tensor;
  /** [N, H, W, C], added before the ReLU */
  readonly residual?: tf.Tensor4D;
}

/**
 * Batch normalisation in training: the batch's statistics normalise, and update the running ones.
 *
 * @param x [N, H, W, C], C a multiple of 4
 * @returns [N, H, W, C]
 * @throws {RangeError} for other channel counts and empty tensors
 */
export function batchNorm(
  x: tf.Tensor4D,
  tensors: BatchNormTensors,
  settings: BatchNormSettings,
): tf.Tensor4D {
  requireChannels(x.shape);
  const { gamma, beta, runningMean, runningVariance, residual } = tensors;
  const inputs = { x, gamma, beta, runningMean, runningVariance, ...(residual ? { residual } : {}) };
  const attrs = { ...settings, hasResidual: residual !== undefined };
  const outputs = tf.engine().runKernel(TRAINING, inputs as unknown as tf.NamedTensorMap, attrs);
  return (outputs as unknown as tf.Tensor[])[0] as tf.Tensor4D;
}

/**
 * Batch normalisation with the running statistics. It has no gradient.
 *
 * @param x [N, H, W, C], C a multiple of 4
 * @returns [N, H, W, C]
 * @throws {RangeError} for other channel counts and empty tensors
 */
export function batchNormInference(
  x: tf.Tensor4D,
  { gamma, beta, runningMean, runningVariance, residual }: BatchNormTensors,
  { epsilon, relu }: Pick<BatchNormSettings, "epsilon" | "relu">,
): tf.Tensor4D {
  requireChannels(x.shape);
  const { rows, channels, chunks, chunkRows } = divide(x.shape);
  const [y] = run({
    shader: INFERENCE,
    constants: { RELU: relu, RESIDUAL: residual !== undefined },
    inputs: [x, residual ?? x, gamma, beta, runningMean, runningVariance],
    outputs: [{ shape: x.shape }],
    uniforms: { rows, channels, blocks: chunks, block_rows: chunkRows, epsilon: { f32: epsilon } },
    workgroups: [Math.ceil(chunks * channels / LANES)],
  });
  return tf.engine().makeTensorFromTensorInfo(y) as tf.Tensor4D;
}
