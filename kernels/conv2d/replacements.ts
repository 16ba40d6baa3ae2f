/**
 * Convolution in place of tfjs's `Conv2D`, `FusedConv2D`, `Conv2DBackpropInput` and `Conv2DBackpropFilter`.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { isActivation } from "../matmul/activation.ts";
import { backendInternals, release, reshapeInfo } from "../runtime/program.ts";
import type { KernelAttributes, KernelInputs, Replacement } from "../runtime/registry.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { conv2dBackwardFilter, conv2dBackwardInput, conv2dForward } from "./conv2d.ts";
import {
  type Conv2dAttributes,
  type Conv2dGeometry,
  geometryOf,
  isEmpty,
  shapesOf,
} from "./conv2d_geometry.ts";

/** The geometry, or undefined for what stays with tfjs: NCHW, integers, grouped convolution. */
function takenGeometry(
  inputShape: number[],
  filterShape: number[],
  attributes: KernelAttributes,
  operands: (TensorInfo | undefined)[],
): Conv2dGeometry | undefined {
  const attrs = attributes as unknown as Conv2dAttributes;
  const floats = operands.every((tensor) => tensor === undefined || tensor.dtype === "float32");
  if (!floats || (attrs.dataFormat ?? "NHWC") !== "NHWC") return undefined;
  const geometry = geometryOf(inputShape, filterShape, attrs);
  return filterShape[2] === geometry.channels ? geometry : undefined;
}

/** A sum over nothing; tfjs's own kernels fail on tensors without elements, on this backend. */
function zeros(shape: number[]): TensorInfo {
  const sizes = shape.map((size) => Math.max(0, size));
  const values = new Float32Array(sizeOf(sizes));
  return backendInternals().makeTensorInfo(sizes, "float32", values);
}

/** True for one value an output channel: [K], [1, K], ... */
function isRow({ shape }: TensorInfo, channels: number): boolean {
  return shape.at(-1) === channels && shape.slice(0, -1).every((size) => size === 1);
}

function fused(inputs: KernelInputs, attributes: KernelAttributes): TensorInfo | undefined {
  const { x, filter, bias, preluActivationWeights } = inputs as Record<string, TensorInfo | undefined>;
  const { activation = "linear", leakyreluAlpha: alpha } = attributes as {
    activation?: string;
    leakyreluAlpha?: number;
  };
  const rows = [bias, preluActivationWeights];
  const geometry = takenGeometry(x!.shape, filter!.shape, attributes, [x, filter, ...rows]);
  if (geometry === undefined || !isActivation(activation)) return undefined;
  if (rows.some((row) => row && !isRow(row, geometry.outChannels))) return undefined;
  if (activation === "leakyrelu" && alpha === undefined) return undefined;
  if ((activation === "prelu") !== (preluActivationWeights != null)) return undefined;
  if (isEmpty(geometry)) {
    // Without input channels y would be the activation of the bias.
    return shapesOf(geometry).y.some((size) => size <= 0) ? zeros(shapesOf(geometry).y) : undefined;
  }
  const [flatBias, slopes] = rows.map((row) => row && reshapeInfo(row, [geometry.outChannels]));
  const y = conv2dForward(x!, filter!, geometry, { bias: flatBias, slopes, activation, alpha });
  [flatBias, slopes].forEach((row) => row && release(row));
  return y;
}

/** For `replaceKernels`. */
export const CONV2D_REPLACEMENTS: readonly Replacement[] = [
  {
    name: "Conv2D",
    run({ x, filter }, attrs) {
      const geometry = takenGeometry(x.shape, filter.shape, attrs, [x, filter]);
      if (geometry && isEmpty(geometry)) return zeros(shapesOf(geometry).y);
      return geometry && conv2dForward(x, filter, geometry);
    },
  },
  { name: "FusedConv2D", run: fused },
  {
    name: "Conv2DBackpropInput",
    run({ dy, filter }, attrs) {
      const geometry = takenGeometry(attrs.inputShape as number[], filter.shape, attrs, [dy, filter]);
      if (geometry && isEmpty(geometry)) return zeros(shapesOf(geometry).x);
      // tfjs takes the gradient of an output larger than the convolution's.
      if (geometry && shapesOf(geometry).y.some((size, i) => size !== dy.shape[i])) return undefined;
      return geometry && conv2dBackwardInput(dy, filter, geometry);
    },
  },
  {
    name: "Conv2DBackpropFilter",
    run({ x, dy }, attrs) {
      const geometry = takenGeometry(x.shape, attrs.filterShape as number[], attrs, [x, dy]);
      if (geometry && isEmpty(geometry)) return zeros(shapesOf(geometry).filter);
      return geometry && conv2dBackwardFilter(x, dy, geometry);
    },
  },
];
