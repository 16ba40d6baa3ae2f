/**
 * The shaders of convolution.
 *
 * @module
 */
import { ACTIVATION_INCLUDES } from "../matmul/activation.ts";
import { PAIRED_INCLUDES } from "../matmul/workgroup.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import backwardFilterSource from "./conv2d_bwd_filter.wgsl" with { type: "text" };
import backwardFilterPixelsSource from "./conv2d_bwd_filter_pixels.wgsl" with { type: "text" };
import backwardFilterTiledSource from "./conv2d_bwd_filter_tiled.wgsl" with { type: "text" };
import backwardInputSource from "./conv2d_bwd_input.wgsl" with { type: "text" };
import backwardInputTiledSource from "./conv2d_bwd_input_tiled.wgsl" with { type: "text" };
import forwardSource from "./conv2d_fwd.wgsl" with { type: "text" };
import forwardTiledSource from "./conv2d_fwd_tiled.wgsl" with { type: "text" };
import firstTapSource from "./first_tap.wgsl" with { type: "text" };
import sumPartsSource from "./sum_parts.wgsl" with { type: "text" };
import type { Conv2dPass } from "./conv2d_variants.ts";

const FIRST_TAP_INCLUDES = { "first_tap.wgsl": firstTapSource };

/** By the kind of variant. */
export const FORWARD: Record<string, ShaderFile> = {
  subgroup: { file: "conv2d/conv2d_fwd.wgsl", source: forwardSource, includes: ACTIVATION_INCLUDES },
  workgroup: {
    file: "conv2d/conv2d_fwd_tiled.wgsl",
    source: forwardTiledSource,
    includes: { ...ACTIVATION_INCLUDES, ...PAIRED_INCLUDES },
  },
};
/** By the kind of variant. */
export const BACKWARD_INPUT: Record<string, ShaderFile> = {
  subgroup: {
    file: "conv2d/conv2d_bwd_input.wgsl",
    source: backwardInputSource,
    includes: FIRST_TAP_INCLUDES,
  },
  workgroup: {
    file: "conv2d/conv2d_bwd_input_tiled.wgsl",
    source: backwardInputTiledSource,
    includes: { ...FIRST_TAP_INCLUDES, ...PAIRED_INCLUDES },
  },
};
/** By the kind of variant. */
export const BACKWARD_FILTER: Record<string, ShaderFile> = {
  subgroup: { file: "conv2d/conv2d_bwd_filter.wgsl", source: backwardFilterSource },
  subgroup_pixels: { file: "conv2d/conv2d_bwd_filter_pixels.wgsl", source: backwardFilterPixelsSource },
  workgroup: {
    file: "conv2d/conv2d_bwd_filter_tiled.wgsl",
    source: backwardFilterTiledSource,
    includes: PAIRED_INCLUDES,
  },
};
/** Adds the parts of dFilter. */
export const SUM_PARTS: ShaderFile = { file: "conv2d/sum_parts.wgsl", source: sumPartsSource };

/** All that a pass may run. */
export const CONV2D_SHADERS: Readonly<Record<Conv2dPass, readonly ShaderFile[]>> = {
  forward: [...Object.values(FORWARD), SUM_PARTS],
  backwardInput: [...Object.values(BACKWARD_INPUT), SUM_PARTS],
  backwardFilter: [...Object.values(BACKWARD_FILTER), SUM_PARTS],
};
