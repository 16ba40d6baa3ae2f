/**
 * The dispatches of batch normalisation: training forward, inference, backward.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, release, run } from "../runtime/program.ts";
import aloneBackwardSource from "./batch_norm_alone_bwd.wgsl" with { type: "text" };
import aloneForwardSource from "./batch_norm_alone_fwd.wgsl" with { type: "text" };
import backwardSource from "./batch_norm_bwd.wgsl" with { type: "text" };
import backwardSumsSource from "./batch_norm_bwd_sums.wgsl" with { type: "text" };
import forwardSource from "./batch_norm_fwd.wgsl" with { type: "text" };
import inferenceSource from "./batch_norm_inference.wgsl" with { type: "text" };
import mergeSource from "./batch_norm_merge.wgsl" with { type: "text" };
import sumsSource from "./batch_norm_sums.wgsl" with { type: "text" };
import {
  type BatchNormPlan,
  batchNormShader,
  type BatchNormTile,
  chooseTile,
  planBatchNorm,
} from "./plan.ts";

const SUMS = batchNormShader("batch_norm_sums", sumsSource);
const MERGE = batchNormShader("batch_norm_merge", mergeSource);
const FORWARD = batchNormShader("batch_norm_fwd", forwardSource);
const INFERENCE = batchNormShader("batch_norm_inference", inferenceSource);
const BACKWARD_SUMS = batchNormShader("batch_norm_bwd_sums", backwardSumsSource);
const BACKWARD = batchNormShader("batch_norm_bwd", backwardSource);

const ALONE_FORWARD = batchNormShader("batch_norm_alone_fwd", aloneForwardSource);
const ALONE_BACKWARD = batchNormShader("batch_norm_alone_bwd", aloneBackwardSource);

/** All that the training passes run. */
export const BATCH_NORM_SHADERS = [
  SUMS,
  MERGE,
  FORWARD,
  BACKWARD_SUMS,
  BACKWARD,
  ALONE_FORWARD,
  ALONE_BACKWARD,
].flatMap((forRow) => [forRow(4), forRow(1)]);

/** How the normalisation is applied; see {@link batchNorm}. */
export interface BatchNormSettings {
  readonly epsilon: number;
  /** share of the batch's statistics in the update of the running ones */
  readonly momentum: number;
  readonly relu: boolean;
}

