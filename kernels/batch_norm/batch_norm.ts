/**
 * Batch normalisation (Ioffe, Szegedy 2015) with ReLU and residual in one pass.
 *
 * Dispatches on a software adapter: training forward 2, backward 2, inference 1; on a GPU, where rows are summed in
 * many chunks, one more each way to merge them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, release, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import backwardSource from "./batch_norm_bwd.wgsl" with { type: "text" };
import backwardSumsSource from "./batch_norm_bwd_sums.wgsl" with { type: "text" };
import forwardSource from "./batch_norm_fwd.wgsl" with { type: "text" };
import inferenceSource from "./batch_norm_inference.wgsl" with { type: "text" };
import mergeSource from "./batch_norm_merge.wgsl" with { type: "text" };
import momentsSource from "./batch_norm_moments.wgsl" with { type: "text" };
import sumsSource from "./batch_norm_sums.wgsl" with { type: "text" };
import {
  type BatchNormPlan,
  batchNormShader,
  type BatchNormTile,
  defaultTile,
  planBatchNorm,
} from "./plan.ts";

const SUMS = batchNormShader("batch_norm_sums", sumsSource, momentsSource);
const MERGE = batchNormShader("batch_norm_merge", mergeSource, momentsSource);
const FORWARD = batchNormShader("batch_norm_fwd", forwardSource, momentsSource);
const INFERENCE = batchNormShader("batch_norm_inference", inferenceSource, momentsSource);
const BACKWARD_SUMS = batchNormShader("batch_norm_bwd_sums", backwardSumsSource, momentsSource);
const BACKWARD = batchNormShader("batch_norm_bwd", backwardSource, momentsSource);

const TRAINING_KERNEL = "FervidBatchNorm";
const INFERENCE_KERNEL = "FervidBatchNormInference";
const GRADIENT_KERNEL = "FervidBatchNormGrad";

/** How the normalisation is applied; see {@link batchNorm}. */
export interface BatchNormSettings {
  readonly epsilon: number;
  /** share of the batch's statistics in the update of the running ones */
  readonly momentum: number;
  readonly relu: boolean;
}

interface ForwardInputs {
  readonly x: TensorInfo;
  readonly gamma: TensorInfo;
  readonly beta: TensorInfo;
  readonly runningMean: TensorInfo;
  readonly runningVariance: TensorInfo;
  readonly residual?: TensorInfo;
}

function blockWorkgroups({ blocks, channels, lanes, wide }: BatchNormPlan): [number, number] {
  return foldWorkgroups(Math.ceil(blocks * channels / (lanes * wide)));
}

/** The parts of all chunks as those of one, if that has a dispatch of its own. */
function mergeChunks(parts: TensorInfo, plan: BatchNormPlan, backward: boolean): TensorInfo {
  if (!plan.merge) return parts;
  const { rows, channels, chunks, chunkRows, size } = plan;
  const lanesC = Math.min(4, plan.lanesC);
  const [merged] = run({
    shader: MERGE(size),
    constants: { BACKWARD: backward, LANES_C: lanesC, LANES_P: plan.lanes / lanesC },
    inputs: [parts],
    outputs: [{ shape: [1, 2, size] }],
    uniforms: { rows, channels, chunks, chunk_rows: chunkRows },
    workgroups: foldWorkgroups(Math.ceil(channels / lanesC)),
  });
  release(parts);
  return merged;
}

/**
 * Training forward.
 *
 * @returns y, and [4, C] mean, inverse deviation, scale, beta; the running statistics are updated in place
 */
export function batchNormForward(
  { x, gamma, beta, runningMean, runningVariance, residual }: ForwardInputs,
  { epsilon, momentum, relu }: BatchNormSettings,
  tile: BatchNormTile = defaultTile(),
): TensorInfo[] {
  const plan = planBatchNorm(x.shape, tile);
  const { rows, channels, size, groups, chunks, chunkRows, blocks, blockRows } = plan;
  const [parts] = run({
    shader: SUMS(size),
    constants: { LANES_C: plan.lanesC, LANES_M: plan.lanesM, WIDE: plan.sumWide },
    inputs: [x],
    outputs: [{ shape: [chunks, 2, size] }],
    uniforms: { rows, channels, groups, chunks, chunk_rows: chunkRows },
    workgroups: foldWorkgroups(plan.sumGroups),
  });
  const merged = mergeChunks(parts, plan, false);
  const [y, saved] = run({
    shader: FORWARD(size),
    constants: { LANES: plan.lanes, WIDE: plan.wide, RELU: relu, RESIDUAL: residual !== undefined },
    inputs: [x, residual ?? x, gamma, beta, merged],
    outputs: [
      { shape: x.shape },
      { shape: [4, size] },
      { inPlace: runningMean },
      { inPlace: runningVariance },
    ],
    uniforms: {
      rows,
      channels,
      chunks: plan.merge ? 1 : chunks,
      chunk_rows: plan.merge ? rows : chunkRows,
      blocks,
      block_rows: blockRows,
      epsilon: { f32: epsilon },
      momentum: { f32: momentum },
    },
    workgroups: blockWorkgroups(plan),
  });
  release(merged);
  return [y, saved];
}

