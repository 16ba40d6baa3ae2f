/**
 * Convolution side by side with tfjs's: forward and both gradients, as a model calls them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { toleranceOf } from "../matmul/matmul_cases.ts";

/** A square convolution: images, side of the image, channels in and out, side of the filter. */
export interface Layer {
  readonly name: string;
  readonly images: number;
  /** how often the network has it */
  readonly count: number;
  readonly size: number;
  readonly channels: number;
  readonly outChannels: number;
  readonly taps: number;
  readonly stride: number;
  readonly pad: number;
}

/** Images of a batch, channels after the stem, side of an image. */
export interface Scale {
  readonly images: number;
  readonly width: number;
  readonly size: number;
}

/** The demo's networks. */
export const DEMO_SCALE: Scale = { images: 16, width: 16, size: 48 };
/** The paper's. */
export const PAPER_SCALE: Scale = { images: 96, width: 64, size: 224 };

/** Blocks per stage. */
const BLOCKS = [3, 4, 6, 3];

/** Every distinct convolution of ResNet50, strides on the 1x1 reduce and projection (Caffe's graph). */
export function resnet50Layers({ images, width, size }: Scale = DEMO_SCALE): Layer[] {
  const layers: Layer[] = [
    { name: "conv1", images, count: 1, size, channels: 3, outChannels: width, taps: 7, stride: 2, pad: 3 },
  ];
  let side = Math.ceil((Math.ceil(size / 2) - 3) / 2) + 1; // after the ceil-mode max pool
  let channels = width;
  BLOCKS.forEach((blocks, i) => {
    const inner = width * 2 ** i;
    const outer = 4 * inner;
    const stride = i === 0 ? 1 : 2;
    const add = (name: string, count: number, shape: Partial<Layer>) =>
      layers.push({
        ...{ name: `conv${i + 2} ${name}`, images, count, size: side, channels, outChannels: inner },
        ...{ taps: 1, stride: 1, pad: 0 },
        ...shape,
      });
    add("first reduce", 1, { stride });
    // At stride 1 the blocks' increase has the projection's shape.
    add("projection", i === 0 ? 1 + blocks : 1, { stride, outChannels: outer });
    side = Math.ceil(side / stride);
    add("3x3", blocks, { channels: inner, taps: 3, pad: 1 });
    if (i > 0) add("increase", blocks, { channels: inner, outChannels: outer });
    add("reduce", blocks - 1, { channels: outer });
    channels = outer;
  });
  return layers;
}

/** Rows and columns of the output. */
function outputSide({ size, taps, stride, pad }: Layer): number {
  return Math.floor((size + 2 * pad - taps) / stride) + 1;
}

/** Floating-point operations of a layer in one direction, for a batch. */
export function layerFlops(layer: Layer): number {
  return 2 * layer.images * outputSide(layer) ** 2 * layer.outChannels * layer.taps ** 2 * layer.channels;
}

/** Forward, and the two gradients. */
export const DIRECTIONS = ["fwd", "bwd_input", "bwd_filter"] as const;
/** One of them. */
export type Direction = typeof DIRECTIONS[number];
type Shapes = Record<"x" | "filter" | "dy", number[]>;

/** tfjs's kernels, their inputs, and what they are told beside strides and pad. */
const KERNELS = {
  fwd: { kernel: "Conv2D", names: ["x", "filter"], more: () => ({ dilations: 1 }) },
  bwd_input: {
    kernel: "Conv2DBackpropInput",
    names: ["dy", "filter"],
    more: ({ x }: Shapes) => ({ inputShape: x }),
  },
  bwd_filter: {
    kernel: "Conv2DBackpropFilter",
    names: ["x", "dy"],
    more: ({ filter }: Shapes) => ({ filterShape: filter }),
  },
} as const;

/** A layer in one direction, as tfjs runs it. */
export function problemOf(direction: Direction, layer: Layer) {
  const { images, size, channels, outChannels, taps, stride, pad } = layer;
  const out = outputSide(layer);
  const shapes: Shapes = {
    x: [images, size, size, channels],
    filter: [taps, taps, channels, outChannels],
    dy: [images, out, out, outChannels],
  };
  const products = {
    fwd: taps ** 2 * channels,
    bwd_input: taps ** 2 * outChannels,
    bwd_filter: images * out ** 2,
  };
  const { kernel, names, more } = KERNELS[direction];
  return {
    shapes,
    tolerance: 2 * toleranceOf(products[direction]), // two float32 sums, each with its own error
    /** makes random inputs; `run` goes through tfjs, to whichever kernel is registered */
    setup() {
      const inputs = Object.fromEntries(names.map((name) => [name, randomTensor(shapes[name])]));
      const attrs = { strides: stride, pad, dataFormat: "NHWC", ...more(shapes) };
      const run = () => tf.engine().runKernel(kernel, inputs, attrs) as tf.Tensor;
      return { inputs, run, dispose: () => tf.dispose(inputs) };
    },
  };
}

function benchOf(direction: Direction, layer: Layer, scale: Scale): BenchCase {
  const { shapes, tolerance, setup } = problemOf(direction, layer);
  const paper = scale === PAPER_SCALE;
  return {
    op: `conv2d_${direction}`,
    name: `${paper ? "paper " : ""}resnet50 ${layer.name}`,
    large: paper,
    flops: layerFlops(layer),
    bytes: 4 * (sizeOf(shapes.x) + sizeOf(shapes.filter) + sizeOf(shapes.dy)),
    setup() {
      const { run, dispose } = setup();
      return { ours: run, stock: run, tolerance, dispose };
    },
  };
}

/** Every distinct layer of ResNet50: of width 16 on 48x48 pixels, a batch of 16, and the paper's 64, 224x224, 96. */
export const CONV2D_BENCHES: readonly BenchCase[] = DIRECTIONS.flatMap((direction) =>
  [DEMO_SCALE, PAPER_SCALE].flatMap((scale) =>
    resnet50Layers(scale).map((layer) => benchOf(direction, layer, scale))
  )
);
