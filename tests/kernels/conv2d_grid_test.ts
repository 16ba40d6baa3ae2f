/** Grids of several rows of workgroups: the device is said to take few workgroups in a row. */
import { type Conv2dPass, type Conv2dVariant } from "../../kernels/conv2d/conv2d.ts";
import { type Conv2dGeometry, geometryOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import { BLOCK, check, FILTER_BLOCK, FILTER_TILE, TILE } from "./_conv2d.ts";
import { withGrid } from "./_limits.ts";

/** Holds one pass, which is recorded before `check` waits for anything, against the reference. */
async function checkOn(width: number, g: Conv2dGeometry, pass: Conv2dPass, variant: Conv2dVariant) {
  const what = `${JSON.stringify(variant)} on rows of ${width} workgroups`;
  await withGrid(width, () => check(what, g, { variants: { [pass]: variant }, passes: [pass] }));
}

Deno.test("conv2d: every kernel on a grid of several rows", async () => {
  const g = geometryOf([2, 9, 8, 8], [3, 3, 8, 12], { strides: 1, pad: 1 });
  for (const variant of [TILE(2, 1), BLOCK(2, 1, 8, 4, 2)]) {
    await checkOn(8, g, "forward", variant);
    await checkOn(8, g, "backwardInput", variant);
  }
  const filterVariants = [
    FILTER_TILE("subgroup", 1, 1),
    FILTER_TILE("subgroup_pixels", 1, 1),
    FILTER_BLOCK(1, 1, 2, 1, 4),
  ];
  for (const variant of filterVariants) await checkOn(8, g, "backwardFilter", variant);
});

Deno.test("conv2d: what pads and cuts channels, and what adds ranges, on a grid of several rows", async () => {
  const rgb = geometryOf([1, 48, 52, 3], [1, 1, 3, 5], { strides: 1, pad: 0 });
  await checkOn(9, rgb, "forward", TILE(4, 2));
  const five = geometryOf([1, 24, 26, 5], [1, 1, 5, 4], { strides: 1, pad: 0 });
  await checkOn(9, five, "forward", TILE(4, 2));
  await checkOn(9, five, "forward", { ...BLOCK(2, 1, 8, 4, 2), split: 2 });
});
