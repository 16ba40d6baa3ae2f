/**
 * Convolution in NHWC: forward, gradient of the input, gradient of the filter.
 *
 * @module
 */
import { backend_util, type TensorInfo } from "@tensorflow/tfjs";
import { release, run, WINDOW_BYTES } from "../runtime/program.ts";
import type { KernelAttributes, Replacement } from "../runtime/registry.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import backwardFilterSource from "./conv2d_bwd_filter.wgsl" with { type: "text" };
import backwardInputSource from "./conv2d_bwd_input.wgsl" with { type: "text" };
import forwardSource from "./conv2d_fwd.wgsl" with { type: "text" };
import transposeSource from "./transpose.wgsl" with { type: "text" };

const FORWARD: ShaderFile = { file: "conv2d/conv2d_fwd.wgsl", source: forwardSource };
const BACKWARD_INPUT: ShaderFile = { file: "conv2d/conv2d_bwd_input.wgsl", source: backwardInputSource };
const BACKWARD_FILTER: ShaderFile = { file: "conv2d/conv2d_bwd_filter.wgsl", source: backwardFilterSource };
const TRANSPOSE: ShaderFile = { file: "conv2d/transpose.wgsl", source: transposeSource };

/** Invocations of a workgroup: the lanes of a software adapter's vector. */
const LANES = 8;

/** Shapes and steps of a convolution; C and K are multiples of 4. */
export interface Conv2dGeometry {
  /** N */
  readonly images: number;
  /** H, W, C of x */
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** R, S of the filter */
  readonly filterHeight: number;
  readonly filterWidth: number;
  /** Ho, Wo, K of y */
  readonly outHeight: number;
  readonly outWidth: number;
  readonly outChannels: number;
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** rows above and columns left of the image */
  readonly pad: readonly [number, number];
}

/** Register tile: rows per invocation, and vec4s of columns. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
}

/** True if the kernels take these channel counts; others go to the stock op. */
export function takesChannels({ channels, outChannels }: Conv2dGeometry): boolean {
  // A row of a window's vec4s must fit: 4 input channels times K outputs.
  const fits = (columns: number) => columns % 4 === 0 && columns > 0 && 16 * columns <= WINDOW_BYTES;
  return fits(channels) && fits(outChannels);
}

/** The faster of the two tiles of 256 sums on lavapipe: tall where rows fill the lanes, wide where they don't. */
export function chooseTile(rows: number, columns: number): Tile {
  if (columns >= 32 && rows < 16 * LANES * 16) return { rows: 8, columns: 8 };
  return { rows: 16, columns: 4 };
}

/** For the filter's gradient: wide where there are too few input channels to fill the lanes. */
export function chooseFilterTile({ channels, outChannels, filterHeight, filterWidth }: Conv2dGeometry): Tile {
  const tiles = filterHeight * filterWidth * Math.ceil(channels / 16);
  if (tiles >= LANES || outChannels < 32) {
    return tiles >= LANES ? { rows: 4, columns: 4 } : { rows: 2, columns: 4 };
  }
  return { rows: 2, columns: 8 };
}

function shared({ height, width, outHeight, outWidth, channels, outChannels }: Conv2dGeometry) {
  return {
    height,
    width,
    channels: channels / 4,
    out_height: outHeight,
    out_width: outWidth,
    out_channels: outChannels / 4,
  };
}

function steps({ strides, dilations, pad }: Conv2dGeometry) {
  return {
    stride_y: strides[0],
    stride_x: strides[1],
    dilation_y: dilations[0],
    dilation_x: dilations[1],
    pad_y: pad[0],
    pad_x: pad[1],
  };
}

/** Parts of a [taps, rows, columns] filter that fit a window each: whole taps, or some rows of one. */
function* filterWindows(taps: number, rows: number, columns: number) {
  const tapBytes = rows * columns * 4;
  const tapsEach = Math.max(1, Math.floor(WINDOW_BYTES / tapBytes));
  const rowsEach = tapBytes <= WINDOW_BYTES ? rows : 4 * Math.floor(WINDOW_BYTES / (16 * columns));
  for (let tap = 0; tap < taps; tap += tapsEach) {
    for (let row = 0; row < rows; row += rowsEach) {
      const lastTap = Math.min(taps, tap + tapsEach);
      const lastRow = Math.min(rows, row + rowsEach);
      const size = ((lastTap - tap - 1) * rows + lastRow - row) * columns * 4;
      yield { tap, lastTap, row, lastRow, offset: (tap * rows + row) * columns * 4, size };
    }
  }
}

