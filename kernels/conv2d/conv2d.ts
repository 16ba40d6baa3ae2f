/**
 * Convolution in NHWC: forward with its epilogue, gradient of the input, gradient of the filter.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { activationCode } from "../matmul/activation.ts";
import { backendInternals, currentTraits, foldWorkgroups, release, run } from "../runtime/program.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { mostOperandBytes } from "../runtime/textures.ts";
import { variantFor } from "../runtime/tuner.ts";
import type { Constants } from "../runtime/wgsl.ts";
import { type Conv2dGeometry, divideImages } from "./conv2d_geometry.ts";
import {
  type Conv2dEpilogue,
  extents,
  outputPart,
  requireEpilogue,
  requireOperands,
  steps,
  windowOf,
} from "./conv2d_operands.ts";
import { BACKWARD_FILTER, BACKWARD_INPUT, FORWARD, SUM_PARTS } from "./conv2d_shaders.ts";
import {
  CONV2D_OPS,
  type Conv2dPass,
  type Conv2dVariant,
  defaultVariant,
  sizesOf,
} from "./conv2d_variants.ts";
import { cutChannels, withPaddedChannels } from "./pad_channels.ts";

export type { Conv2dGeometry } from "./conv2d_geometry.ts";
export type { Conv2dEpilogue } from "./conv2d_operands.ts";
export { candidates, type Conv2dPass, type Conv2dVariant, defaultVariant } from "./conv2d_variants.ts";

/** Settings for tests and benches; by default the adapter decides. */
export interface Conv2dOptions {
  readonly variant?: Conv2dVariant;
  /** bytes of a buffer that are bound at once */
  readonly bindingBytes?: number;
}

function settings(pass: Conv2dPass, geometry: Conv2dGeometry, options: Conv2dOptions) {
  const { device } = backendInternals();
  const shipped = () => defaultVariant(pass, geometry, currentTraits());
  return {
    variant: options.variant ?? variantFor(CONV2D_OPS[pass], sizesOf(geometry), shipped),
    parts: divideImages(geometry, options.bindingBytes ?? mostOperandBytes(device)),
  };
}

/** Ranges of the sum that are made apart where one dispatch makes all images: what adds them knows no epilogue. */
function splitOf(
  { split = 1 }: Conv2dVariant,
  parts: readonly unknown[],
  epilogue: Conv2dEpilogue = {},
): number {
  const { bias, residual, activation = "linear" } = epilogue;
  return parts.length === 1 && !bias && !residual && activation === "linear" ? split : 1;
}

/** The three channels of an image are not multiplied as four. */
function partsOf({ kind }: Conv2dVariant, channels: number): Constants {
  return kind === "subgroup" && channels < 4 ? { PARTS: channels } : {};
}

/** Rows of the filter that lie one after the other as x's channels do. */
function wholeOf({ kind }: Conv2dVariant, channels: number): Constants {
  return kind === "workgroup" ? { WHOLE: channels % 4 === 0 } : {};
}

/** Rows and vec4s of columns that one workgroup computes. */
function blockOf({ kind, constants }: Conv2dVariant): [number, number] {
  const { TILE_M, TILE_N, BLOCK_M, BLOCK_N, LANES } = constants as Record<string, number>;
  return kind === "workgroup" ? [BLOCK_M, BLOCK_N] : [TILE_M * LANES, TILE_N];
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
  const { variant, parts } = settings("forward", geometry, options);
  const columns = Math.ceil(outChannels / 4);
  const [blockRows, blockColumns] = blockOf(variant);
  const columnTiles = Math.ceil(columns / blockColumns);
  const split = splitOf(variant, parts, epilogue);
  const shape = [geometry.images, outHeight, outWidth, 4 * columns];
  const y = withPaddedChannels([x, filter, bias, residual, slopes], (padded) => {
    const [px, pFilter] = padded as TensorInfo[];
    const [, , pBias = pFilter, pResidual, pSlopes = pFilter] = padded;
    let made: TensorInfo | undefined;
    for (const part of parts) {
      const pixels = part.images * outHeight * outWidth;
      [made] = run({
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
          { tensor: px, ...windowOf(px, part) },
          pFilter,
          pBias,
          pResidual ? { tensor: pResidual, ...windowOf(pResidual, part) } : pFilter,
          pSlopes,
        ],
        outputs: [split > 1 ? { shape: [split, ...shape] } : outputPart(made, shape, part)],
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
      });
    }
    return split > 1 ? sumParts(made!, shape) : made!;
  });
  return cutChannels(y, outChannels);
}

