/**
 * Convolution in place of tfjs's `Conv2D`, `FusedConv2D`, `Conv2DBackpropInput` and `Conv2DBackpropFilter`.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { isActivation } from "../matmul/activation.ts";
import { emptySums, isRow, zeros } from "../matmul/rows.ts";
import { withIntermediates } from "../runtime/intermediates.ts";
import { backendInternals, reshapeInfo } from "../runtime/program.ts";
import type { KernelAttributes, KernelInputs, Replacement } from "../runtime/registry.ts";
import { conv2dBackwardFilter, conv2dBackwardInput, conv2dForward } from "./conv2d.ts";
import {
  type Conv2dAttributes,
  type Conv2dGeometry,
  geometryOf,
  isEmpty,
  shapesOf,
} from "./conv2d_geometry.ts";

/** The geometry, or undefined for what stays with tfjs: NCHW, integers, grouped convolution, padding below 0. */
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
  const crops = geometry.pad.some((pad) => pad < 0);
  return filterShape[2] === geometry.channels && !crops ? geometry : undefined;
}

/** Whether dy is as large as the convolution's output: tfjs takes larger ones, too. */
function isGradient({ shape }: TensorInfo, geometry: Conv2dGeometry): boolean {
  return shapesOf(geometry).y.every((size, i) => size === shape[i]);
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
  return withIntermediates((own) => {
    const [flatBias, slopes] = rows.map((row) => row && own(reshapeInfo(row, [geometry.outChannels])));
    const epilogue = { bias: flatBias, slopes, activation, alpha };
    return isEmpty(geometry)
      ? emptySums(shapesOf(geometry).y, epilogue)
      : conv2dForward(x!, filter!, geometry, epilogue);
  });
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
      if (geometry === undefined || !isGradient(dy, geometry)) return undefined;
      // The phases of the stride are one direction of a grid.
      const phases = Math.min(geometry.strides[0], geometry.height) *
        Math.min(geometry.strides[1], geometry.width);
      const most = backendInternals().device.limits.maxComputeWorkgroupsPerDimension;
      return phases <= most ? conv2dBackwardInput(dy, filter, geometry) : undefined;
    },
  },
  {
    name: "Conv2DBackpropFilter",
    run({ x, dy }, attrs) {
      const geometry = takenGeometry(x.shape, attrs.filterShape as number[], attrs, [x, dy]);
      if (geometry && isEmpty(geometry)) return zeros(shapesOf(geometry).filter);
      return geometry && isGradient(dy, geometry) ? conv2dBackwardFilter(x, dy, geometry) : undefined;
    },
  },
];
