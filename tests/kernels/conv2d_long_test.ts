/** Loops that llvmpipe would leave before their end (see conv2d_loops.ts): all inputs 1, so that a sum counts its products. */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import {
  conv2dBackwardFilter,
  conv2dBackwardInput,
  conv2dForward,
  type Conv2dGeometry,
} from "../../kernels/conv2d/conv2d.ts";
import { geometryOf, shapesOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import { sumIterations } from "../../kernels/conv2d/conv2d_loops.ts";
import { currentTraits, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { check, FILTER_TILE, read, TILE } from "./_conv2d.ts";

/** Reads what `run` makes of ones. */
async function ofOnes(
  g: Conv2dGeometry,
  operands: readonly ("x" | "filter" | "y")[],
  run: (...inputs: TensorInfo[]) => TensorInfo,
): Promise<Float32Array> {
  const inputs = operands.map((name) => tf.ones(shapesOf(g)[name]));
  const values = await read(withPoisonedOutputs(() => run(...inputs)));
  tf.dispose(inputs);
  return values;
}

/** Requires one value everywhere. */
function requireAll(what: string, values: Float32Array, expected: number): void {
  const wrong = values.findIndex((value) => value !== expected);
  assertEquals([wrong, values[wrong]], [-1, undefined], `${what}: expected ${expected} everywhere`);
}

Deno.test("conv2d: dFilter of more pixels than a loop of llvmpipe may make", async () => {
  const g = geometryOf([1, 1, 131100, 1], [1, 1, 1, 1], { strides: 1, pad: 0 });
  const variants = [undefined, FILTER_TILE("subgroup", 1, 1, 1), FILTER_TILE("subgroup_pixels", 1, 1, 1, 1)];
  for (const variant of variants) {
    const df = await ofOnes(g, ["x", "y"], (x, dy) => conv2dBackwardFilter(x, dy, g, { variant }));
    requireAll(`dFilter ${JSON.stringify(variant)}`, df, 131100);
  }
});

Deno.test("conv2d: dFilter in chunks of pixels", async () => {
  const g = geometryOf([3, 9, 7, 5], [3, 2, 5, 6], { strides: 2, pad: 1 });
  for (const kind of ["subgroup", "subgroup_pixels"] as const) {
    for (const split of [2, 5, 100]) { // the last: more than there are pixels
      const backwardFilter = { ...FILTER_TILE(kind, 1, 1, 2), split };
      await check(`${kind} split in ${split}`, g, {
        variants: { backwardFilter },
        passes: ["backwardFilter"],
      });
      await check(`${kind} split in ${split}, images in parts`, { ...g, images: 130 }, {
        variants: { backwardFilter },
        passes: ["backwardFilter"],
        bindingBytes: 64 * 4 * 9 * 7 * 8,
      });
    }
  }
});

Deno.test("conv2d: filters of more taps than a loop of llvmpipe may make", async () => {
  const g = geometryOf([1, 150, 150, 1], [150, 150, 1, 1], { strides: 1, pad: 0 });
  const back = geometryOf([1, 1, 1, 1], [105, 105, 1, 16], { strides: 1, pad: 104 });
  assertEquals([sumIterations("forward", g) > 65535, sumIterations("backwardInput", back) > 65535], [
    true,
    true,
  ]);
  // As if tuned for a smaller filter of the class; no GPU has such loops.
  const variant = currentTraits().software ? TILE(6, 8) : undefined;
  const y = await ofOnes(g, ["x", "filter"], (x, f) => conv2dForward(x, f, g, {}, { variant }));
  requireAll("forward", y, 150 ** 2);
  const dx = await ofOnes(back, ["y", "filter"], (dy, f) => conv2dBackwardInput(dy, f, back));
  requireAll("dInput", dx, 16 * 105 ** 2);
});

Deno.test("conv2d: a sum too long for a software adapter is refused", () => {
  if (!currentTraits().software) return;
  const g = geometryOf([1, 1, 1, 4_000_000], [1, 1, 4_000_000, 1], { strides: 1, pad: 0 });
  const [x, f, bias] = [[1, 1, 1, 4_000_000], [1, 1, 4_000_000, 1], [1]].map((shape) => tf.zeros(shape));
  assertThrows(
    () => conv2dForward(x, f, g, { bias }),
    RangeError,
    "Cannot run conv2d: a filter of shape [1,1,4000000,1] takes more than the 60000 iterations",
  );
  tf.dispose([x, f, bias]);
});

Deno.test("conv2d: dInput of a stride with more phases than a loop of llvmpipe may make", async () => {
  const g = geometryOf([1, 128, 768, 1], [1, 1, 1, 1], { strides: [128, 256], pad: 0 });
  const dx = await ofOnes(g, ["y", "filter"], (dy, f) => conv2dBackwardInput(dy, f, g));
  assertEquals([...dx.keys()].filter((i) => dx[i] !== 0), [0, 256, 512]);
  requireAll("dInput's pixels", dx.filter((_, i) => i % 256 === 0 && i < 768), 1);
});
