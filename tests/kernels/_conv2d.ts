/** What the tests of convolution share: inputs, small variants, and the comparison with the reference. */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import {
  conv2dBackwardFilter,
  conv2dBackwardInput,
  conv2dForward,
  type Conv2dGeometry,
  type Conv2dPass,
  type Conv2dVariant,
} from "../../kernels/conv2d/conv2d.ts";
import { toleranceOf } from "../../kernels/matmul/matmul_cases.ts";
import { shapesOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import {
  conv2dBackwardFilterRef,
  conv2dBackwardInputRef,
  conv2dForwardRef,
} from "../../kernels/conv2d/conv2d_ref.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { currentTraits, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";

await initializeDevice();

/** Lanes of the variants with subgroup operations: 8 unless this adapter has fewer. */
export const LANES = Math.min(8, currentTraits().subgroupSize);

/** Of the inputs. */
export const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "conv2d");

/** Values in [-1, 1). */
export function draw(shape: number[]): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.uniform(-1, 1));
  return { values, tensor: tf.tensor(values, shape) };
}

/** The values, and frees them. */
export async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

/** All. */
export const PASSES: readonly Conv2dPass[] = ["forward", "backwardInput", "backwardFilter"];

/** What is checked: by default every pass, as the adapter runs it. */
export interface Checked {
  readonly variants?: Partial<Record<Conv2dPass, Conv2dVariant>>;
  readonly bindingBytes?: number;
  readonly passes?: readonly Conv2dPass[];
}

/** Holds the passes against the reference. */
export async function check(
  name: string,
  g: Conv2dGeometry,
  { variants, bindingBytes, passes = PASSES }: Checked = {},
) {
  const shapes = shapesOf(g);
  const [x, f, dy] = [draw(shapes.x), draw(shapes.filter), draw(shapes.y)];
  const taps = g.filterHeight * g.filterWidth;
  const options = (pass: Conv2dPass) => ({ variant: variants?.[pass], bindingBytes });
  for (const pass of passes) {
    const result = withPoisonedOutputs(() =>
      ({
        forward: () => conv2dForward(x.tensor, f.tensor, g, {}, options(pass)),
        backwardInput: () => conv2dBackwardInput(dy.tensor, f.tensor, g, options(pass)),
        backwardFilter: () => conv2dBackwardFilter(x.tensor, dy.tensor, g, options(pass)),
      })[pass]()
    );
    const [reference, products, shape] = {
      forward: () => [conv2dForwardRef(x.values, f.values, g), taps * g.channels, shapes.y] as const,
      backwardInput: () =>
        [conv2dBackwardInputRef(dy.values, f.values, g), taps * g.outChannels, shapes.x] as const,
      backwardFilter: () =>
        [
          conv2dBackwardFilterRef(x.values, dy.values, g),
          g.images * g.outHeight * g.outWidth,
          shapes.filter,
        ] as const,
    }[pass]();
    assertEquals(result.shape, [...shape]);
    compare(`conv2d ${pass} ${name} (seed ${seed})`, await read(result), reference, toleranceOf(products));
  }
  tf.dispose([x.tensor, f.tensor, dy.tensor]);
}

/** Small tiles: their pipelines compile fast. */
export const TILE = (TILE_M: number, TILE_N: number, lanes = LANES): Conv2dVariant => ({
  kind: "subgroup",
  constants: { TILE_M, TILE_N, LANES: lanes },
});
/** The same for dFilter. */
export const FILTER_TILE = (
  kind: "subgroup" | "subgroup_pixels",
  TILE_C: number,
  TILE_K: number,
  UNROLL = 1,
  lanes = LANES,
): Conv2dVariant => ({ kind, constants: { TILE_C, TILE_K, UNROLL, LANES: lanes } });
/** In workgroup memory. */
export const BLOCK = (
  TILE_M: number,
  TILE_N: number,
  BLOCK_M: number,
  BLOCK_N: number,
  BLOCK_D: number,
): Conv2dVariant => ({
  kind: "workgroup",
  constants: { TILE_M, TILE_N, BLOCK_M, BLOCK_N, BLOCK_D },
});
/** The same for dFilter. */
export const FILTER_BLOCK = (
  TILE_C: number,
  TILE_K: number,
  BLOCK_C: number,
  BLOCK_K: number,
  BLOCK_P: number,
): Conv2dVariant => ({
  kind: "workgroup",
  constants: { TILE_C, TILE_K, BLOCK_C, BLOCK_K, BLOCK_P },
});

/** A variant of forward and dInput, and one of dFilter. */
export const same = (forward: Conv2dVariant, backwardFilter: Conv2dVariant) => ({
  forward,
  backwardInput: forward,
  backwardFilter,
});
/** One of each kind. */
export const SMALL = {
  "in registers": same(TILE(2, 1), FILTER_TILE("subgroup", 1, 2, 2)),
  "pixels over the lanes": same(TILE(2, 1), FILTER_TILE("subgroup_pixels", 1, 1, 2)),
  "in workgroup memory": same(BLOCK(2, 1, 8, 4, 2), FILTER_BLOCK(1, 1, 4, 4, 4)),
};
