import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { conv2dBackwardFilter, conv2dBackwardInput, conv2dForward } from "../../kernels/conv2d/conv2d.ts";
import { EDGE_CASES, MANY_WORKGROUPS, RESNET50_CASES } from "../../kernels/conv2d/conv2d_cases.ts";
import { geometryOf, shapesOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import {
  conv2dBackwardFilterRef,
  conv2dBackwardInputRef,
  conv2dForwardRef,
} from "../../kernels/conv2d/conv2d_ref.ts";
import type { Activation } from "../../kernels/matmul/activation.ts";
import { activationRef } from "../../kernels/matmul/matmul_ref.ts";
import { release, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import {
  BLOCK,
  check,
  draw,
  FILTER_BLOCK,
  FILTER_TILE,
  LANES,
  PASSES,
  read,
  same,
  seed,
  SMALL,
  TILE,
} from "./_conv2d.ts";
import { watchConstants } from "./_constants.ts";

const requireVaried = watchConstants("conv2d");

for (const { name, geometry } of EDGE_CASES) {
  Deno.test(`conv2d: ${name}`, async () => {
    for (const [kind, variants] of Object.entries(SMALL)) {
      const passes = kind === "pixels over the lanes" ? ["backwardFilter" as const] : PASSES;
      await check(`${name} ${kind}`, geometry, { variants, passes });
    }
  });
}

Deno.test("conv2d: the layers of ResNet50, as the adapter's default", async () => {
  for (const { name, geometry } of RESNET50_CASES) await check(name, { ...geometry, images: 2 });
});

Deno.test("conv2d: every tile constant", async () => {
  const { geometry } = EDGE_CASES[2];
  for (
    const [m, n, lanes, unroll] of [
      ...[[1, 1, 3], [3, 2, 1], [2, 3, 2]].map(([m, n, unroll]) => [m, n, LANES, unroll]),
      ...[[1, 2, 3], [2, 1, 5]].map(([m, n, unroll]) => [m, n, LANES / 2, unroll]),
    ]
  ) {
    const variants = same(TILE(m, n, lanes), FILTER_TILE("subgroup", m, n, unroll, lanes));
    await check(`tile ${m}x${n} of ${lanes} lanes`, geometry, { variants });
    const backwardFilter = FILTER_TILE("subgroup_pixels", m, n, unroll, lanes);
    await check(`tile ${m}x${n} of ${lanes} lanes with pixels`, geometry, {
      variants: { backwardFilter },
      passes: ["backwardFilter"],
    });
  }
  // With a dozen loads an invocation SwiftShader's compiler takes minutes and gigabytes.
  const blocks: [number, number, number, number, number][] = [
    [1, 1, 4, 2, 1],
    [2, 2, 8, 8, 3],
    [1, 2, 6, 4, 2],
    [4, 1, 8, 3, 1],
  ];
  for (const block of blocks) {
    const [m, n, bm, bn, d] = block;
    const variants = same(BLOCK(...block), FILTER_BLOCK(n, m, bn, bm, d));
    await check(`block ${block}`, geometry, { variants });
  }
});

Deno.test("conv2d: more than 65535 workgroups", async () => {
  const { name, geometry } = MANY_WORKGROUPS;
  for (const forward of [TILE(1, 1), BLOCK(1, 1, 4, 1, 1)]) {
    await check(name, geometry, { variants: { forward }, passes: ["forward"] });
  }
});

Deno.test("conv2d: one dispatch a pass, three more for channels that are no multiples of 4", () => {
  const counts = [EDGE_CASES[2], EDGE_CASES[3]].map(({ geometry }) => {
    const { x, filter, y } = shapesOf(geometry);
    const [a, f, dy] = [x, filter, y].map((shape) => tf.zeros(shape));
    const { forward, backwardInput, backwardFilter } = SMALL["in registers"];
    const passes = [
      () => conv2dForward(a, f, geometry, {}, { variant: forward }),
      () => conv2dBackwardInput(dy, f, geometry, { variant: backwardInput }),
      () => conv2dBackwardFilter(a, dy, geometry, { variant: backwardFilter }),
    ];
    const found = passes.map((pass) => {
      const { ours, value } = countDispatches(pass);
      release(value);
      return ours;
    });
    tf.dispose([a, f, dy]);
    return found;
  });
  assertEquals(counts, [[1, 1, 1], [4, 4, 4]]);
});

Deno.test("conv2d: sums in ranges, added in order", async () => {
  const named = (text: string) => EDGE_CASES.find(({ name }) => name.startsWith(text))!;
  const { forward, backwardFilter } = SMALL["in workgroup memory"];
  const { name, geometry } = named("3x3, primes");
  const cases = [
    { name, geometry: { ...geometry, images: 40 } },
    ...["3 channels to 5", "3x2 stride 2", "2x2 stride 3", "dilations 3 and 2", "one element"].map(named),
  ];
  for (const { name, geometry } of cases) {
    for (const split of [2, 5, 9, 40]) { // the last: more than there are rounds
      const variants = same({ ...forward, split }, { ...backwardFilter, split });
      await check(`${name}, split in ${split}`, geometry, { variants });
    }
  }
});

Deno.test("conv2d: images that cannot be bound at once are taken in parts", async () => {
  const geometry = { ...EDGE_CASES[2].geometry, images: 37, channels: 7, outChannels: 8 };
  // A part begins at a multiple of 256 bytes: 8 images of x and y, of 1120 bytes each.
  for (const [kind, variants] of Object.entries(SMALL)) {
    await check(`parts ${kind}`, geometry, { variants, bindingBytes: 9000 });
  }
  const x = draw(shapesOf(geometry).x).tensor;
  const f = draw(shapesOf(geometry).filter).tensor;
  assertThrows(
    () => conv2dForward(x, f, geometry, {}, { bindingBytes: 8000 }),
    RangeError,
    "Cannot run conv2d: 8 images of x and y take 8960 bytes; expected at most the 8000 bytes of an operand on this adapter",
  );
  tf.dispose([x, f]);
});

Deno.test("conv2d: channels are padded and cut part by part, from wherever an image begins", async () => {
  // Images of 105 and 108 values of x: the latter are padded by four pixels.
  const shapes = [[11, 7, 5, 3, 5], [11, 6, 6, 3, 8], [11, 6, 6, 8, 5]];
  for (const [images, height, width, channels, outChannels] of shapes) {
    const geometry = geometryOf([images, height, width, channels], [3, 3, channels, outChannels], {
      strides: 1,
      pad: 1,
    });
    const bytes = 4 * height * width * 8;
    for (const [kind, variants] of Object.entries(SMALL)) {
      // The images of 8 channels begin, in x or y, at a multiple of 256 bytes.
      await check(`parts ${kind}`, geometry, { variants, bindingBytes: 3 * bytes });
    }
  }
  const { geometry } = EDGE_CASES[3];
  const g = { ...geometry, images: 5 };
  const all = shapesOf(g);
  const [x, f, residual] = [all.x, all.filter, all.y].map(draw);
  const y = withPoisonedOutputs(() =>
    conv2dForward(x.tensor, f.tensor, g, { residual: residual.tensor }, {
      variant: TILE(2, 1),
      bindingBytes: 4 * 5 * 7 * 8 * 2,
    })
  );
  const expected = conv2dForwardRef(x.values, f.values, g).map((sum, i) => sum + residual.values[i]);
  compare(`conv2d residual in parts (seed ${seed})`, await read(y), expected, 1e-4);
  tf.dispose([x, f, residual].map(({ tensor }) => tensor));
});

const ACTIVATIONS: readonly Activation[] = [
  "linear",
  "relu",
  "relu6",
  "elu",
  "sigmoid",
  "tanh",
  "gelu",
  "leakyrelu",
  "prelu",
];

Deno.test("conv2d: bias, residual and every activation", async () => {
  for (const geometry of [EDGE_CASES[2].geometry, EDGE_CASES[3].geometry]) {
    const shapes = shapesOf(geometry);
    const channels = geometry.outChannels;
    const [x, f, bias, residual, slopes] = [shapes.x, shapes.filter, [channels], shapes.y, [channels]].map(
      draw,
    );
    const sums = conv2dForwardRef(x.values, f.values, geometry);
    for (const activation of ACTIVATIONS) {
      for (const variant of [TILE(2, 1), BLOCK(2, 1, 8, 4, 2)]) {
        const y = withPoisonedOutputs(() =>
          conv2dForward(x.tensor, f.tensor, geometry, {
            bias: bias.tensor,
            residual: residual.tensor,
            activation,
            alpha: 0.3,
            ...(activation === "prelu" ? { slopes: slopes.tensor } : {}),
          }, { variant })
        );
        const expected = sums.map((v, i) => {
          const slope = activation === "prelu" ? slopes.values[i % channels] : 0.3;
          return activationRef(activation, v + bias.values[i % channels] + residual.values[i], slope);
        });
        compare(`conv2d ${activation} ${variant.kind} (seed ${seed})`, await read(y), expected, 1e-4);
      }
    }
    tf.dispose([x, f, bias, residual, slopes].map(({ tensor }) => tensor));
  }
});

Deno.test("conv2d: what fills up the last round of dFilter is 0 even where dy's last pixel is infinite", async () => {
  const { geometry } = EDGE_CASES.find(({ name }) => name === "one pixel")!;
  const g = { ...geometry, width: 5, outWidth: 5 }; // of rounds of 2, 4, 16
  const x = tf.ones(shapesOf(g).x);
  const dy = tf.tensor(Array.from({ length: 20 }, (_, i) => i < 16 ? 1 : Infinity), shapesOf(g).y);
  for (const { backwardFilter: variant } of Object.values(SMALL)) {
    const df = await read(conv2dBackwardFilter(x, dy, g, { variant }));
    assertEquals([...df], new Array(16).fill(Infinity), JSON.stringify(variant));
  }
  tf.dispose([x, dy]);
});

Deno.test("conv2d: the reference's gradients are those of its forward pass", () => {
  for (
    const { name, geometry: g } of EDGE_CASES.filter(({ name }) => /3 channels|strides|dilation 2/.test(name))
  ) {
    const shapes = shapesOf(g);
    const [x, f, dy] = [shapes.x, shapes.filter, shapes.y].map((shape) =>
      Float64Array.from(draw(shape).values)
    );
    const loss = (a: Float64Array, b: Float64Array) =>
      conv2dForwardRef(a, b, g).reduce((sum, value, i) => sum + dy[i] * value, 0);
    gradcheck(`x ${name}`, (a) => loss(a, f), x, conv2dBackwardInputRef(dy, f, g));
    gradcheck(`filter ${name}`, (b) => loss(x, b), f, conv2dBackwardFilterRef(x, dy, g));
  }
});

Deno.test("conv2d: operands of other shapes and types are refused", () => {
  const { geometry } = EDGE_CASES[2];
  const x = tf.zeros([2, 7, 5, 8]);
  const f = tf.zeros([3, 3, 7, 12]);
  assertThrows(
    () => conv2dForward(x, f, geometry),
    RangeError,
    "Cannot run conv2d: filter has shape [3,3,7,12]; expected [3,3,8,12]",
  );
  const whole = tf.zeros([2, 7, 5, 8], "int32");
  const right = tf.zeros([3, 3, 8, 12]);
  assertThrows(() => conv2dForward(whole, right, geometry), TypeError, "x is int32; expected float32");
  assertThrows(
    () => conv2dForward(x, right, geometry, { activation: "prelu" }),
    RangeError,
    "expected slopes with prelu",
  );
  assertThrows(
    () => conv2dForward(x, right, geometry, { bias: tf.zeros([4]) }),
    RangeError,
    "bias has shape [4]; expected [12]",
  );
  const empty = { ...geometry, images: 0 };
  assertThrows(() => conv2dForward(x, right, empty), RangeError, "expected no empty dimension");
  const cropped = geometryOf([2, 7, 5, 8], [3, 3, 8, 12], { strides: 1, pad: -1 });
  assertThrows(() => conv2dForward(x, right, cropped), RangeError, "padding is [-1,-1]; expected 0 or more");
  tf.dispose([x, f, whole, right]);
});

Deno.test("conv2d: the tests above vary every constant of the shaders", () => requireVaried());
