/**
 * What the tuner tries for convolution: every candidate on the shape classes of ResNet50.
 *
 * @module
 */
import { currentTraits } from "../runtime/program.ts";
import { shapeClass, type TuneCase } from "../runtime/tuner.ts";
import { conv2dBackwardFilter, conv2dBackwardInput, conv2dForward } from "./conv2d.ts";
import { type Direction, DIRECTIONS, type Layer, problemOf, resnet50Layers } from "./conv2d_bench.ts";
import { geometryOf } from "./conv2d_geometry.ts";
import { CONV2D_SHADERS } from "./conv2d_shaders.ts";
import { candidates, CONV2D_OPS, type Conv2dPass, type Conv2dVariant, sizesOf } from "./conv2d_variants.ts";

const PASSES: Readonly<Record<Direction, Conv2dPass>> = {
  fwd: "forward",
  bwd_input: "backwardInput",
  bwd_filter: "backwardFilter",
};

function tuneOf(direction: Direction, layer: Layer): TuneCase<Conv2dVariant> {
  const pass = PASSES[direction];
  const problem = problemOf(direction, layer);
  const { x, filter } = problem.shapes;
  const geometry = geometryOf(x, filter, { strides: layer.stride, pad: layer.pad });
  return {
    op: CONV2D_OPS[pass],
    sizes: sizesOf(geometry),
    shaders: CONV2D_SHADERS[pass],
    candidates: () => candidates(pass, geometry, currentTraits()),
    setup() {
      const { inputs, run, dispose } = problem.setup();
      const kernels = {
        fwd: (variant: Conv2dVariant) => conv2dForward(inputs.x, inputs.filter, geometry, {}, { variant }),
        bwd_input: (variant: Conv2dVariant) =>
          conv2dBackwardInput(inputs.dy, inputs.filter, geometry, { variant }),
        bwd_filter: (variant: Conv2dVariant) =>
          conv2dBackwardFilter(inputs.x, inputs.dy, geometry, { variant }),
      };
      return { run: kernels[direction], expected: run, tolerance: problem.tolerance, dispose };
    },
  };
}

const ALL = DIRECTIONS.flatMap((direction) => resnet50Layers().map((layer) => tuneOf(direction, layer)));

/** One case a class. */
export const CONV2D_TUNE_CASES: readonly TuneCase<Conv2dVariant>[] = [
  ...new Map(ALL.map((item) => [`${item.op} ${shapeClass(item.sizes)}`, item])).values(),
];
