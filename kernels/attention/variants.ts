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

/** All that each pass may run. */
export const ATTENTION_SHADERS = { forward: Object.values(FORWARD), backward: Object.values(BACKWARD) };

/** How forward divides the work; the numbers are the shaders' tile constants. */
export type ForwardVariant =
  | { readonly kind: "registers"; readonly queries: number; readonly keys: number }
  | { readonly kind: "workgroup"; readonly rows: number };

/** How backward divides the work; the numbers are the shaders' tile constants. */
export type BackwardVariant =
  | { readonly kind: "short"; readonly frames: number }
  | { readonly kind: "registers"; readonly rows: number; readonly others: number }
  | { readonly kind: "workgroup"; readonly rows: number };

/** A, T and S of an attention of B clips. */
export interface Sizes {
  readonly clips: number;
  readonly frames: number;
  readonly heads: number;
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

/** The sizes on which the choice depends: clips times heads, T, S. */
export function sizesOf({ clips, heads, frames, size }: Sizes): Record<string, number> {
  return { BA: clips * heads, T: frames, S: size };
}

/** Rows of an invocation in workgroup memory, the best for a clip of that length first. */
function workgroupVariants(frames: number): { kind: "workgroup"; rows: number }[] {
  const first = groupRows(frames);
  const rows = [first, ...[1, 2, 4].filter((count) => count !== first && count <= 2 * first)];
  return rows.map((count) => ({ kind: "workgroup", rows: count }));
}

/**
 * The variants of forward that are worth timing, the default first.
 *
 * @param software whether the adapter runs on the CPU
 */
export function forwardCandidates(frames: number, software: boolean): ForwardVariant[] {
  const tiles = frames <= MAX_SHORT
    ? [[Math.min(frames, 3), frames], [1, frames], [1, 4]]
    : [[4, 16], [4, 8], [2, 8]];
  const registers = tiles.map(([queries, keys]): ForwardVariant => ({ kind: "registers", queries, keys }));
  const workgroup = workgroupVariants(frames);
  return software ? [...registers, ...workgroup] : [...workgroup, ...registers];
}

/**
 * The variants of backward that are worth timing, the default first.
 *
 * @param software whether the adapter runs on the CPU
 */
export function backwardCandidates(frames: number, software: boolean): BackwardVariant[] {
  const short: BackwardVariant[] = frames <= MAX_SHORT ? [{ kind: "short", frames }] : [];
  const tiles = [[4, 16], [4, 8], [2, 16]];
  const registers = tiles.map(([rows, others]): BackwardVariant => ({ kind: "registers", rows, others }));
  const workgroup = workgroupVariants(frames);
  return software ? [...short, ...registers, ...workgroup] : [...workgroup, ...short, ...registers];
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