/** Taps r with r dilation in the same class modulo the stride are so many apart. */
function tapStep(stride: number, dilation: number): number {
  let step = 1;
  while ((step * dilation) % stride !== 0) step++;
  return step;
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
  const { variant, parts } = settings("backwardInput", geometry, options);
  const columns = Math.ceil(channels / 4);
  const [blockRows, blockColumns] = blockOf(variant);
  const columnTiles = Math.ceil(columns / blockColumns);
  const spread = variant.kind === "subgroup" && hasOnePhase(geometry);
  const phases = spread ? 1 : Math.min(strides[0], height) * Math.min(strides[1], width);
  const split = splitOf(variant, parts);
  const phaseRows = Math.ceil(height / strides[0]) * Math.ceil(width / strides[1]);
  const dx = withPaddedChannels([dy, filter], (padded) => {
    const [pDy, pFilter] = padded as TensorInfo[];
    const shape = [geometry.images, height, width, 4 * columns];
    let made: TensorInfo | undefined;
    for (const part of parts) {
      [made] = run({
        shader: BACKWARD_INPUT[variant.kind],
        constants: { ...variant.constants, ...(variant.kind === "subgroup" ? { SPREAD: spread } : {}) },
        inputs: [{ tensor: pDy, ...windowOf(pDy, part) }, pFilter],
        outputs: [split > 1 ? { shape: [split, ...shape] } : outputPart(made, shape, part)],
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
      });
    }
    return split > 1 ? sumParts(made!, shape) : made!;
  });
  return cutChannels(dx, channels);
}

/** Workgroups of dFilter for one chunk of pixels. */
function filterWorkgroups({ kind, constants }: Conv2dVariant, g: Conv2dGeometry) {
  const { TILE_C, TILE_K, BLOCK_C, BLOCK_K, LANES } = constants as Record<string, number>;
  const taps = g.filterHeight * g.filterWidth;
  const channels = Math.ceil(g.channels / 4);
  const columnTiles = Math.ceil(g.outChannels / (4 * (kind === "workgroup" ? BLOCK_K : TILE_K)));
  const tiles = taps * Math.ceil(channels / TILE_C);
  const rowTiles = {
    subgroup: Math.ceil(tiles / LANES),
    subgroup_pixels: tiles,
    workgroup: Math.ceil(taps * channels / BLOCK_C),
  };
  return { columnTiles, workgroups: foldWorkgroups(rowTiles[kind] * columnTiles) };
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
  const { variant, parts } = settings("backwardFilter", geometry, options);
  const shape = [filterHeight, filterWidth, channels, 4 * Math.ceil(outChannels / 4)];
  const taps = filterHeight * filterWidth;
  const chunksEach = variant.kind === "workgroup" ? variant.split ?? 1 : 1;
  const chunks = chunksEach * parts.length;
  const { columnTiles, workgroups } = filterWorkgroups(variant, geometry);
  const { LANES, BLOCK_P } = variant.constants as Record<string, number>;
  const df = withPaddedChannels([x, dy], (padded) => {
    const [px, pDy] = padded as TensorInfo[];
    let made: TensorInfo | undefined;
    for (const [i, part] of parts.entries()) {
      const pixels = part.images * outHeight * outWidth;
      [made] = run({
        shader: BACKWARD_FILTER[variant.kind],
        constants: { ...variant.constants, ...partsOf(variant, channels), ...denseOf(variant, geometry) },
        inputs: [{ tensor: px, ...windowOf(px, part) }, { tensor: pDy, ...windowOf(pDy, part) }],
        outputs: [made ? { inPlace: made } : { shape: chunks === 1 ? shape : [chunks, ...shape] }],
        uniforms: {
          ...extents(geometry),
          filter_width: filterWidth,
          ...steps(geometry),
          taps,
          pixels,
          column_tiles: columnTiles,
          first_part: i * chunksEach,
          ...(variant.kind === "workgroup"
            ? { chunk_pixels: Math.ceil(pixels / chunksEach), ...strideOf(BLOCK_P, geometry) }
            : {}),
          ...(variant.kind === "subgroup_pixels" ? strideOf(LANES, geometry) : {}),
        },
        workgroups: [...workgroups, chunksEach],
        flops: 2 * pixels * outChannels * taps * channels,
      });
    }
    return chunks === 1 ? made! : sumParts(made!, shape);
  });
  return cutChannels(df, outChannels);
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

/** Parts, elements of a workgroup, and invocations that share an element's parts, the most parts first. */
const SUM_TILES = [[32, 16, 16], [8, 32, 4], [0, 64, 1]] as const;

/** parts [P, ..shape] -> their sum, in order; the parts are given back. */
function sumParts(parts: TensorInfo, shape: number[]): TensorInfo {
  const length = sizeOf(shape) / 4;
  const [, GROUP, LANES] = SUM_TILES.find(([least]) => parts.shape[0] >= least)!;
  const [sum] = run({
    shader: SUM_PARTS,
    constants: { GROUP, LANES },
    inputs: [parts],
    outputs: [{ shape }],
    uniforms: { parts: parts.shape[0], length },
    workgroups: foldWorkgroups(Math.ceil(length / GROUP)),
  });
  release(parts);
  return sum;
}