/** x [N, H, W, C], filter [R, S, C, K] -> y [N, Ho, Wo, K] */
export function conv2dForward(
  x: TensorInfo,
  filter: TensorInfo,
  geometry: Conv2dGeometry,
  tile: Tile = chooseTile(geometry.images * geometry.outHeight * geometry.outWidth, geometry.outChannels),
): TensorInfo {
  const { images, outHeight, outWidth, outChannels, channels, filterHeight, filterWidth } = geometry;
  const pixels = images * outHeight * outWidth;
  let y: TensorInfo | undefined;
  for (const window of filterWindows(filterHeight * filterWidth, channels, outChannels)) {
    [y] = run({
      shader: FORWARD,
      constants: { TILE_M: tile.rows, TILE_N: tile.columns },
      inputs: [x, { tensor: filter, as: "uniform", offset: window.offset, size: window.size }],
      outputs: [y ? { inPlace: y } : { shape: [images, outHeight, outWidth, outChannels] }],
      uniforms: {
        pixels,
        ...shared(geometry),
        filter_width: filterWidth,
        ...steps(geometry),
        first_tap: window.tap,
        last_tap: window.lastTap,
        first_channel: window.row / 4,
        last_channel: window.lastRow / 4,
        add: y ? 1 : 0,
      },
      workgroups: [Math.ceil(pixels / (tile.rows * LANES)), Math.ceil(outChannels / (4 * tile.columns))],
      flops: 2 * pixels * outChannels * (window.lastTap - window.tap) * (window.lastRow - window.row),
    });
  }
  return y!;
}

/** dy [N, Ho, Wo, K], filter [R, S, C, K] -> dx [N, H, W, C] */
export function conv2dBackwardInput(
  dy: TensorInfo,
  filter: TensorInfo,
  geometry: Conv2dGeometry,
  tile: Tile = chooseTile(geometry.images * geometry.height * geometry.width, geometry.channels),
): TensorInfo {
  const { images, height, width, channels, outChannels, filterHeight, filterWidth, strides } = geometry;
  const taps = filterHeight * filterWidth;
  const blocks = taps * (channels / 4) * (outChannels / 4);
  const [turned] = run({
    shader: TRANSPOSE,
    inputs: [filter],
    outputs: [{ shape: [filterHeight, filterWidth, outChannels, channels] }],
    uniforms: { blocks, channels: channels / 4, out_channels: outChannels / 4 },
    workgroups: [Math.ceil(blocks / LANES)],
  });
  const phasePixels = images * Math.ceil(height / strides[0]) * Math.ceil(width / strides[1]);
  let dx: TensorInfo | undefined;
  for (const window of filterWindows(taps, outChannels, channels)) {
    [dx] = run({
      shader: BACKWARD_INPUT,
      constants: { TILE_M: tile.rows, TILE_N: tile.columns },
      inputs: [dy, { tensor: turned, as: "uniform", offset: window.offset, size: window.size }],
      outputs: [dx ? { inPlace: dx } : { shape: [images, height, width, channels] }],
      uniforms: {
        images,
        ...shared(geometry),
        filter_width: filterWidth,
        ...steps(geometry),
        first_tap: window.tap,
        last_tap: window.lastTap,
        first_channel: window.row / 4,
        last_channel: window.lastRow / 4,
        add: dx ? 1 : 0,
      },
      workgroups: [
        Math.ceil(phasePixels / (tile.rows * LANES)),
        Math.ceil(channels / (4 * tile.columns)),
        strides[0] * strides[1],
      ],
      flops: 2 * images * geometry.outHeight * geometry.outWidth * channels *
        (window.lastTap - window.tap) * (window.lastRow - window.row),
    });
  }
  release(turned);
  return dx!;
}

