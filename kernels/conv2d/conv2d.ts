/**
 * Convolution in NHWC: forward with its epilogue, gradient of the input, gradient of the filter.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { activationCode } from "../matmul/activation.ts";
import { type Own, withIntermediates } from "../runtime/intermediates.ts";
import { type Dispatch, foldWorkgroups, type Output, run } from "../runtime/program.ts";
import type { Constants } from "../runtime/wgsl.ts";
import { type Conv2dGeometry, type ImageRange, shapesOf } from "./conv2d_geometry.ts";
import { canSpread, tapStep } from "./conv2d_loops.ts";
import { type Conv2dEpilogue, extents, requireEpilogue, requireOperands, steps } from "./conv2d_operands.ts";
import {
  blockOf,
  type Conv2dOptions,
  type Conv2dPlan,
  filterWorkgroups,
  planOf,
  summed,
} from "./conv2d_plan.ts";
import { BACKWARD_FILTER, BACKWARD_INPUT, FORWARD } from "./conv2d_shaders.ts";
import type { Conv2dVariant } from "./conv2d_variants.ts";
import { madeImages, paddedChannels, paddedImages, paddedShape } from "./pad_channels.ts";

export type { Conv2dGeometry } from "./conv2d_geometry.ts";
export type { Conv2dEpilogue } from "./conv2d_operands.ts";
export type { Conv2dOptions } from "./conv2d_plan.ts";
export { candidates, type Conv2dPass, type Conv2dVariant, defaultVariant } from "./conv2d_variants.ts";

/** The three channels of an image are not multiplied as four. */
function partsOf({ kind }: Conv2dVariant, channels: number): Constants {
  return kind === "subgroup" && channels < 4 ? { PARTS: channels } : {};
}

/** Rows of the filter that lie one after the other as x's channels do. */
function wholeOf({ kind }: Conv2dVariant, channels: number): Constants {
  return kind === "workgroup" ? { WHOLE: channels % 4 === 0 } : {};
}

/** A tensor [N, ..] of which a dispatch makes some images at a time, or ranges of their sums that are added then. */
function inParts(
  { parts, split }: Conv2dPlan,
  shape: number[],
  dispatchOf: (part: ImageRange, own: Own) => Omit<Dispatch, "outputs">,
): TensorInfo {
  let made: TensorInfo | undefined;
  for (const part of parts) {
    made = withIntermediates((own) => {
      const dispatch = dispatchOf(part, own);
      const make = (output: Output) => run({ ...dispatch, outputs: [output] })[0];
      return madeImages(
        made,
        shape,
        part,
        own,
        (output) => summed(split, paddedShape(shape), output, own, make),
      );
    });
  }
  return made!;
}

/**
 * y = activation(conv(x, filter) + bias + residual)
 *
 * @param x [N, H, W, C]
 * @param filter [R, S, C, K]
 * @returns y [N, Ho, Wo, K]
 * @throws {RangeError} for shapes that are not the geometry's, empty tensors, and images too large to bind
 * @throws {TypeError} for tensors that are not float32
 */
export function conv2dForward(
  x: TensorInfo,
  filter: TensorInfo,
  geometry: Conv2dGeometry,
  epilogue: Conv2dEpilogue = {},
  options: Conv2dOptions = {},
): TensorInfo {
  const { outHeight, outWidth, channels, outChannels, filterHeight, filterWidth } = geometry;
  const { bias, residual, slopes, activation, alpha = 0.2 } = epilogue;
  requireEpilogue(geometry, epilogue);
  requireOperands(geometry, { x, filter });
  const plan = planOf("forward", geometry, options, epilogue);
  const { variant, split } = plan;
  const columns = Math.ceil(outChannels / 4);
  const [blockRows, blockColumns] = blockOf(variant);
  const columnTiles = Math.ceil(columns / blockColumns);
  const shape = shapesOf(geometry).y;
  return withIntermediates((ownAll) => {
    const pFilter = paddedChannels(filter, ownAll);
    const [pBias, pSlopes] = [bias, slopes].map((row) => row ? paddedChannels(row, ownAll) : pFilter);
    return inParts(plan, shape, (part, own) => {
      const pixels = part.images * outHeight * outWidth;
      return {
        shader: FORWARD[variant.kind],
        constants: {
          ...variant.constants,
          ...partsOf(variant, channels),
          ...wholeOf(variant, channels),
          BIAS: bias !== undefined,
          RESIDUAL: residual !== undefined,
          PRELU: slopes !== undefined,
          ACTIVATION: activationCode(activation),
        },
        inputs: [
          paddedImages(x, part, own),
          pFilter,
          pBias,
          residual ? paddedImages(residual, part, own) : pFilter,
          pSlopes,
        ],
        uniforms: {
          pixels,
          ...extents(geometry),
          filter_height: filterHeight,
          filter_width: filterWidth,
          ...steps(geometry),
          column_tiles: columnTiles,
          ...(variant.kind === "workgroup" ? { parts: split } : {}),
          slope: { f32: alpha },
        },
        workgroups: [...foldWorkgroups(Math.ceil(pixels / blockRows) * columnTiles), split],
        flops: 2 * pixels * outChannels * filterHeight * filterWidth * channels,
      };
    });
  });
}

/** True where a 1x1 filter's tap falls into the first of several phases of the stride. */
function hasOnePhase({ filterHeight, filterWidth, strides: [down, right], pad }: Conv2dGeometry): boolean {
  const first = pad[0] % down === 0 && pad[1] % right === 0;
  return filterHeight * filterWidth === 1 && down * right > 1 && first;
}

