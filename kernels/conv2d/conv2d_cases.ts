/**
 * The cases of convolution, for tests and benches.
 *
 * @module
 */
import type { Conv2dGeometry } from "./conv2d.ts";

/** A named geometry. */
export interface Conv2dCase {
  readonly name: string;
  readonly geometry: Conv2dGeometry;
}

/** [N, H, W, C, R, S, K, stride, pad, dilation] */
type Numbers = readonly [number, number, number, number, number, number, number, number, number, number];

function toCase(
  name: string,
  [images, height, width, channels, R, S, K, stride, pad, dilation]: Numbers,
): Conv2dCase {
  const out = (size: number, taps: number) =>
    Math.floor((size + 2 * pad - dilation * (taps - 1) - 1) / stride) + 1;
  const geometry = {
    images,
    height,
    width,
    channels,
    filterHeight: R,
    filterWidth: S,
    outHeight: out(height, R),
    outWidth: out(width, S),
    outChannels: K,
    strides: [stride, stride],
    dilations: [dilation, dilation],
    pad: [pad, pad],
  } as const;
  return { name, geometry };
}

/** Small shapes at the edges of what the kernels do. */
export const EDGE_CASES: readonly Conv2dCase[] = [
  toCase("one pixel", [1, 1, 1, 4, 1, 1, 4, 1, 0, 1]),
  toCase("3x3, primes", [2, 7, 5, 8, 3, 3, 12, 1, 1, 1]),
  toCase("1x1 stride 2", [3, 7, 6, 4, 1, 1, 20, 2, 0, 1]),
  toCase("3x3 stride 3, no pad", [1, 11, 13, 4, 3, 3, 4, 3, 0, 1]),
  toCase("3x2 stride 2", [2, 9, 8, 4, 3, 2, 8, 2, 1, 1]),
  toCase("dilation 2", [1, 9, 9, 4, 3, 3, 4, 1, 2, 2]),
  toCase("7x7 stem", [1, 13, 12, 4, 7, 7, 16, 2, 3, 1]),
  toCase("filter larger than the image", [2, 2, 2, 4, 5, 5, 4, 1, 2, 1]),
  toCase("a tap beyond one window", [1, 2, 2, 260, 1, 1, 68, 1, 0, 1]),
  toCase("taps over several windows", [1, 3, 3, 64, 3, 3, 64, 1, 1, 1]),
  toCase("dy beyond one window", [3, 30, 30, 4, 1, 1, 8, 1, 0, 1]),
];

/** Layers of ResNet50 at width 16 on 48x48 pixels, a batch of 16. */
export const RESNET50_CASES: readonly Conv2dCase[] = [
  toCase("resnet50 conv1", [16, 48, 48, 4, 7, 7, 16, 2, 3, 1]),
  toCase("resnet50 conv2 reduce", [16, 12, 12, 64, 1, 1, 16, 1, 0, 1]),
  toCase("resnet50 conv2 3x3", [16, 12, 12, 16, 3, 3, 16, 1, 1, 1]),
  toCase("resnet50 conv2 increase", [16, 12, 12, 16, 1, 1, 64, 1, 0, 1]),
  toCase("resnet50 conv3 3x3", [16, 6, 6, 32, 3, 3, 32, 1, 1, 1]),
  toCase("resnet50 conv3 projection", [16, 12, 12, 64, 1, 1, 128, 2, 0, 1]),
  toCase("resnet50 conv4 3x3", [16, 3, 3, 64, 3, 3, 64, 1, 1, 1]),
  toCase("resnet50 conv5 3x3", [16, 2, 2, 128, 3, 3, 128, 1, 1, 1]),
  toCase("resnet50 conv5 increase", [16, 2, 2, 128, 1, 1, 512, 1, 0, 1]),
];

/** Relative error that a float32 sum of that many products may have (kernels.md: 1e-5 sqrt(K)). */
export function toleranceOf(products: number): number {
  return 1e-5 * Math.sqrt(products);
}
