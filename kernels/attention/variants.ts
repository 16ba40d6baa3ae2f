/**
 * The kernels that compute an attention's core, and which one serves which sizes on which adapter.
 *
 * @module
 */
import threefry from "../dropout/threefry.wgsl" with { type: "text" };
import type { Constants, ShaderFile } from "../runtime/wgsl.ts";
import backwardSource from "./attention_bwd.wgsl" with { type: "text" };
import backwardShortSource from "./attention_bwd_short.wgsl" with { type: "text" };
import backwardWorkgroupSource from "./attention_bwd_workgroup.wgsl" with { type: "text" };
import forwardSource from "./attention_fwd.wgsl" with { type: "text" };
import forwardWorkgroupSource from "./attention_fwd_workgroup.wgsl" with { type: "text" };
import uniforms from "./attention_uniforms.wgsl" with { type: "text" };

function shaderFile(name: string, source: string): ShaderFile {
  const includes = { "attention_uniforms.wgsl": uniforms, "threefry.wgsl": threefry };
  return { file: `attention/${name}.wgsl`, source, includes };
}

const FORWARD = {
  registers: shaderFile("attention_fwd", forwardSource),
  workgroup: shaderFile("attention_fwd_workgroup", forwardWorkgroupSource),
};
const BACKWARD = {
  short: shaderFile("attention_bwd_short", backwardShortSource),
  registers: shaderFile("attention_bwd", backwardSource),
  workgroup: shaderFile("attention_bwd_workgroup", backwardWorkgroupSource),
};

/** Invocations of a workgroup where each works for itself: the lanes of a software adapter's vector. */
const LANES = 8;
/** Rows of a workgroup of 8 x 8 invocations per row of one of them. */
const GROUP_ROWS = 8;
/** Longest clip that has pipelines of its own, with all its frames in one tile: backward compiles in a second. */
const MAX_SHORT = 10;

/** How forward divides the work; the numbers are the shaders' tile constants. */
export type ForwardVariant =
  | { readonly kind: "registers"; readonly queries: number; readonly keys: number }
  | { readonly kind: "workgroup"; readonly rows: number };

/** How backward divides the work; the numbers are the shaders' tile constants. */
export type BackwardVariant =
  | { readonly kind: "short"; readonly frames: number }
  | { readonly kind: "registers"; readonly rows: number; readonly others: number }
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
export function chooseForward(frames: number, software: boolean): ForwardVariant {
  if (!software) return { kind: "workgroup", rows: groupRows(frames) };
  if (frames <= MAX_SHORT) return { kind: "registers", queries: Math.min(frames, 3), keys: frames };
  return { kind: "registers", queries: 4, keys: 16 };
}

/** @param software whether the adapter runs on the CPU */
export function chooseBackward(frames: number, software: boolean): BackwardVariant {
  if (!software) return { kind: "workgroup", rows: groupRows(frames) };
  if (frames <= MAX_SHORT) return { kind: "short", frames };
  return { kind: "registers", rows: 4, others: 8 };
}

function workgroupProgram(shader: ShaderFile, rows: number, { frames, size }: Sizes): AttentionProgram {
  const groups = Math.ceil(frames / (GROUP_ROWS * rows));
  return { shader, constants: { ROWS: rows, VECS: Math.ceil(size / 32) }, groups };
}

/** The program of forward. */
export function forwardProgram(sizes: Sizes, variant: ForwardVariant): AttentionProgram {
  const shader = FORWARD[variant.kind];
  if (variant.kind === "workgroup") return workgroupProgram(shader, variant.rows, sizes);
  const { queries, keys } = variant;
  const groups = Math.ceil(sizes.frames / queries) / LANES;
  return { shader, constants: { TILE_Q: queries, TILE_K: keys }, groups };
}

/** The program of backward. */
export function backwardProgram(sizes: Sizes, variant: BackwardVariant): AttentionProgram {
  const shader = BACKWARD[variant.kind];
  if (variant.kind === "workgroup") return workgroupProgram(shader, variant.rows, sizes);
  if (variant.kind === "registers") {
    const { rows, others } = variant;
    const groups = Math.ceil(sizes.frames / rows) / LANES;
    return { shader, constants: { ROWS: rows, OTHERS: others }, groups };
  }
  if (variant.frames < sizes.frames) {
    throw new RangeError(
      `Cannot run attention: a tile of ${variant.frames} frames; expected at least ${sizes.frames}`,
    );
  }
  return { shader, constants: { FRAMES: variant.frames }, groups: 1 / LANES };
}
