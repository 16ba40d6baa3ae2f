/**
 * The cases of pooling, for tests and benches.
 *
 * @module
 */
import type { MaxPoolOptions } from "./max_pool.ts";

/** A named max pooling; it is exact, so its tolerance is that of the sums of its gradient. */
export interface MaxPoolCase {
  readonly name: string;
  /** [N, H, W, C] */
  readonly shape: readonly [number, number, number, number];
  readonly options: MaxPoolOptions;
}

/** Small shapes at the edges of what the kernels do. */
export const MAX_POOL_EDGE_CASES: readonly MaxPoolCase[] = [
  { name: "one value", shape: [1, 1, 1, 1], options: { size: 1, strides: 1 } },
  { name: "primes", shape: [2, 7, 5, 3], options: { size: 3, strides: 2 } },
  { name: "a partial last window", shape: [2, 6, 8, 4], options: { size: 3, strides: 2, ceilMode: true } },
  { name: "ceil mode where all fits", shape: [1, 7, 9, 5], options: { size: 3, strides: 2, ceilMode: true } },
  {
    name: "ceil mode, smaller than the window",
    shape: [1, 2, 2, 4],
    options: { size: 3, strides: 2, ceilMode: true },
  },
  {
    name: "ceil mode, no window behind",
    shape: [1, 5, 5, 4],
    options: { size: 1, strides: 3, ceilMode: true },
  },
  { name: "padded", shape: [2, 7, 6, 8], options: { size: 3, strides: 2, pad: 1 } },
  {
    name: "padded, ceil mode",
    shape: [1, 8, 5, 7],
    options: { size: 3, strides: 2, pad: 1, ceilMode: true },
  },
  { name: "gaps", shape: [1, 11, 11, 4], options: { size: 2, strides: 3 } },
  { name: "many windows a pixel", shape: [1, 9, 9, 4], options: { size: 5, strides: 1, pad: 2 } },
  { name: "uneven", shape: [2, 8, 9, 6], options: { size: [3, 2], strides: [1, 2], pad: [1, 0] } },
];

/** The pooling of ResNet50 at width 16 on 48x48 pixels, a batch of 16. */
export const MAX_POOL_RESNET50_CASES: readonly MaxPoolCase[] = [
  { name: "resnet50 pool1", shape: [16, 24, 24, 16], options: { size: 3, strides: 2, ceilMode: true } },
];

/** Windows of up to 9 pixels share one, so its gradient is a sum of up to 9 values in float32. */
export const MAX_POOL_TOLERANCE = 1e-6;

/** A named global average pooling. */
export interface GlobalAveragePoolCase {
  readonly name: string;
  /** [N, H, W, C] */
  readonly shape: readonly [number, number, number, number];
}

/** Shapes at the edges of what the kernels do, and the layer of ResNet50. */
export const GLOBAL_AVERAGE_POOL_CASES: readonly GlobalAveragePoolCase[] = [
  { name: "one value", shape: [1, 1, 1, 1] },
  { name: "primes", shape: [3, 5, 7, 13] },
  { name: "one pixel", shape: [3, 1, 1, 8] },
  { name: "more pixels than one invocation adds", shape: [2, 67, 66, 4] },
  { name: "resnet50", shape: [16, 2, 2, 512] },
  { name: "resnet50 at 224x224", shape: [1, 7, 7, 2048] },
];

/** Relative error of a mean of that many values in float32. */
export function averageTolerance([, height, width]: readonly number[]): number {
  return 2e-6 * Math.sqrt(height * width);
}