/** Inference forward: the running statistics normalise. */
export function batchNormInferenceForward(
  { x, gamma, beta, runningMean, runningVariance, residual }: ForwardInputs,
  { epsilon, relu }: Pick<BatchNormSettings, "epsilon" | "relu">,
  tile: BatchNormTile = defaultTile(),
): TensorInfo {
  const plan = planBatchNorm(x.shape, tile);
  const { rows, channels, size, blocks, blockRows } = plan;
  const [y] = run({
    shader: INFERENCE(size),
    constants: { LANES: plan.lanes, RELU: relu, RESIDUAL: residual !== undefined },
    inputs: [x, residual ?? x, gamma, beta, runningMean, runningVariance],
    outputs: [{ shape: x.shape }],
    uniforms: { rows, channels, blocks, block_rows: blockRows, epsilon: { f32: epsilon } },
    workgroups: blockWorkgroups({ ...plan, wide: 1 }),
  });
  return y;
}

/** What the backward pass is of. */
export interface BatchNormGradSettings {
  readonly relu: boolean;
  /** there was a residual, and its gradient differs from dy because of the ReLU */
  readonly residual: boolean;
  /** the running statistics normalised */
  readonly frozen: boolean;
}

/** @returns dx, dgamma, dbeta, and dresidual if there is a residual under a ReLU */
export function batchNormBackward(
  { x, y, dy, saved }: Record<"x" | "y" | "dy" | "saved", TensorInfo>,
  settings: BatchNormGradSettings,
  tile: BatchNormTile = defaultTile(),
): TensorInfo[] {
  const { relu, frozen } = settings;
  const residual = relu && settings.residual;
  const plan = planBatchNorm(x.shape, tile);
  const { rows, channels, size, groups, chunks, chunkRows, blocks, blockRows } = plan;
  const [parts, dresidual] = run({
    shader: BACKWARD_SUMS(size),
    constants: {
      LANES_C: plan.lanesC,
      LANES_M: plan.lanesM,
      WIDE: plan.sumWide,
      RELU: relu,
      RESIDUAL: residual,
    },
    inputs: [x, residual ? y : x, dy, saved],
    outputs: [{ shape: [chunks, 2, size] }, { shape: residual ? x.shape : [size / channels] }],
    uniforms: { rows, channels, groups, chunks, chunk_rows: chunkRows },
    workgroups: foldWorkgroups(plan.sumGroups),
  });
  const merged = mergeChunks(parts, plan, true);
  const gradients = run({
    shader: BACKWARD(size),
    constants: { LANES: plan.lanes, WIDE: plan.wide, MASK: relu && !residual, FROZEN: frozen },
    inputs: [x, residual ? dresidual : dy, saved, merged],
    outputs: [{ shape: x.shape }, { shape: [size] }, { shape: [size] }],
    uniforms: { rows, channels, chunks: plan.merge ? 1 : chunks, blocks, block_rows: blockRows },
    workgroups: blockWorkgroups(plan),
  });
  release(merged);
  if (residual) return [...gradients, dresidual];
  release(dresidual);
  return gradients;
}

function gradientsOf(
  inputs: { x: tf.Tensor; y: tf.Tensor; dy: tf.Tensor; saved: tf.Tensor },
  settings: BatchNormGradSettings,
): Record<string, () => tf.Tensor> {
  const [dx, dgamma, dbeta, dresidual] = tf.engine().runKernel(
    GRADIENT_KERNEL,
    inputs as unknown as tf.NamedTensorMap,
    { ...settings },
  ) as tf.Tensor[];
  const none = () => {
    throw new Error("Cannot differentiate batchNorm with respect to its running statistics");
  };
  return {
    x: () => dx,
    gamma: () => dgamma,
    beta: () => dbeta,
    runningMean: none,
    runningVariance: none,
    ...(settings.residual ? { residual: () => dresidual ?? inputs.dy.clone() } : {}),
  };
}

interface Attributes extends BatchNormSettings {
  readonly hasResidual: boolean;
}