/** x [N, H, W, C], dy [N, Ho, Wo, K] -> df [R, S, C, K] */
export function conv2dBackwardFilter(
  x: TensorInfo,
  dy: TensorInfo,
  geometry: Conv2dGeometry,
  tile: Tile = chooseFilterTile(geometry),
): TensorInfo {
  const { images, outHeight, outWidth, channels, outChannels, filterHeight, filterWidth } = geometry;
  const pixels = images * outHeight * outWidth;
  const taps = filterHeight * filterWidth;
  const pixelsEach = Math.floor(WINDOW_BYTES / (4 * outChannels));
  let df: TensorInfo | undefined;
  for (let first = 0; first < pixels; first += pixelsEach) {
    const last = Math.min(pixels, first + pixelsEach);
    const window = { offset: first * outChannels * 4, size: (last - first) * outChannels * 4 };
    [df] = run({
      shader: BACKWARD_FILTER,
      constants: { TILE_C: tile.rows, TILE_K: tile.columns },
      inputs: [x, { tensor: dy, as: "uniform", ...window }],
      outputs: [df ? { inPlace: df } : { shape: [filterHeight, filterWidth, channels, outChannels] }],
      uniforms: {
        ...shared(geometry),
        filter_width: filterWidth,
        taps,
        ...steps(geometry),
        first_pixel: first,
        last_pixel: last,
        add: df ? 1 : 0,
      },
      workgroups: [
        Math.ceil(taps * Math.ceil(channels / (4 * tile.rows)) / LANES),
        Math.ceil(outChannels / (4 * tile.columns)),
      ],
      flops: 2 * (last - first) * outChannels * taps * channels,
    });
  }
  return df!;
}

/** The geometry of a convolution; undefined for what the kernels do not take. */
function geometryOf(
  inputShape: number[],
  filterShape: number[],
  attrs: KernelAttributes,
  ...operands: TensorInfo[]
): Conv2dGeometry | undefined {
  const { strides, pad, dilations = 1, dataFormat = "NHWC", dimRoundingMode } = attrs as {
    strides: [number, number] | number;
    pad: "valid" | "same" | number;
    dilations?: [number, number] | number;
    dataFormat?: "NHWC" | "NCHW";
    dimRoundingMode?: "floor" | "round" | "ceil";
  };
  if (dataFormat !== "NHWC" || operands.some(({ dtype }) => dtype !== "float32")) return undefined;
  const info = backend_util.computeConv2DInfo(
    inputShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    strides,
    dilations,
    pad,
    dimRoundingMode,
    false,
    "channelsLast",
  );
  const geometry: Conv2dGeometry = {
    images: info.batchSize,
    height: info.inHeight,
    width: info.inWidth,
    channels: info.inChannels,
    filterHeight: info.filterHeight,
    filterWidth: info.filterWidth,
    outHeight: info.outHeight,
    outWidth: info.outWidth,
    outChannels: info.outChannels,
    strides: [info.strideHeight, info.strideWidth],
    dilations: [info.dilationHeight, info.dilationWidth],
    pad: [info.padInfo.top, info.padInfo.left],
  };
  const empty = geometry.images === 0 || geometry.outHeight <= 0 || geometry.outWidth <= 0;
  return !empty && filterShape[2] === geometry.channels && takesChannels(geometry) ? geometry : undefined;
}

/** Convolution in place of tfjs's. */
export const CONV2D_REPLACEMENTS: readonly Replacement[] = [
  {
    name: "Conv2D",
    run({ x, filter }, attrs) {
      const geometry = geometryOf(x.shape, filter.shape, attrs, x, filter);
      return geometry && conv2dForward(x, filter, geometry);
    },
  },
  {
    name: "Conv2DBackpropInput",
    run({ dy, filter }, attrs) {
      const geometry = geometryOf(attrs.inputShape as number[], filter.shape, attrs, dy, filter);
      return geometry && conv2dBackwardInput(dy, filter, geometry);
    },
  },
  {
    name: "Conv2DBackpropFilter",
    run({ x, dy }, attrs) {
      const geometry = geometryOf(x.shape, attrs.filterShape as number[], attrs, x, dy);
      return geometry && conv2dBackwardFilter(x, dy, geometry);
    },
  },
];
