/**
 * The shapes and steps of a convolution, as the kernels want them.
 *
 * @module
 */
import { backend_util } from "@tensorflow/tfjs";

/** Shapes and steps of a convolution in NHWC; any number of channels. */
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
  /** rows above and columns left of the image; those below and right follow from the output's size */
  readonly pad: readonly [number, number];
}

/** Attributes of tfjs's convolution kernels. */
export interface Conv2dAttributes {
  readonly strides: [number, number] | number;
  readonly pad: "valid" | "same" | number | backend_util.ExplicitPadding;
  readonly dilations?: [number, number] | number;
  readonly dataFormat?: "NHWC" | "NCHW";
  readonly dimRoundingMode?: "floor" | "round" | "ceil";
}

/**
 * The geometry of tfjs's convolution in NHWC.
 *
 * @param inputShape [N, H, W, C]
 * @param filterShape [R, S, C, K]
 */
export function geometryOf(
  inputShape: number[],
  filterShape: number[],
  { strides, pad, dilations = 1, dimRoundingMode }: Conv2dAttributes,
): Conv2dGeometry {
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
  return {
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
}

/** The tensors of a convolution and their shapes. */
export function shapesOf(g: Conv2dGeometry): Record<"x" | "filter" | "y", [number, number, number, number]> {
  return {
    x: [g.images, g.height, g.width, g.channels],
    filter: [g.filterHeight, g.filterWidth, g.channels, g.outChannels],
    y: [g.images, g.outHeight, g.outWidth, g.outChannels],
  };
}

/** True if one of the tensors has no element. */
export function isEmpty(g: Conv2dGeometry): boolean {
  const { x, filter, y } = shapesOf(g);
  return [...x, ...filter, ...y].some((size) => size <= 0);
}

/** Images that one dispatch takes, for each of the dispatches. */
export interface ImageRange {
  readonly first: number;
  readonly images: number;
}

/** A binding begins at a multiple of this many bytes. */
export const BINDING_ALIGNMENT = 256;

/**
 * Divides the images so that the parts of x and of y are operands that the adapter takes, at most `limit` bytes each
 * (128 MiB on lavapipe).
 *
 * @throws {RangeError} if one image, or the few that begin at a multiple of 256 bytes, are too large
 */
export function divideImages(g: Conv2dGeometry, limit: number): ImageRange[] {
  const bytesX = 4 * g.height * g.width * 4 * Math.ceil(g.channels / 4);
  const bytesY = 4 * g.outHeight * g.outWidth * 4 * Math.ceil(g.outChannels / 4);
  const fitting = Math.floor(limit / Math.max(bytesX, bytesY));
  if (g.images <= fitting) return [{ first: 0, images: g.images }];
  // What is copied to be padded may begin anywhere.
  const bound = [g.channels % 4 === 0 ? bytesX : 0, g.outChannels % 4 === 0 ? bytesY : 0];
  let aligned = 1;
  while (bound.some((bytes) => (aligned * bytes) % BINDING_ALIGNMENT !== 0)) aligned *= 2;
  const images = fitting - fitting % aligned;
  if (images === 0) {
    throw new RangeError(
      `Cannot run conv2d: ${aligned} images of x and y take ${
        aligned * Math.max(bytesX, bytesY)
      } bytes; expected at ` +
        `most the ${limit} bytes of an operand on this adapter`,
    );
  }
  return Array.from({ length: Math.ceil(g.images / images) }, (_, i) => ({
    first: i * images,
    images: Math.min(images, g.images - i * images),
  }));
}