/** What is normalised, with what. */
export interface ForwardInputs {
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

/** How a workgroup takes all rows of its elements. */
function aloneDispatch({ rows, channels }: BatchNormPlan, alone: NonNullable<BatchNormPlan["alone"]>) {
  const { lanes, lanesM, wide } = alone;
  return {
    constants: { LANES_C: lanes, LANES_M: lanesM, WIDE: wide },
    uniforms: { rows, channels },
    workgroups: foldWorkgroups(Math.ceil(channels / (lanes * wide))),
  };
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
  tile: BatchNormTile = chooseTile(x.shape),
): TensorInfo[] {
  const plan = planBatchNorm(x.shape, tile);
  const { rows, channels, size, groups, chunks, chunkRows, blocks, blockRows } = plan;
  const y = { shape: x.shape };
  const rest = [{ shape: [4, size] }, { inPlace: runningMean }, { inPlace: runningVariance }];
  const settings = { RELU: relu, RESIDUAL: residual !== undefined };
  const floats = { epsilon: { f32: epsilon }, momentum: { f32: momentum } };
  if (plan.alone !== undefined) {
    const { constants, uniforms, workgroups } = aloneDispatch(plan, plan.alone);
    return run({
      shader: ALONE_FORWARD(size),
      constants: { ...constants, ...settings },
      inputs: [x, residual ?? x, gamma, beta],
      outputs: [y, ...rest],
      uniforms: { ...uniforms, ...floats },
      workgroups,
    }).slice(0, 2);
  }
  const [parts] = run({
    shader: SUMS(size),
    constants: { LANES_C: plan.lanesC, LANES_M: plan.lanesM, WIDE: plan.sumWide },
    inputs: [x],
    outputs: [{ shape: [chunks, 2, size] }],
    uniforms: { rows, channels, groups, chunks, chunk_rows: chunkRows },
    workgroups: foldWorkgroups(plan.sumGroups),
  });
  const merged = mergeChunks(parts, plan, false);
  const made = run({
    shader: FORWARD(size),
    constants: { LANES: plan.lanes, WIDE: plan.wide, ...settings },
    inputs: [x, residual ?? x, gamma, beta, merged],
    outputs: [y, ...rest],
    uniforms: {
      rows,
      channels,
      chunks: plan.merge ? 1 : chunks,
      chunk_rows: plan.merge ? rows : chunkRows,
      blocks,
      block_rows: blockRows,
      ...floats,
    },
    workgroups: blockWorkgroups(plan),
  });
  release(merged);
  return made.slice(0, 2);
}

/** Inference forward: the running statistics normalise. */
export function batchNormInferenceForward(
  { x, gamma, beta, runningMean, runningVariance, residual }: ForwardInputs,
  { epsilon, relu }: Pick<BatchNormSettings, "epsilon" | "relu">,
  tile: BatchNormTile = chooseTile(x.shape),
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

/** What the gradients are made of. */
export interface BackwardInputs {
  readonly x: TensorInfo;
  readonly y: TensorInfo;
  readonly dy: TensorInfo;
  /** as the forward pass has saved it */
  readonly saved: TensorInfo;
  /** to be added to dy; only with a residual under a ReLU */
  readonly more?: TensorInfo;
}

/** @returns dx, dgamma, dbeta, and dresidual if there is a residual under a ReLU */
export function batchNormBackward(
  { x, y, dy, saved, more }: BackwardInputs,
  settings: BatchNormGradSettings,
  tile: BatchNormTile = chooseTile(x.shape),
): TensorInfo[] {
  const { relu, frozen } = settings;
  const residual = relu && settings.residual;
  const plan = planBatchNorm(x.shape, tile);
  const { rows, channels, size, groups, chunks, chunkRows, blocks, blockRows } = plan;
  const residualOutput = { shape: residual ? x.shape : [size / channels] };
  const channelOutputs = [{ shape: [size] }, { shape: [size] }];
  if (plan.alone !== undefined) {
    const { constants, uniforms, workgroups } = aloneDispatch(plan, plan.alone);
    const gradients = run({
      shader: ALONE_BACKWARD(size),
      constants: { ...constants, RELU: relu, RESIDUAL: residual, FORKED: more !== undefined, FROZEN: frozen },
      inputs: [x, residual ? y : x, dy, saved, more ?? dy],
      outputs: [{ shape: x.shape }, ...channelOutputs, residualOutput],
      uniforms,
      workgroups,
    });
    if (!residual) release(gradients.pop()!);
    return gradients;
  }
  const [parts, dresidual] = run({
    shader: BACKWARD_SUMS(size),
    constants: {
      LANES_C: plan.lanesC,
      LANES_M: plan.lanesM,
      WIDE: plan.sumWide,
      RELU: relu,
      RESIDUAL: residual,
      FORKED: more !== undefined,
    },
    inputs: [x, residual ? y : x, dy, saved, more ?? dy],
    outputs: [{ shape: [chunks, 2, size] }, residualOutput],
    uniforms: { rows, channels, groups, chunks, chunk_rows: chunkRows },
    workgroups: foldWorkgroups(plan.sumGroups),
  });
  const merged = mergeChunks(parts, plan, true);
  const gradients = run({
    shader: BACKWARD(size),
    constants: { LANES: plan.lanes, WIDE: plan.wide, MASK: relu && !residual, FROZEN: frozen },
    inputs: [x, residual ? dresidual : dy, saved, merged],
    outputs: [{ shape: x.shape }, ...channelOutputs],
    uniforms: { rows, channels, chunks: plan.merge ? 1 : chunks, blocks, block_rows: blockRows },
    workgroups: blockWorkgroups(plan),
  });
  release(merged);
  if (residual) return [...gradients, dresidual];
  release(dresidual);
  return gradients;
}
