/**
 * The operands of a convolution: their shapes checked, their parts bound, their sizes as uniforms.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import type { Activation } from "../matmul/activation.ts";
import { type Conv2dGeometry, isEmpty, shapesOf } from "./conv2d_geometry.ts";

/** What is done to the sums before they are written. */
export interface Conv2dEpilogue {
  /** [K] */
  readonly bias?: TensorInfo;
  /** [N, Ho, Wo, K], added before the activation */
  readonly residual?: TensorInfo;
  /** `linear` by default */
  readonly activation?: Activation;
  /** the factor of `leakyrelu` below 0; 0.2 */
  readonly alpha?: number;
  /** [K], the factors of `prelu` below 0 */
  readonly slopes?: TensorInfo;
}

function requireShape(name: string, { shape, dtype }: TensorInfo, wanted: readonly number[]): void {
  if (shape.length !== wanted.length || shape.some((size, i) => size !== wanted[i])) {
    throw new RangeError(`Cannot run conv2d: ${name} has shape [${shape}]; expected [${wanted}]`);
  }
  if (dtype !== "float32") throw new TypeError(`Cannot run conv2d: ${name} is ${dtype}; expected float32`);
}

/** @throws {RangeError} for empty tensors, other shapes, padding below 0; {TypeError} unless they are float32 */
export function requireOperands(
  geometry: Conv2dGeometry,
  operands: Partial<Record<"x" | "filter" | "y", TensorInfo>>,
): void {
  const shapes = shapesOf(geometry);
  if (isEmpty(geometry)) {
    throw new RangeError(
      `Cannot run conv2d: x [${shapes.x}], filter [${shapes.filter}], y [${shapes.y}]; expected no empty dimension`,
    );
  }
  if (geometry.pad.some((pad) => pad < 0)) {
    throw new RangeError(`Cannot run conv2d: padding is [${geometry.pad}]; expected 0 or more`);
  }
  for (const [name, tensor] of Object.entries(operands)) {
    requireShape(name, tensor, shapes[name as keyof typeof shapes]);
  }
}

/** @throws {RangeError} for other shapes, and slopes without prelu; {TypeError} unless they are float32 */
export function requireEpilogue(
  geometry: Conv2dGeometry,
  { bias, residual, slopes, activation }: Conv2dEpilogue,
): void {
  if (bias) requireShape("bias", bias, [geometry.outChannels]);
  if (residual) requireShape("residual", residual, shapesOf(geometry).y);
  if (slopes) requireShape("slopes", slopes, [geometry.outChannels]);
  if ((activation === "prelu") !== (slopes !== undefined)) {
    throw new RangeError(
      `Cannot run conv2d: activation ${activation}; expected slopes with prelu, and only there`,
    );
  }
}

/** Uniforms that all shaders begin with; they read channels four at a time. */
export function extents(g: Conv2dGeometry) {
  return {
    height: g.height,
    width: g.width,
    channels: Math.ceil(g.channels / 4),
    filter_channels: g.channels,
    out_height: g.outHeight,
    out_width: g.outWidth,
    out_channels: Math.ceil(g.outChannels / 4),
  };
}

/** Uniforms of how the filter moves. */
export function steps({ strides, dilations, pad }: Conv2dGeometry) {
  return {
    stride_y: strides[0],
    stride_x: strides[1],
    dilation_y: dilations[0],
    dilation_x: dilations[1],
    pad_y: pad[0],
    pad_x: pad[1],
  };
}
