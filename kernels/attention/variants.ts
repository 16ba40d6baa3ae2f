/**
 * The kernels that compute an attention's core, and which one serves which sizes on which adapter.
 *
 * @module
 */
import threefry from "../dropout/threefry.wgsl" with { type: "text" };
import type { Constants, ShaderFile } from "../runtime/wgsl.ts";
import backwardSource from "./attention_bwd.wgsl" with { type: "text" };
import backwardTiledSource from "./attention_bwd_tiled.wgsl" with { type: "text" };
import backwardWorkgroupSource from "./attention_bwd_workgroup.wgsl" with { type: "text" };
import forwardSource from "./attention_fwd.wgsl" with { type: "text" };
import forwardTiledSource from "./attention_fwd_tiled.wgsl" with { type: "text" };
import forwardWorkgroupSource from "./attention_fwd_workgroup.wgsl" with { type: "text" };
import uniforms from "./attention_uniforms.wgsl" with { type: "text" };

function shaderFile(name: string, source: string): ShaderFile {
  const includes = { "attention_uniforms.wgsl": uniforms, "threefry.wgsl": threefry };
  return { file: `attention/${name}.wgsl`, source, includes };
}

const FORWARD = {
  whole: shaderFile("attention_fwd", forwardSource),
  tiled: shaderFile("attention_fwd_tiled", forwardTiledSource),
  workgroup: shaderFile("attention_fwd_workgroup", forwardWorkgroupSource),
};
const BACKWARD = {
  whole: shaderFile("attention_bwd", backwardSource),
  tiled: shaderFile("attention_bwd_tiled", backwardTiledSource),
  workgroup: shaderFile("attention_bwd_workgroup", backwardWorkgroupSource),
};

/** Invocations of a workgroup where each works for itself: the lanes of a software adapter's vector. */
const LANES = 8;
/** Rows of a workgroup of 8 x 8 invocations per row of one of them. */
const GROUP_ROWS = 8;
/** Longest clip whose scores stay in registers. */
const MAX_WHOLE_FORWARD = 32;
/** Longest clip of which one invocation computes a head's gradients; at 16, compiling takes a second and more. */
const MAX_WHOLE_BACKWARD = 12;

/** How forward divides the work; the numbers are the shaders' tile constants. */
export type ForwardVariant =
  | { readonly kind: "whole"; readonly queries: number; readonly keys: number }
  | { readonly kind: "tiled"; readonly queries: number; readonly keys: number }
  | { readonly kind: "workgroup"; readonly rows: number };

/** How backward divides the work; the numbers are the shaders' tile constants. */
export type BackwardVariant =
  | { readonly kind: "whole"; readonly frames: number }
  | { readonly kind: "tiled"; readonly rows: number; readonly others: number }
  | { readonly kind: "workgroup"; readonly rows: number };

/** T and S of an attention. */
interface Sizes {
  readonly frames: number;
  readonly size: number;
}

/** What a variant runs. */
export interface AttentionProgram {
  readonly shader: ShaderFile;
  readonly constants: Constants;
  /** workgroups per (clip, head), may be a fraction */
  readonly groups: number;
}

function groupRows(frames: number): number {
  if (frames <= GROUP_ROWS) return 1;
  return frames <= 2 * GROUP_ROWS ? 2 : 4;
}

/** @param software whether the adapter runs on the CPU */
export function chooseForward({ frames, size }: Sizes, software: boolean): ForwardVariant {
  if (!software) return { kind: "workgroup", rows: groupRows(frames) };
  if (frames > MAX_WHOLE_FORWARD) return { kind: "tiled", queries: size <= 64 ? 8 : 4, keys: 4 };
  // Up to 12 frames a length has its own pipeline; above, four lengths share one.
  const keys = frames <= 12 ? frames : 4 * Math.ceil(frames / 4);
  return { kind: "whole", queries: Math.min(frames, 5), keys };
}

/** @param software whether the adapter runs on the CPU */
export function chooseBackward({ frames, size }: Sizes, software: boolean): BackwardVariant {
  if (!software) return { kind: "workgroup", rows: groupRows(frames) };
  if (frames <= MAX_WHOLE_BACKWARD) return { kind: "whole", frames };
  return { kind: "tiled", rows: size <= 64 ? 4 : 2, others: 2 };
}

/** The program of forward. */
export function forwardProgram({ frames, size }: Sizes, variant: ForwardVariant): AttentionProgram {
  const shader = FORWARD[variant.kind];
  if (variant.kind === "workgroup") {
    const { rows } = variant;
    const groups = Math.ceil(frames / (GROUP_ROWS * rows));
    return { shader, constants: { ROWS: rows, VECS: Math.ceil(size / 32) }, groups };
  }
  const { queries, keys } = variant;
  const groups = Math.ceil(frames / queries) / LANES;
  if (variant.kind === "tiled") {
    return { shader, constants: { TILE_Q: queries, TILE_K: keys, CHANNELS: size / 4 }, groups };
  }
  if (keys < frames) {
    throw new RangeError(`Cannot run attention: a tile of ${keys} keys; expected at least ${frames}`);
  }
  return { shader, constants: { TILE_Q: queries, KEYS: keys }, groups };
}

/** The program of backward. */
export function backwardProgram({ frames, size }: Sizes, variant: BackwardVariant): AttentionProgram {
  const shader = BACKWARD[variant.kind];
  if (variant.kind === "workgroup") {
    const { rows } = variant;
    const groups = Math.ceil(frames / (GROUP_ROWS * rows));
    return { shader, constants: { ROWS: rows, VECS: Math.ceil(size / 32) }, groups };
  }
  if (variant.kind === "tiled") {
    const { rows, others } = variant;
    const groups = Math.ceil(frames / rows) / LANES;
    return { shader, constants: { ROWS: rows, OTHERS: others, CHANNELS: size / 4 }, groups };
  }
  if (variant.frames < frames) {
    throw new RangeError(
      `Cannot run attention: a tile of ${variant.frames} frames; expected at least ${frames}`,
    );
  }
  return { shader, constants: { FRAMES: variant.frames }, groups: 1 / LANES };
}