/** The kernels with their gradients, for tfjs's registry. */
export const BATCH_NORM_KERNELS: readonly NewKernel[] = [
  {
    name: TRAINING_KERNEL,
    run: (inputs, attributes) =>
      batchNormForward(inputs as unknown as ForwardInputs, attributes as unknown as Attributes),
    gradient: {
      inputsToSave: ["x"],
      outputsToSave: [true, true],
      gradFunc(dys, [x, y, saved], attributes) {
        const { relu, hasResidual } = attributes as unknown as Attributes;
        const dy = (dys as tf.Tensor[])[0];
        return gradientsOf({ x, y, dy, saved }, { relu, residual: hasResidual, frozen: false });
      },
    },
  },
  {
    name: INFERENCE_KERNEL,
    run: (inputs, attributes) =>
      batchNormInferenceForward(inputs as unknown as ForwardInputs, attributes as unknown as Attributes),
    gradient: {
      inputsToSave: ["x", "gamma", "beta", "runningMean", "runningVariance"],
      outputsToSave: [true],
      gradFunc(dy, [x, gamma, beta, mean, variance, y], attributes) {
        const { relu, hasResidual, epsilon } = attributes as unknown as Attributes;
        const inverse = variance.add(epsilon).rsqrt();
        const saved = tf.stack([mean, inverse, gamma.mul(inverse), beta]); // [4, C]
        return gradientsOf(
          { x, y, dy: dy as tf.Tensor, saved },
          { relu, residual: hasResidual, frozen: true },
        );
      },
    },
  },
  {
    name: GRADIENT_KERNEL,
    run: (inputs, attributes) =>
      batchNormBackward(
        inputs as unknown as Parameters<typeof batchNormBackward>[0],
        attributes as unknown as BatchNormGradSettings,
      ),
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
  /** of x's shape, added before the ReLU */
  readonly residual?: tf.Tensor;
}

function requireTensors(x: tf.Tensor, tensors: BatchNormTensors): tf.NamedTensorMap {
  if (x.rank < 2 || x.size === 0) {
    throw new RangeError(
      `Cannot run batchNorm: x has shape [${x.shape}]; expected [.., C] with no empty dimension`,
    );
  }
  const { gamma, beta, runningMean, runningVariance, residual } = tensors;
  const inputs: tf.NamedTensorMap = { x, gamma, beta, runningMean, runningVariance };
  if (residual !== undefined) inputs.residual = residual;
  for (const [name, { shape, dtype }] of Object.entries(inputs)) {
    const wanted = name === "x" || name === "residual" ? x.shape : [x.shape[x.rank - 1]];
    if (shape.join() !== wanted.join()) {
      throw new RangeError(`Cannot run batchNorm: ${name} has shape [${shape}]; expected [${wanted}]`);
    }
    if (dtype !== "float32") {
      throw new TypeError(`Cannot run batchNorm: ${name} is ${dtype}; expected float32`);
    }
  }
  return inputs;
}

/**
 * Batch normalisation in training: the batch's statistics normalise, and update the running ones in place, the variance
 * with the unbiased estimate (PyTorch's rule). A batch of one row has variance 0.
 *
 * @param x [N, H, W, C] or [M, C]
 * @returns of x's shape
 * @throws {RangeError} for empty tensors and shapes that do not fit
 * @throws {TypeError} for other types than float32
 */
export function batchNorm<T extends tf.Tensor>(
  x: T,
  tensors: BatchNormTensors,
  settings: BatchNormSettings,
): T {
  const inputs = requireTensors(x, tensors);
  const attributes = { ...settings, hasResidual: tensors.residual !== undefined };
  const [y, saved] = tf.engine().runKernel(TRAINING_KERNEL, inputs, attributes) as unknown as tf.Tensor[];
  saved.dispose(); // the tape has its own reference
  return y as T;
}

/**
 * Batch normalisation with the running statistics, which stay as they are.
 *
 * @param x [N, H, W, C] or [M, C]
 * @returns of x's shape
 * @throws {RangeError} for empty tensors and shapes that do not fit
 * @throws {TypeError} for other types than float32
 */
export function batchNormInference<T extends tf.Tensor>(
  x: T,
  tensors: BatchNormTensors,
  { epsilon, relu }: Pick<BatchNormSettings, "epsilon" | "relu">,
): T {
  const inputs = requireTensors(x, tensors);
  const attributes = { epsilon, relu, hasResidual: tensors.residual !== undefined };
  return tf.engine().runKernel(INFERENCE_KERNEL, inputs, attributes) as unknown as T;
}
