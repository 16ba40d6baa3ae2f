/**
 * The cases of convolution, for tests and benches.
 *
 * @module
 */
import type { Conv2dGeometry } from "./conv2d_geometry.ts";

/** A named geometry. */
export interface Conv2dCase {
  readonly name: string;
  readonly geometry: Conv2dGeometry;
}

/** How the filter moves; one number holds for rows and columns. */
interface Steps {
  readonly strides?: number | readonly [number, number];
  readonly dilations?: number | readonly [number, number];
  /** on each side, or [top, bottom, left, right] */
  readonly pad?: number | readonly [number, number, number, number];
}

const pair = (value: number | readonly [number, number]) =>
  typeof value === "number" ? [value, value] : value;

/** x [N, H, W, C] with a filter [R, S, K] */
function toCase(
  name: string,
  [images, height, width, channels]: readonly [number, number, number, number],
  [filterHeight, filterWidth, outChannels]: readonly [number, number, number],
  { strides = 1, dilations = 1, pad = 0 }: Steps = {},
): Conv2dCase {
  const [strideY, strideX] = pair(strides);
  const [dilationY, dilationX] = pair(dilations);
  const [top, bottom, left, right] = typeof pad === "number" ? [pad, pad, pad, pad] : pad;
  const out = (size: number, taps: number, dilation: number, stride: number) =>
    Math.floor((size - dilation * (taps - 1) - 1) / stride) + 1;
  const geometry = {
    images,
    height,
    width,
    channels,
    filterHeight,
    filterWidth,
    outHeight: out(height + top + bottom, filterHeight, dilationY, strideY),
    outWidth: out(width + left + right, filterWidth, dilationX, strideX),
    outChannels,
    strides: [strideY, strideX],
    dilations: [dilationY, dilationX],
    pad: [top, left],
  } as const;
  return { name, geometry };
}

/** Small shapes at the edges of what the kernels do. */
export const EDGE_CASES: readonly Conv2dCase[] = [
  toCase("one element", [1, 1, 1, 1], [1, 1, 1]),
  toCase("one pixel", [1, 1, 1, 4], [1, 1, 4]),
  toCase("3x3, primes", [2, 7, 5, 8], [3, 3, 12], { pad: 1 }),
  toCase("3 channels to 5", [2, 5, 7, 3], [3, 3, 5], { pad: 1 }),
  toCase("3 channels, 4 pixels at a time", [3, 2, 6, 3], [3, 2, 4], { pad: 1 }),
  toCase("7 channels to 1", [3, 4, 5, 7], [2, 3, 1]),
  toCase("1 channel to 7", [1, 9, 3, 1], [3, 1, 7]),
  toCase("1x1 stride 2", [3, 7, 6, 4], [1, 1, 20], { strides: 2 }),
  toCase("1x1 strides 2 and 3", [2, 7, 8, 4], [1, 1, 8], { strides: [2, 3] }),
  toCase("1x1 strides 2 and 3, pad", [2, 7, 8, 4], [1, 1, 8], { strides: [2, 3], pad: 1 }),
  toCase("3x3 stride 3, no pad", [1, 11, 13, 4], [3, 3, 4], { strides: 3 }),
  toCase("2x2 stride 3: taps that no pixel has", [2, 8, 7, 4], [2, 2, 8], { strides: 3 }),
  toCase("strides 1 and 2, pad on one side", [2, 6, 9, 4], [3, 3, 8], { strides: [1, 2], pad: [0, 2, 1, 0] }),
  toCase("strides 3 and 2", [1, 10, 9, 6], [4, 3, 4], { strides: [3, 2], pad: [1, 2, 2, 0] }),
  toCase("fewer rows than the stride", [3, 1, 2, 4], [1, 1, 4], { strides: 3 }),
  toCase("3x2 stride 2", [2, 9, 8, 4], [3, 2, 8], { strides: 2, pad: 1 }),
  toCase("dilation 2", [1, 9, 9, 4], [3, 3, 4], { pad: 2, dilations: 2 }),
  toCase("dilations 3 and 2, strides 2 and 4", [1, 12, 15, 4], [3, 3, 4], {
    pad: 2,
    dilations: [3, 2],
    strides: [2, 4],
  }),
  toCase("filter larger than the image", [2, 2, 2, 4], [5, 5, 4], { pad: 2 }),
  toCase("more channels than a tile", [1, 3, 3, 68], [1, 1, 76]),
  toCase("more images than a subgroup has lanes", [11, 2, 1, 8], [1, 1, 8]),
];

/** The same with more than 65535 workgroups where a workgroup computes 8 pixels, 4 channels of them. */
export const MANY_WORKGROUPS = toCase("more than 65535 workgroups", [1, 517, 509, 4], [1, 1, 8]);

/** Every distinct layer of ResNet50 at width 16 on 48x48 pixels, a batch of 16. */
export const RESNET50_CASES: readonly Conv2dCase[] = [
  toCase("resnet50 conv1", [16, 48, 48, 3], [7, 7, 16], { strides: 2, pad: 3 }),
  toCase("resnet50 conv2 reduce first", [16, 12, 12, 16], [1, 1, 16]),
  toCase("resnet50 conv2 reduce", [16, 12, 12, 64], [1, 1, 16]),
  toCase("resnet50 conv2 3x3", [16, 12, 12, 16], [3, 3, 16], { pad: 1 }),
  toCase("resnet50 conv2 increase", [16, 12, 12, 16], [1, 1, 64]),
  toCase("resnet50 conv3 reduce first", [16, 12, 12, 64], [1, 1, 32], { strides: 2 }),
  toCase("resnet50 conv3 projection", [16, 12, 12, 64], [1, 1, 128], { strides: 2 }),
  toCase("resnet50 conv3 reduce", [16, 6, 6, 128], [1, 1, 32]),
  toCase("resnet50 conv3 3x3", [16, 6, 6, 32], [3, 3, 32], { pad: 1 }),
  toCase("resnet50 conv3 increase", [16, 6, 6, 32], [1, 1, 128]),
  toCase("resnet50 conv4 reduce first", [16, 6, 6, 128], [1, 1, 64], { strides: 2 }),
  toCase("resnet50 conv4 projection", [16, 6, 6, 128], [1, 1, 256], { strides: 2 }),
  toCase("resnet50 conv4 reduce", [16, 3, 3, 256], [1, 1, 64]),
  toCase("resnet50 conv4 3x3", [16, 3, 3, 64], [3, 3, 64], { pad: 1 }),
  toCase("resnet50 conv4 increase", [16, 3, 3, 64], [1, 1, 256]),
  toCase("resnet50 conv5 reduce first", [16, 3, 3, 256], [1, 1, 128], { strides: 2 }),
  toCase("resnet50 conv5 projection", [16, 3, 3, 256], [1, 1, 512], { strides: 2 }),
  toCase("resnet50 conv5 reduce", [16, 2, 2, 512], [1, 1, 128]),
  toCase("resnet50 conv5 3x3", [16, 2, 2, 128], [3, 3, 128], { pad: 1 }),
  toCase("resnet50 conv5 increase", [16, 2, 2, 128], [1, 1, 512]),
];
