/**
 * What the tuner tries for convolution: every candidate on the shape classes of ResNet50.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { randomTensor } from "../runtime/bench.ts";
import { currentTraits } from "../runtime/program.ts";
import { onePerClass, type TuneCase } from "../runtime/tuner.ts";
import { conv2dBackwardFilter, conv2dBackwardInput, conv2dForward } from "./conv2d.ts";
import { DEMO_SCALE, PAPER_SCALE, resnet50Layers } from "./conv2d_bench.ts";
import { toleranceOf } from "../matmul/matmul_cases.ts";
import { type Conv2dGeometry, geometryOf, shapesOf } from "./conv2d_geometry.ts";
import { CONV2D_SHADERS } from "./conv2d_shaders.ts";
import { candidates, CONV2D_OPS, type Conv2dPass, type Conv2dVariant, sizesOf } from "./conv2d_variants.ts";

/** tfjs's kernels and their inputs. */
const STOCK = {
  forward: { kernel: "Conv2D", names: ["x", "filter"] },
  backwardInput: { kernel: "Conv2DBackpropInput", names: ["dy", "filter"] },
  backwardFilter: { kernel: "Conv2DBackpropFilter", names: ["x", "dy"] },
} as const;

/** The products that a value of the result is the sum of. */
function productsOf(pass: Conv2dPass, g: Conv2dGeometry): number {
  const taps = g.filterHeight * g.filterWidth;
  if (pass === "forward") return taps * g.channels;
  return pass === "backwardInput" ? taps * g.outChannels : g.images * g.outHeight * g.outWidth;
}

/** What tfjs's kernels are told; zeros beyond the image's last row and column are as many as the output wants. */
function attributesOf(g: Conv2dGeometry) {
  const after = (size: number, out: number, taps: number, i: number) =>
    Math.max(0, (out - 1) * g.strides[i] + g.dilations[i] * (taps - 1) + 1 - size - g.pad[i]);
  const { x, filter } = shapesOf(g);
  return {
    strides: g.strides,
    dilations: g.dilations,
    dataFormat: "NHWC",
    pad: [
      [0, 0],
      [g.pad[0], after(g.height, g.outHeight, g.filterHeight, 0)],
      [g.pad[1], after(g.width, g.outWidth, g.filterWidth, 1)],
      [0, 0],
    ],
    inputShape: x,
    filterShape: filter,
  };
}

/** Every candidate of a pass on a geometry. */
export function conv2dTuneCase(pass: Conv2dPass, geometry: Conv2dGeometry): TuneCase<Conv2dVariant> {
  const { kernel, names } = STOCK[pass];
  return {
    op: CONV2D_OPS[pass],
    sizes: sizesOf(geometry),
    shaders: CONV2D_SHADERS[pass],
    candidates: () => candidates(pass, geometry, currentTraits()),
    setup() {
      const { x, filter, y } = shapesOf(geometry);
      const shapes: Record<string, number[]> = { x, filter, dy: y };
      const inputs = Object.fromEntries(names.map((name) => [name, randomTensor(shapes[name])]));
      const kernels = {
        forward: (variant: Conv2dVariant) =>
          conv2dForward(inputs.x, inputs.filter, geometry, {}, { variant }),
        backwardInput: (variant: Conv2dVariant) =>
          conv2dBackwardInput(inputs.dy, inputs.filter, geometry, { variant }),
        backwardFilter: (variant: Conv2dVariant) =>
          conv2dBackwardFilter(inputs.x, inputs.dy, geometry, { variant }),
      };
      return {
        run: kernels[pass],
        expected: () =>
          tf.engine().runKernel(
            kernel,
            inputs,
            attributesOf(geometry) as unknown as tf.NamedAttrMap,
          ) as tf.Tensor,
        tolerance: 2 * toleranceOf(productsOf(pass, geometry)), // two float32 sums, each with its own error
        dispose: () => tf.dispose(inputs),
      };
    },
  };
}

const PASSES: readonly Conv2dPass[] = ["forward", "backwardInput", "backwardFilter"];

const ALL = PASSES.flatMap((pass) =>
  [DEMO_SCALE, PAPER_SCALE].flatMap((scale) =>
    resnet50Layers(scale).map(({ images, size, channels, taps, outChannels, stride, pad }) => {
      const x = [images, size, size, channels];
      const geometry = geometryOf(x, [taps, taps, channels, outChannels], { strides: stride, pad });
      return { ...conv2dTuneCase(pass, geometry), large: scale === PAPER_SCALE };
    })
  )
);

/** One case a class. */
export const CONV2D_TUNE_CASES: readonly TuneCase<Conv2dVariant>[] = onePerClass(ALL);
