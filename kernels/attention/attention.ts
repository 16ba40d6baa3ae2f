/**
 * The core of multi-head self-attention: from q, k, v to the context, and back. One dispatch each way.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { type DropoutKey, dropoutUniforms } from "../dropout/dropout.ts";
import threefry from "../dropout/threefry.wgsl" with { type: "text" };
import { foldWorkgroups, run } from "../runtime/program.ts";
import type { Constants, ShaderFile } from "../runtime/wgsl.ts";
import backwardSource from "./attention_bwd.wgsl" with { type: "text" };
import backwardTiledSource from "./attention_bwd_tiled.wgsl" with { type: "text" };
import forwardSource from "./attention_fwd.wgsl" with { type: "text" };
import forwardTiledSource from "./attention_fwd_tiled.wgsl" with { type: "text" };
import uniforms from "./attention_uniforms.wgsl" with { type: "text" };

function shaderFile(name: string, source: string): ShaderFile {
  const includes = { "attention_uniforms.wgsl": uniforms, "threefry.wgsl": threefry };
  return { file: `attention/${name}.wgsl`, source, includes };
}

const FORWARD = shaderFile("attention_fwd", forwardSource);
const FORWARD_TILED = shaderFile("attention_fwd_tiled", forwardTiledSource);
const BACKWARD = shaderFile("attention_bwd", backwardSource);
const BACKWARD_TILED = shaderFile("attention_bwd_tiled", backwardTiledSource);

/** Invocations of a workgroup: the lanes of a software adapter's vector. */
const LANES = 8;
/** Largest head. */
const MAX_SIZE = 128;

/** The dropout of the probabilities. */
export interface AttentionDropout extends DropoutKey {
  /** in [0, 1) */
  readonly rate: number;
}

/** Sizes and options of an attention. */
export interface AttentionSettings {
  /** B */
  readonly clips: number;
  /** T */
  readonly frames: number;
  /** A */
  readonly heads: number;
  /** S = D / A: a multiple of 4, at most 128 */
  readonly size: number;
  /** int32 [B, T], 0 = nothing attends to this key */
  readonly mask?: TensorInfo;
  readonly dropout?: AttentionDropout;
}

/** How forward divides the work: `whole` keeps all scores of `queries` queries in registers. */
export type ForwardVariant =
  | { readonly kind: "whole"; readonly queries: number; readonly keys: number }
  | { readonly kind: "tiled"; readonly queries: number; readonly keys: number };

/** How backward divides the work: `whole` keeps all probabilities of a head in registers. */
export type BackwardVariant =
  | { readonly kind: "whole"; readonly frames: number }
  | { readonly kind: "tiled"; readonly rows: number; readonly others: number };

/** What forward gives. */
export interface AttentionOutputs {
  /** [B * T, D] */
  readonly context: TensorInfo;
  /** [B, A, T]: log of the sum of exp(q k' / sqrt(S)) over the keys; 0 where there is no key */
  readonly logSumExp: TensorInfo;
}

export function chooseForward({ frames, size }: AttentionSettings): ForwardVariant {
  if (frames <= 12) return { kind: "whole", queries: frames, keys: frames };
  if (frames <= 32) return { kind: "whole", queries: 8, keys: 4 * Math.ceil(frames / 4) };
  return { kind: "tiled", queries: size <= 64 ? 8 : 4, keys: 4 };
}

export function chooseBackward({ frames }: AttentionSettings): BackwardVariant {
  if (frames <= 12) return { kind: "whole", frames };
  return { kind: "tiled", rows: 4, others: 2 };
}

function uniformsOf({ clips, frames, heads, size, dropout }: AttentionSettings) {
  return {
    clips,
    frames,
    heads,
    channels: size / 4,
    score_scale: { f32: 1 / Math.sqrt(size) },
    ...dropoutUniforms(dropout?.rate ?? 0, dropout ?? { seed: 0, layer: 0, step: 0 }),
  };
}

