/**
 * Max pooling in NHWC, with PyTorch's and Caffe's ceil mode: one dispatch forward, one backward.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { currentTraits, foldWorkgroups, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import { ITERATION_LIMIT } from "../runtime/rows.ts";
import backwardSource from "./max_pool_bwd.wgsl" with { type: "text" };
import forwardSource from "./max_pool_fwd.wgsl" with { type: "text" };

const FORWARD = elementShader({ file: "pool/max_pool_fwd.wgsl", source: forwardSource });
const BACKWARD = elementShader({ file: "pool/max_pool_bwd.wgsl", source: backwardSource });

/** Invocations of a workgroup, unless told otherwise. */
const LANES = 64;
const FORWARD_KERNEL = "FervidMaxPool";
const GRADIENT_KERNEL = "FervidMaxPoolGrad";
/** Whole numbers that float32 holds exactly: positions in an image. */
const MAX_POSITIONS = 2 ** 24;

/** Windows and how they move; a number counts for rows and columns. */
export interface MaxPoolOptions {
  readonly size: number | readonly [number, number];
  readonly strides: number | readonly [number, number];
  /** rows above and below, columns left and right, that no maximum is taken from; 0 by default */
  readonly pad?: number | readonly [number, number];
  /** keeps a last window that is cut by the edge; false by default */
  readonly ceilMode?: boolean;
}

/** Shapes and steps of a max pooling; [rows, columns]. */
export interface MaxPoolGeometry {
  /** N, C */
  readonly images: number;
  readonly channels: number;
  /** H, W */
  readonly input: readonly [number, number];
  /** Ho, Wo */
  readonly output: readonly [number, number];
  readonly size: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly pad: readonly [number, number];
}

function pair(value: number | readonly [number, number]): readonly [number, number] {
  return typeof value === "number" ? [value, value] : value;
}

function refusal(given: string, wanted: string): RangeError {
  return new RangeError(`Cannot run maxPool: ${given}; expected ${wanted}`);
}

/** Windows along an axis; in ceil mode the last one must begin inside the image or the padding before it. */
function windows(length: number, size: number, stride: number, pad: number, ceilMode: boolean): number {
  const count = Math.floor((length + 2 * pad - size + (ceilMode ? stride - 1 : 0)) / stride) + 1;
  return ceilMode && (count - 1) * stride >= length + pad ? count - 1 : count;
}

/**
 * The geometry of a max pooling.
 *
 * @param shape [N, H, W, C]
 * @throws {RangeError} for empty images, and windows that do not fit
 */
export function maxPoolGeometry(shape: readonly number[], options: MaxPoolOptions): MaxPoolGeometry {
  const refuse = (given: string, wanted: string): never => {
    throw refusal(given, wanted);
  };
  if (shape.length !== 4 || shape.some((n) => n < 1)) {
    refuse(`x has shape [${shape}]`, "[N, H, W, C] with no empty dimension");
  }
  const [images, height, width, channels] = shape;
  const [size, strides, pad] = [options.size, options.strides, options.pad ?? 0].map(pair);
  const whole = (values: readonly number[], least: number) =>
    values.every((value) => Number.isInteger(value) && value >= least);
  if (!whole(size, 1) || !whole(strides, 1)) {
    refuse(`size is [${size}] and strides [${strides}]`, "whole numbers above 0");
  }
  if (!whole(pad, 0) || pad.some((value, axis) => value >= size[axis])) {
    refuse(`pad is [${pad}]`, `whole numbers below the size [${size}]`);
  }
  if (height * width > MAX_POSITIONS) {
    refuse(`an image has ${height}x${width} pixels`, `at most ${MAX_POSITIONS}`);
  }
  const along = (axis: 0 | 1) =>
    windows([height, width][axis], size[axis], strides[axis], pad[axis], options.ceilMode ?? false);
  const output = [along(0), along(1)] as const;
  if (output.some((count) => count < 1)) {
    refuse(
      `the window of [${size}] is larger than the image of [${height},${width}]`,
      options.ceilMode ? "a smaller one" : "a smaller one, or ceilMode",
    );
  }
  return { images, channels, input: [height, width], output, size, strides, pad };
}