/**
 * The gradient of the input.
 *
 * @param dy [N, Ho, Wo, K]
 * @param filter [R, S, C, K]
 * @returns dx [N, H, W, C]
 * @throws {RangeError} for shapes that are not the geometry's, empty tensors, and images too large to bind
 * @throws {TypeError} for tensors that are not float32
 */
export function conv2dBackwardInput(
  dy: TensorInfo,
  filter: TensorInfo,
  geometry: Conv2dGeometry,
  options: Conv2dOptions = {},
): TensorInfo {
  const { height, width, channels, outChannels, filterHeight, filterWidth, strides, dilations } = geometry;
  requireOperands(geometry, { filter, y: dy });
  const plan = planOf("backwardInput", geometry, options);
  const { variant, split } = plan;
  const columns = Math.ceil(channels / 4);
  const [blockRows, blockColumns] = blockOf(variant);
  const columnTiles = Math.ceil(columns / blockColumns);
  const spread = variant.kind === "subgroup" && hasOnePhase(geometry) &&
    canSpread(geometry, variant.constants.TILE_M as number);
  const phases = spread ? 1 : Math.min(strides[0], height) * Math.min(strides[1], width);
  const phaseRows = Math.ceil(height / strides[0]) * Math.ceil(width / strides[1]);
  const shape = shapesOf(geometry).x;
  return withIntermediates((ownAll) => {
    const pFilter = paddedChannels(filter, ownAll);
    return inParts(plan, shape, (part, own) => {
      return {
        shader: BACKWARD_INPUT[variant.kind],
        constants: { ...variant.constants, ...(variant.kind === "subgroup" ? { SPREAD: spread } : {}) },
        inputs: [paddedImages(dy, part, own), pFilter],
        uniforms: {
          images: part.images,
          ...extents(geometry),
          filter_height: filterHeight,
          filter_width: filterWidth,
          ...steps(geometry),
          tap_step_y: tapStep(strides[0], dilations[0]),
          tap_step_x: tapStep(strides[1], dilations[1]),
          phases_x: spread ? 1 : Math.min(strides[1], width),
          column_tiles: columnTiles,
          ...(variant.kind === "workgroup" ? { phases, parts: split } : {}),
        },
        workgroups: [
          ...foldWorkgroups(Math.ceil(part.images * phaseRows / blockRows) * columnTiles),
          phases * split,
        ],
        flops: 2 * part.images * geometry.outHeight * geometry.outWidth * outChannels *
          filterHeight * filterWidth * channels,
      };
    });
  });
}

/**
 * The gradient of the filter.
 *
 * @param x [N, H, W, C]
 * @param dy [N, Ho, Wo, K]
 * @returns df [R, S, C, K]
 * @throws {RangeError} for shapes that are not the geometry's, empty tensors, and images too large to bind
 * @throws {TypeError} for tensors that are not float32
 */
export function conv2dBackwardFilter(
  x: TensorInfo,
  dy: TensorInfo,
  geometry: Conv2dGeometry,
  options: Conv2dOptions = {},
): TensorInfo {
  const { outHeight, outWidth, channels, outChannels, filterHeight, filterWidth } = geometry;
  requireOperands(geometry, { x, y: dy });
  const { variant, parts, split } = planOf("backwardFilter", geometry, options);
  const { filter: shape } = shapesOf(geometry);
  const taps = filterHeight * filterWidth;
  const chunks = split * parts.length;
  const { columnTiles, workgroups } = filterWorkgroups(variant, geometry);
  const { LANES, BLOCK_P } = variant.constants as Record<string, number>;
  const whole = { first: 0, images: filterHeight };
  return withIntermediates((ownAll) => {
    const make = (output: Output) => {
      let made: TensorInfo | undefined;
      for (const [i, part] of parts.entries()) {
        const pixels = part.images * outHeight * outWidth;
        withIntermediates((own) =>
          [made] = run({
            shader: BACKWARD_FILTER[variant.kind],
            constants: { ...variant.constants, ...partsOf(variant, channels), ...denseOf(variant, geometry) },
            inputs: [paddedImages(x, part, own), paddedImages(dy, part, own)],
            outputs: [made ? { inPlace: made } : output],
            uniforms: {
              ...extents(geometry),
              filter_width: filterWidth,
              ...steps(geometry),
              taps,
              pixels,
              column_tiles: columnTiles,
              first_part: i * split,
              chunk_pixels: Math.ceil(pixels / split),
              ...(variant.kind === "workgroup" ? strideOf(BLOCK_P, geometry) : {}),
              ...(variant.kind === "subgroup_pixels" ? strideOf(LANES, geometry) : {}),
            },
            workgroups: [...workgroups, split],
            flops: 2 * pixels * outChannels * taps * channels,
          })
        );
      }
      return made!;
    };
    return madeImages(
      undefined,
      shape,
      whole,
      ownAll,
      (output) => summed(chunks, paddedShape(shape), output, ownAll, make),
    );
  });
}

/** Whether x and dy have the same pixels. */
function denseOf({ kind }: Conv2dVariant, g: Conv2dGeometry): Constants {
  const pointwise = g.filterHeight * g.filterWidth * g.strides[0] * g.strides[1] === 1;
  return kind === "workgroup"
    ? { DENSE: pointwise && g.outHeight === g.height && g.outWidth === g.width }
    : {};
}

/** So many pixels on, in images, rows and pixels. */
function strideOf(pixels: number, { outHeight, outWidth }: Conv2dGeometry) {
  const rows = Math.floor(pixels / outWidth);
  return {
    step_images: Math.floor(rows / outHeight),
    step_rows: rows % outHeight,
    step_pixels: pixels % outWidth,
  };
}
