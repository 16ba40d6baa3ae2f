/**
 * How often the loops of convolution's kernels turn: a software adapter ends them early, without a word.
 *
 * @module
 */
import { COUNTED_ITERATIONS } from "../runtime/rows.ts";
import type { Conv2dGeometry } from "./conv2d_geometry.ts";
import type { Conv2dVariant } from "./conv2d_variants.ts";

/** Taps r with r dilation in the same class modulo the stride are so many apart. */
export function tapStep(stride: number, dilation: number): number {
  let step = 1;
  while ((step * dilation) % stride !== 0) step++;
  return step;
}

/** Rows and columns of the most taps that count in one phase of the stride. */
function phaseTaps({ filterHeight, filterWidth, strides, dilations }: Conv2dGeometry): [number, number] {
  return [
    Math.ceil(filterHeight / tapStep(strides[0], dilations[0])),
    Math.ceil(filterWidth / tapStep(strides[1], dilations[1])),
  ];
}

/** Of the two loops that look for a phase's first tap. */
function searchIterations({ filterHeight, filterWidth, strides }: Conv2dGeometry): number {
  return Math.min(strides[0], filterHeight) + Math.min(strides[1], filterWidth) + 2;
}

/** Of an invocation that sums over rows of taps, taps, and vec4s of channels. */
function nestedIterations(rows: number, columns: number, channels: number): number {
  return rows * (columns * (Math.ceil(channels / 4) + 2) + 3) + 1;
}

/** Of an invocation of conv2d_fwd.wgsl or conv2d_bwd_input.wgsl. */
export function sumIterations(pass: "forward" | "backwardInput", g: Conv2dGeometry): number {
  if (pass === "forward") return nestedIterations(g.filterHeight, g.filterWidth, g.channels);
  return searchIterations(g) + nestedIterations(...phaseTaps(g), g.outChannels);
}

/** Of an invocation of conv2d_fwd_tiled.wgsl or conv2d_bwd_input_tiled.wgsl, of a block so many vec4s deep. */
export function roundsOf(pass: "forward" | "backwardInput", g: Conv2dGeometry, depth: number): number {
  if (pass === "backwardInput") {
    const [rows, columns] = phaseTaps(g);
    return rows * columns * Math.ceil(Math.ceil(g.outChannels / 4) / depth);
  }
  const channels = Math.ceil(g.channels / 4);
  const [runs, length] = g.dilations[1] === 1 ? [1, g.filterWidth * channels] : [g.filterWidth, channels];
  return g.filterHeight * runs * Math.ceil(length / depth);
}

/** Of an invocation of these, one of so many ranges. */
export function tiledIterations(
  pass: "forward" | "backwardInput",
  g: Conv2dGeometry,
  depth: number,
  split: number,
): number {
  const search = pass === "forward" ? 0 : searchIterations(g);
  return search + Math.ceil(roundsOf(pass, g, depth) / split) + 2;
}

/** Fewest chunks of the pixels of dFilter. */
export function leastFilterSplit({ kind, constants }: Conv2dVariant, pixels: number): number {
  const { UNROLL, LANES, BLOCK_P } = constants as Record<string, number>;
  const round = { subgroup: UNROLL, subgroup_pixels: UNROLL * LANES, workgroup: BLOCK_P };
  return Math.ceil(pixels / (COUNTED_ITERATIONS * round[kind]));
}

/** Whether invocations of so many pixels can set the pixels of the other phases to 0, too; see conv2d_bwd_input.wgsl. */
export function canSpread(g: Conv2dGeometry, pixels: number): boolean {
  const cells = g.strides[0] * g.strides[1];
  return sumIterations("backwardInput", g) + pixels * (cells + 2) <= COUNTED_ITERATIONS;
}