/** That an invocation can loop over a window; backward it looks at no more windows than one has pixels. */
function requireLoops({ size }: MaxPoolGeometry): void {
  if (!currentTraits().software || size[0] * (size[1] + 2) <= ITERATION_LIMIT) return;
  throw refusal(
    `the window is [${size}]`,
    `rows times columns + 2 of at most ${ITERATION_LIMIT} on a software adapter`,
  );
}

function uniformsOf({ input, output, size, strides, pad }: MaxPoolGeometry) {
  return {
    height: input[0],
    width: input[1],
    out_height: output[0],
    out_width: output[1],
    size_y: size[0],
    size_x: size[1],
    stride_y: strides[0],
    stride_x: strides[1],
    pad_y: pad[0],
    pad_x: pad[1],
  };
}

/** x [N, H, W, C] -> y [N, Ho, Wo, C], and the positions h W + w of the maxima, as floats */
export function maxPoolForward(
  x: TensorInfo,
  geometry: MaxPoolGeometry,
  lanes: number = LANES,
): TensorInfo[] {
  const { images, channels, output } = geometry;
  const { shader, width } = FORWARD.forRow(channels);
  const shape = [images, ...output, channels];
  const count = images * output[0] * output[1] * channels / width;
  return run({
    shader,
    constants: { LANES: lanes },
    inputs: [x],
    outputs: [{ shape }, { shape }],
    uniforms: { count, channels: channels / width, ...uniformsOf(geometry) },
    workgroups: foldWorkgroups(Math.ceil(count / lanes)),
  });
}

/** dy, positions [N, Ho, Wo, C] -> dx [N, H, W, C] */
export function maxPoolBackward(
  dy: TensorInfo,
  positions: TensorInfo,
  geometry: MaxPoolGeometry,
  lanes: number = LANES,
): TensorInfo {
  const { images, channels, input } = geometry;
  const { shader, width } = BACKWARD.forRow(channels);
  const count = images * input[0] * input[1] * channels / width;
  const [dx] = run({
    shader,
    constants: { LANES: lanes },
    inputs: [dy, positions],
    outputs: [{ shape: [images, ...input, channels] }],
    uniforms: { count, channels: channels / width, ...uniformsOf(geometry) },
    workgroups: foldWorkgroups(Math.ceil(count / lanes)),
  });
  return dx;
}

interface Attributes {
  readonly geometry: MaxPoolGeometry;
}

/** The kernels with their gradient, for tfjs's registry. */
export const MAX_POOL_KERNELS: readonly NewKernel[] = [
  {
    name: FORWARD_KERNEL,
    run: ({ x }, attributes) => maxPoolForward(x, (attributes as unknown as Attributes).geometry),
    gradient: {
      outputsToSave: [false, true],
      gradFunc(dys, [positions], attributes) {
        const dy = (dys as tf.Tensor[])[0];
        const { geometry } = attributes as unknown as Attributes;
        return {
          x: () =>
            tf.engine().runKernel(
              GRADIENT_KERNEL,
              { dy, positions } as unknown as tf.NamedTensorMap,
              { geometry } as unknown as tf.NamedAttrMap,
            ) as tf.Tensor,
        };
      },
    },
  },
  {
    name: GRADIENT_KERNEL,
    run: ({ dy, positions }, attributes) =>
      maxPoolBackward(dy, positions, (attributes as unknown as Attributes).geometry),
  },
];

/**
 * The maximum over windows of rows and columns. NaN counts as the greatest value. The gradient goes to the first of
 * equal maxima, in row-major order (PyTorch's rule).
 *
 * @param x float32 [N, H, W, C]
 * @returns [N, Ho, Wo, C] with Ho = floor((H + 2 pad - size) / stride) + 1, in ceil mode rounded up, where a last
 * window that would begin behind the image is left out
 * @throws {RangeError} for empty images, windows that do not fit, and ones that are too large for a software adapter
 * @throws {TypeError} for other types than float32
 */
export function maxPool(x: tf.Tensor4D, options: MaxPoolOptions): tf.Tensor4D {
  if (x.dtype !== "float32") throw new TypeError(`Cannot run maxPool: x is ${x.dtype}; expected float32`);
  const geometry = maxPoolGeometry(x.shape, options);
  requireLoops(geometry);
  const [y, positions] = tf.engine().runKernel(
    FORWARD_KERNEL,
    { x },
    { geometry } as unknown as tf.NamedAttrMap,
  ) as unknown as tf.Tensor4D[];
  positions.dispose(); // the tape has its own reference
  return y;
}
