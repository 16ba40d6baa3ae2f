/**
 * The kernels, and `register()`, which puts them into tfjs in place of its own.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-webgpu"; // registers the kernels that are replaced
import type { TensorInfo } from "@tensorflow/tfjs";
import {
  conv2dBackwardFilter,
  conv2dBackwardInput,
  conv2dForward,
  type Conv2dGeometry,
  takesChannels,
} from "./conv2d/conv2d.ts";

export {
  batchNorm,
  batchNormInference,
  type BatchNormSettings,
  type BatchNormTensors,
} from "./batch_norm/batch_norm.ts";
export { conv2dBackwardFilter, conv2dBackwardInput, conv2dForward } from "./conv2d/conv2d.ts";
export { sgdUpdate } from "./sgd/sgd.ts";

import { registerBatchNorm } from "./batch_norm/batch_norm.ts";

type KernelFunc = tf.KernelFunc;

/** Kernels that are replaced. */
const REPLACED = ["Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"] as const;

const stock = new Map<string, KernelFunc>();
let ownRegistered = false;

/** tfjs's own kernel of that name, for benches and tests side by side. */
export function stockKernel(name: (typeof REPLACED)[number]): KernelFunc {
  const kernel = stock.get(name) ?? tf.getKernel(name, "webgpu")?.kernelFunc;
  if (kernel === undefined) throw new Error(`Cannot find kernel ${name} of backend webgpu: tfjs has none`);
  return kernel;
}

/** Puts our kernels into tfjs under backend "webgpu"; a second call does nothing. */
export function register(): void {
  if (stock.size > 0) return;
  for (const name of REPLACED) stock.set(name, stockKernel(name));
  if (!ownRegistered) registerBatchNorm();
  ownRegistered = true;
  replace("Conv2D", ({ x, filter }, attrs) => {
    const geometry = geometryOf(x.shape, filter.shape, attrs, x, filter);
    return geometry && conv2dForward(x, filter, geometry);
  });
  replace("Conv2DBackpropInput", ({ dy, filter }, attrs) => {
    const geometry = geometryOf(attrs.inputShape as number[], filter.shape, attrs, dy, filter);
    return geometry && conv2dBackwardInput(dy, filter, geometry);
  });
  replace("Conv2DBackpropFilter", ({ x, dy }, attrs) => {
    const geometry = geometryOf(x.shape, attrs.filterShape as number[], attrs, x, dy);
    return geometry && conv2dBackwardFilter(x, dy, geometry);
  });
}

/** Takes tfjs's own kernels back; for tests and benches. */
export function unregister(): void {
  for (const [kernelName, kernelFunc] of stock) {
    tf.unregisterKernel(kernelName, "webgpu");
    tf.registerKernel({ kernelName, backendName: "webgpu", kernelFunc });
  }
  stock.clear();
}

type Inputs = Record<string, TensorInfo>;
type Attributes = Record<string, unknown>;

/** The one place that falls back to tfjs: `ours` returns undefined for what it does not take. */
function replace(
  name: (typeof REPLACED)[number],
  ours: (inputs: Inputs, attrs: Attributes) => TensorInfo | undefined,
): void {
  const fallback = stockKernel(name);
  tf.unregisterKernel(name, "webgpu");
  tf.registerKernel({
    kernelName: name,
    backendName: "webgpu",
    kernelFunc: (args) =>
      ours(args.inputs as unknown as Inputs, args.attrs as unknown as Attributes) ?? fallback(args),
  });
}

/** The geometry of a convolution; undefined for what the kernels do not take. */
function geometryOf(
  inputShape: number[],
  filterShape: number[],
  attrs: Attributes,
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
  const info = tf.backend_util.computeConv2DInfo(
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