function requireSettings(qkv: TensorInfo, { clips, frames, heads, size, mask }: AttentionSettings): void {
  const refuse = (what: string) => {
    throw new RangeError(`Cannot run attention: ${what}`);
  };
  if (!(size >= 4 && size <= MAX_SIZE && size % 4 === 0)) {
    refuse(`the head size is ${size}; expected a multiple of 4 from 4 to ${MAX_SIZE}`);
  }
  const values = qkv.shape.reduce((product, n) => product * n, 1);
  if (values === 0 || values !== clips * frames * 3 * heads * size) {
    refuse(
      `q, k, v have shape [${qkv.shape.join(", ")}]; expected [${clips * frames}, ${3 * heads * size}] for ` +
        `${clips} clips of ${frames} frames, ${heads} heads of ${size}`,
    );
  }
  if (mask === undefined) return;
  if (mask.shape.join() !== `${clips},${frames}`) {
    refuse(`the mask has shape [${mask.shape.join(", ")}]; expected [${clips}, ${frames}]`);
  }
  if (mask.dtype !== "int32" && mask.dtype !== "bool") {
    throw new TypeError(`Cannot run attention: the mask is ${mask.dtype}; expected int32 or bool`);
  }
}

function constantsOf(settings: AttentionSettings): Constants {
  return { MASKED: settings.mask !== undefined, DROPOUT: (settings.dropout?.rate ?? 0) > 0 };
}

/**
 * context = softmax(q k' / sqrt(S)) v per clip and head.
 *
 * @param qkv float32 [B * T, 3D]: columns q, k, v, each head by head
 * @throws {RangeError} for sizes that do not fit
 * @throws {TypeError} for a mask of another type
 */
export function attentionForward(
  qkv: TensorInfo,
  settings: AttentionSettings,
  variant: ForwardVariant = chooseForward(settings),
): AttentionOutputs {
  requireSettings(qkv, settings);
  const { clips, frames, heads, size, mask } = settings;
  const tile: Constants = { TILE_Q: variant.queries };
  const tiles = Math.ceil(frames / variant.queries);
  const [context, logSumExp] = run({
    shader: variant.kind === "whole" ? FORWARD : FORWARD_TILED,
    constants: {
      ...constantsOf(settings),
      ...tile,
      ...(variant.kind === "whole" ? { KEYS: variant.keys } : { TILE_K: variant.keys, CHANNELS: size / 4 }),
    },
    inputs: [qkv, mask ?? qkv],
    outputs: [{ shape: [clips * frames, heads * size] }, { shape: [clips, heads, frames] }],
    uniforms: uniformsOf(settings),
    workgroups: foldWorkgroups(Math.ceil(clips * heads * tiles / LANES)),
    flops: 4 * clips * heads * frames * frames * size,
  });
  return { context, logSumExp };
}

/**
 * The gradient of q, k, v.
 *
 * @param dcontext float32 [B * T, D]
 * @returns [B * T, 3D]
 */
export function attentionBackward(
  qkv: TensorInfo,
  { context, logSumExp }: AttentionOutputs,
  dcontext: TensorInfo,
  settings: AttentionSettings,
  variant: BackwardVariant = chooseBackward(settings),
): TensorInfo {
  requireSettings(qkv, settings);
  const { clips, frames, heads, size, mask } = settings;
  const whole = variant.kind === "whole";
  const tiles = whole ? 1 : Math.ceil(frames / variant.rows);
  const [dqkv] = run({
    shader: whole ? BACKWARD : BACKWARD_TILED,
    constants: {
      ...constantsOf(settings),
      ...(whole
        ? { FRAMES: variant.frames }
        : { ROWS: variant.rows, OTHERS: variant.others, CHANNELS: size / 4 }),
    },
    inputs: [qkv, mask ?? qkv, logSumExp, ...(whole ? [] : [context]), dcontext],
    outputs: [{ shape: [clips * frames, 3 * heads * size] }],
    uniforms: uniformsOf(settings),
    workgroups: [...foldWorkgroups(Math.ceil(clips * heads * tiles / LANES)), whole ? 1 : 2],
    flops: 10 * clips * heads * frames * frames * size,
  });
  return dqkv;
}
