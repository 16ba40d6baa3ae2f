/**
 * The core of multi-head self-attention: from q, k, v to the context, and back. One dispatch each way.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { type DropoutKey, dropoutUniforms } from "../dropout/dropout.ts";
import { currentTraits, foldWorkgroups, run } from "../runtime/program.ts";
import { variantFor } from "../runtime/tuner.ts";
import {
  backwardCandidates,
  backwardProgram,
  type BackwardVariant,
  forwardCandidates,
  forwardProgram,
  type ForwardVariant,
  sizesOf,
} from "./variants.ts";

/** Largest head: a wider one would not fit the tiles. */
export const MAX_SIZE = 128;
/** Longest clip: llvmpipe leaves a loop after 65535 iterations (see rows.ts), and backward takes 8 + 64 for 8 frames. */
const MAX_FRAMES = 4096;

/** Most probabilities of a dropout: its counter, their place in [B, A, T, T], has 32 bits. */
const MAX_DROPPED = 2 ** 32;

/** The dropout of the probabilities. */
export interface AttentionDropout extends DropoutKey {
  /** in [0, 1) */
  readonly rate: number;
}

/** Sizes and options of an attention. */
export interface AttentionSettings {
  /** B */
  readonly clips: number;
  /** T: at most 4096 */
  readonly frames: number;
  /** A */
  readonly heads: number;
  /** S = D / A: a multiple of 4, at most 128 */
  readonly size: number;
  /** of the scores; 1 / sqrt(S) by default */
  readonly scale?: number;
  /** int32 or bool [B, T], 0 = nothing attends to this key */
  readonly mask?: TensorInfo;
  readonly dropout?: AttentionDropout;
}

/** What forward gives. */
export interface AttentionOutputs {
  /** [B * T, D] */
  readonly context: TensorInfo;
  /** [B, A, T]: log of the sum of exp(q k' / sqrt(S)) over the keys; 0 where there is no key */
  readonly logSumExp: TensorInfo;
}

/**
 * Refuses what the kernels do not take.
 *
 * @throws {RangeError} for a head's size, a clip's length, a mask's shape, a dropout's rate or key, more than 2^32
 * probabilities that are dropped
 * @throws {TypeError} for a mask of another type than int32 and bool
 */
export function requireSettings({ clips, frames, heads, size, mask, dropout }: AttentionSettings): void {
  if (!(size >= 4 && size <= MAX_SIZE && size % 4 === 0)) {
    throw new RangeError(
      `Cannot run attention: the head size is ${size}; expected a multiple of 4 from 4 to ${MAX_SIZE}`,
    );
  }
  if (frames > MAX_FRAMES) {
    throw new RangeError(`Cannot run attention: clips of ${frames} frames; expected at most ${MAX_FRAMES}`);
  }
  if (dropout !== undefined) {
    dropoutUniforms(dropout.rate, dropout);
    const count = clips * heads * frames ** 2;
    if (dropout.rate > 0 && count > MAX_DROPPED) {
      throw new RangeError(
        `Cannot run attention: dropout of ${count} probabilities, [${clips}, ${heads}, ${frames}, ${frames}]; expected at ` +
          `most ${MAX_DROPPED}, after which its masks repeat`,
      );
    }
  }
  if (mask === undefined) return;
  if (mask.shape.join() !== `${clips},${frames}`) {
    throw new RangeError(
      `Cannot run attention: the mask has shape [${mask.shape}]; expected [${clips}, ${frames}]`,
    );
  }
  if (mask.dtype !== "int32" && mask.dtype !== "bool") {
    throw new TypeError(`Cannot run attention: the mask is ${mask.dtype}; expected int32 or bool`);
  }
}

function requireTensor(name: string, { shape, dtype }: TensorInfo, wanted: readonly number[]): void {
  if (dtype !== "float32") {
    throw new TypeError(`Cannot run attention: ${name} is ${dtype}; expected float32`);
  }
  if (shape.join() !== wanted.join()) {
    throw new RangeError(`Cannot run attention: ${name} has shape [${shape}]; expected [${wanted}]`);
  }
}

function uniformsOf({ clips, frames, heads, size, scale, dropout }: AttentionSettings) {
  return {
    clips,
    frames,
    heads,
    channels: size / 4,
    score_scale: { f32: scale ?? 1 / Math.sqrt(size) },
    ...dropoutUniforms(dropout?.rate ?? 0, dropout ?? { seed: 0, layer: 0, step: 0 }),
  };
}

function optionsOf({ mask, dropout }: AttentionSettings) {
  return { MASKED: mask !== undefined, DROPOUT: dropout !== undefined && dropout.rate > 0 };
}

/**
 * context = softmax(q k' / sqrt(S)) v per clip and head.
 *
 * @param qkv float32 [B * T, 3D]: columns q, k, v, each head by head
 * @throws {RangeError} for sizes that do not fit
 * @throws {TypeError} for other types
 */
export function attentionForward(
  qkv: TensorInfo,
  settings: AttentionSettings,
  variant: ForwardVariant = variantFor(
    "attention_fwd",
    sizesOf(settings),
    () => forwardCandidates(settings.frames, currentTraits().software)[0],
  ),
): AttentionOutputs {
  requireSettings(settings);
  const { clips, frames, heads, size, mask } = settings;
  requireTensor("q, k, v", qkv, [clips * frames, 3 * heads * size]);
  const { shader, constants, groups } = forwardProgram(settings, variant);
  const [context, logSumExp] = run({
    shader,
    constants: { ...constants, ...optionsOf(settings) },
    inputs: [qkv, mask ?? qkv],
    outputs: [{ shape: [clips * frames, heads * size] }, { shape: [clips, heads, frames] }],
    uniforms: uniformsOf(settings),
    workgroups: foldWorkgroups(Math.ceil(clips * heads * groups)),
    flops: 4 * clips * heads * frames * frames * size,
  });
  return { context, logSumExp };
}

/**
 * The gradient of q, k, v, which recomputes the probabilities.
 *
 * @param outputs forward's
 * @param dcontext float32 [B * T, D], the gradient of the context
 * @returns [B * T, 3D]
 * @throws {RangeError} for sizes that do not fit
 * @throws {TypeError} for other types
 */
export function attentionBackward(
  qkv: TensorInfo,
  { context, logSumExp }: AttentionOutputs,
  dcontext: TensorInfo,
  settings: AttentionSettings,
  variant: BackwardVariant = variantFor(
    "attention_bwd",
    sizesOf(settings),
    () => backwardCandidates(settings.frames, currentTraits().software)[0],
  ),
): TensorInfo {
  requireSettings(settings);
  const { clips, frames, heads, size, mask } = settings;
  requireTensor("q, k, v", qkv, [clips * frames, 3 * heads * size]);
  requireTensor("the context", context, [clips * frames, heads * size]);
  requireTensor("the gradient of the context", dcontext, [clips * frames, heads * size]);
  requireTensor("the log-sum-exp", logSumExp, [clips, heads, frames]);
  const short = variant.kind === "short";
  const { shader, constants, groups } = backwardProgram(settings, variant);
  const [dqkv] = run({
    shader,
    constants: { ...constants, ...optionsOf(settings) },
    inputs: [qkv, mask ?? qkv, logSumExp, ...(short ? [] : [context]), dcontext],
    outputs: [{ shape: [clips * frames, 3 * heads * size] }],
    uniforms: uniformsOf(settings),
    // The others divide the work in two: dq in one half of the grid, dk and dv in the other.
    workgroups: [...foldWorkgroups(Math.ceil(clips * heads * groups)), short ? 1 : 2],
    flops: 10 * clips * heads * frames * frames * size,
  });
  return dqkv;
}
