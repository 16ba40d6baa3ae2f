import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import {
  conv2dBackwardFilter,
  conv2dBackwardInput,
  conv2dForward,
  type Conv2dGeometry,
  type Conv2dPass,
  type Conv2dVariant,
} from "../../kernels/conv2d/conv2d.ts";
import {
  EDGE_CASES,
  MANY_WORKGROUPS,
  RESNET50_CASES,
  toleranceOf,
} from "../../kernels/conv2d/conv2d_cases.ts";
import { geometryOf, shapesOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import {
  conv2dBackwardFilterRef,
  conv2dBackwardInputRef,
  conv2dForwardRef,
} from "../../kernels/conv2d/conv2d_ref.ts";
import { conv2dInference, foldBatchNorm } from "../../kernels/conv2d/inference.ts";
import { register, stockKernel, unregister } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { release, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";

await initializeDevice();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "conv2d");

function draw(shape: number[]): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.uniform(-1, 1));
  return { values, tensor: tf.tensor(values, shape) };
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

const PASSES: readonly Conv2dPass[] = ["forward", "backwardInput", "backwardFilter"];

interface Checked {
  readonly variants?: Partial<Record<Conv2dPass, Conv2dVariant>>;
  readonly bindingBytes?: number;
  readonly passes?: readonly Conv2dPass[];
}

/** Holds the passes against the reference. */
async function check(
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
const TILE = (TILE_M: number, TILE_N: number, LANES = 8): Conv2dVariant => ({
  kind: "subgroup",
  constants: { TILE_M, TILE_N, LANES },
});
const FILTER_TILE = (
  kind: "subgroup" | "subgroup_pixels",
  TILE_C: number,
  TILE_K: number,
  UNROLL = 1,
  LANES = 8,
): Conv2dVariant => ({ kind, constants: { TILE_C, TILE_K, UNROLL, LANES } });
const BLOCK = (
  TILE_M: number,
  TILE_N: number,
  BLOCK_M: number,
  BLOCK_N: number,
  BLOCK_D: number,
): Conv2dVariant => ({
  kind: "workgroup",
  constants: { TILE_M, TILE_N, BLOCK_M, BLOCK_N, BLOCK_D },
});
const FILTER_BLOCK = (
  TILE_C: number,
  TILE_K: number,
  BLOCK_C: number,
  BLOCK_K: number,
  BLOCK_P: number,
): Conv2dVariant => ({ kind: "workgroup", constants: { TILE_C, TILE_K, BLOCK_C, BLOCK_K, BLOCK_P } });

const same = (forward: Conv2dVariant, backwardFilter: Conv2dVariant) => ({
  forward,
  backwardInput: forward,
  backwardFilter,
});
const SMALL = {
  "in registers": same(TILE(2, 1), FILTER_TILE("subgroup", 1, 2, 2)),
  "pixels over the lanes": same(TILE(2, 1), FILTER_TILE("subgroup_pixels", 1, 1, 2)),
  "in workgroup memory": same(BLOCK(2, 1, 8, 4, 2), FILTER_BLOCK(1, 1, 4, 4, 4)),
};

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
    const [m, n, lanes, unroll] of [[1, 1, 8, 3], [3, 2, 8, 1], [2, 3, 8, 2], [1, 2, 4, 3], [2, 1, 4, 5]]
  ) {
    const variants = same(TILE(m, n, lanes), FILTER_TILE("subgroup", m, n, unroll, lanes));
    await check(`tile ${m}x${n} of ${lanes} lanes`, geometry, { variants });
    const backwardFilter = FILTER_TILE("subgroup_pixels", m, n, unroll, lanes);
    await check(`tile ${m}x${n} of ${lanes} lanes with pixels`, geometry, {
      variants: { backwardFilter },
      passes: ["backwardFilter"],
    });
  }
  const blocks: [number, number, number, number, number][] = [
    [1, 1, 4, 2, 1],
    [2, 2, 4, 4, 3],
    [1, 2, 3, 2, 2],
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
    await check(name, geometry, {
      variants: { forward, backwardInput: forward },
      passes: PASSES.slice(0, 2),
    });
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

Deno.test("conv2d: dFilter in chunks of pixels, added in order", async () => {
  const geometry = { ...EDGE_CASES[2].geometry, images: 40 }; // 1400 pixels: 5 chunks
  await check("chunks", geometry, { variants: SMALL["in workgroup memory"], passes: ["backwardFilter"] });
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
    "Cannot run conv2d: 8 images of x and y take 8960 bytes; expected at most the 8000 bytes",
  );
  tf.dispose([x, f]);
});

const ACTIVATIONS: Record<string, (v: number, slope: number) => number> = {
  linear: (v) => v,
  relu: (v) => Math.max(v, 0),
  relu6: (v) => Math.min(6, Math.max(v, 0)),
  elu: (v) => v >= 0 ? v : Math.exp(v) - 1,
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
  tanh: Math.tanh,
  leakyrelu: (v) => v >= 0 ? v : 0.3 * v,
  prelu: (v, slope) => v >= 0 ? v : slope * v,
};

Deno.test("conv2d: bias, residual and every activation", async () => {
  for (const geometry of [EDGE_CASES[2].geometry, EDGE_CASES[3].geometry]) {
    const shapes = shapesOf(geometry);
    const channels = geometry.outChannels;
    const [x, f, bias, residual, slopes] = [shapes.x, shapes.filter, [channels], shapes.y, [channels]].map(
      draw,
    );
    const sums = conv2dForwardRef(x.values, f.values, geometry);
    for (const [name, activation] of Object.entries(ACTIVATIONS)) {
      for (const variant of [TILE(2, 1), BLOCK(2, 1, 8, 4, 2)]) {
        const y = withPoisonedOutputs(() =>
          conv2dForward(x.tensor, f.tensor, geometry, {
            bias: bias.tensor,
            residual: residual.tensor,
            activation: name as "relu",
            alpha: 0.3,
            ...(name === "prelu" ? { slopes: slopes.tensor } : {}),
          }, { variant })
        );
        const expected = sums.map((v, i) =>
          activation(v + bias.values[i % channels] + residual.values[i], slopes.values[i % channels])
        );
        compare(`conv2d ${name} ${variant.kind} (seed ${seed})`, await read(y), expected, 1e-4);
      }
    }
    tf.dispose([x, f, bias, residual, slopes].map(({ tensor }) => tensor));
  }
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

/** Runs `body` with our kernels and with tfjs's; both results. */
async function bothWays(body: () => tf.Tensor[]): Promise<Float32Array[][]> {
  const results: Float32Array[][] = [];
  for (const ours of [true, false]) {
    if (ours) register();
    else unregister();
    const tensors = tf.tidy(body);
    results.push(await Promise.all(tensors.map((tensor) => tensor.data<"float32">())));
    tf.dispose(tensors);
  }
  register();
  return results;
}

Deno.test("conv2d: tfjs's convolution gives the same with our kernels registered, gradients too", async () => {
  type Pad = number | "same" | "valid" | [
    [number, number],
    [number, number],
    [number, number],
    [number, number],
  ];
  const shapes: [number[], number[], Pad, number | [number, number]][] = [
    [[2, 8, 9, 4], [3, 3, 4, 8], "same", 2],
    [[1, 7, 7, 8], [2, 2, 8, 4], "valid", 1],
    [[1, 6, 6, 3], [3, 3, 3, 5], 1, [1, 2]],
    [[2, 6, 5, 3], [3, 2, 3, 5], [[0, 0], [2, 0], [0, 1], [0, 0]], 1],
  ];
  for (const [xShape, fShape, pad, strides] of shapes) {
    const x = draw(xShape).tensor as tf.Tensor4D;
    const f = draw(fShape).tensor as tf.Tensor4D;
    const before = tf.memory().numTensors;
    const results = await bothWays(() => {
      const loss = (a: tf.Tensor, b: tf.Tensor) =>
        tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, strides, pad).sin().sum() as tf.Scalar;
      return [tf.conv2d(x, f, strides, pad), ...tf.grads(loss)([x, f])];
    });
    results[0].forEach((values, part) =>
      compare(`tfjs ${xShape} part ${part} (seed ${seed})`, values, results[1][part], 1e-4)
    );
    assertEquals(tf.memory().numTensors, before);
    tf.dispose([x, f]);
  }
});

Deno.test("conv2d: tfjs's fused convolution gives the same with our kernels registered", async () => {
  const x = draw([2, 5, 6, 3]).tensor as tf.Tensor4D;
  const f = draw([3, 3, 3, 5]).tensor as tf.Tensor4D;
  const bias = draw([5]).tensor as tf.Tensor1D;
  const preluActivationWeights = draw([1, 1, 5]).tensor;
  for (const activation of ["linear", "relu", "relu6", "elu", "sigmoid", "leakyrelu", "prelu"] as const) {
    const results = await bothWays(() => [
      tf.fused.conv2d({
        x,
        filter: f,
        strides: 2,
        pad: "same",
        bias,
        activation,
        leakyreluAlpha: 0.3,
        ...(activation === "prelu" ? { preluActivationWeights } : {}),
      }),
    ]);
    compare(`fused ${activation} (seed ${seed})`, results[0][0], results[1][0], 1e-4);
  }
  const [ours, stock] = await bothWays(() => {
    const loss = (a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) =>
      tf.fused.conv2d({
        x: a as tf.Tensor4D,
        filter: b as tf.Tensor4D,
        strides: 1,
        pad: 1,
        bias: c,
        activation: "relu",
      }).square().sum() as tf.Scalar;
    return tf.grads(loss)([x, f, bias]);
  });
  ours.forEach((values, part) => compare(`fused gradient ${part} (seed ${seed})`, values, stock[part], 1e-4));
  tf.dispose([x, f, bias, preluActivationWeights]);
});

Deno.test("conv2d: what the kernels don't take runs on tfjs's own", async () => {
  const x = draw([1, 3, 5, 5]).tensor as tf.Tensor4D;
  const f = draw([3, 3, 3, 5]).tensor as tf.Tensor4D;
  const [ours, stock] = await bothWays(() => [tf.conv2d(x, f, 1, "valid", "NCHW")]);
  compare(`NCHW (seed ${seed})`, ours[0], stock[0], 1e-6);
  assertEquals(typeof stockKernel("FusedConv2D"), "function");
  tf.dispose([x, f]);
});

Deno.test("conv2d: tensors without elements give empty tensors, and zeros as the filter's gradient", async () => {
  const f = tf.ones<tf.Rank.R4>([3, 3, 3, 5]);
  const x = tf.zeros<tf.Rank.R4>([0, 5, 5, 3]);
  const small = tf.zeros<tf.Rank.R4>([1, 2, 2, 3]);
  const y = tf.conv2d(x, f, 1, "same");
  assertEquals([y.shape, [...await y.data()]], [[0, 5, 5, 5], []]);
  assertEquals(tf.conv2d(small, f, 1, "valid").shape, [1, 0, 0, 5]);
  assertEquals(tf.fused.conv2d({ x, filter: f, strides: 1, pad: "same", activation: "relu" }).shape, [
    0,
    5,
    5,
    5,
  ]);
  const loss = (a: tf.Tensor, b: tf.Tensor) =>
    tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, 1, "same").reshape([0, 5, 5, 5]) as tf.Tensor;
  const [dx, df] = tf.grads(loss)([x, f], tf.zeros([0, 5, 5, 5]));
  assertEquals(dx.shape, [0, 5, 5, 3]);
  assertEquals([...await df.data()], new Array(135).fill(0));
  tf.dispose([x, f, small, y, dx, df]);
});

Deno.test("foldBatchNorm: the folded convolution is the convolution and its batch norm", async () => {
  for (const channels of [12, 5]) {
    const x = draw([2, 5, 4, 6]);
    const f = draw([3, 3, 6, channels]);
    const residual = draw([2, 3, 2, channels]);
    const [gamma, beta, mean, spread] = [0, 1, 2, 3].map(() => draw([channels]));
    const variance = tf.tensor1d(spread.values.map(Math.abs));
    const before = tf.memory().numTensors;
    const tensors = { gamma: gamma.tensor, beta: beta.tensor, mean: mean.tensor, variance };
    const y = withPoisonedOutputs(() =>
      tf.tidy(() => {
        const folded = foldBatchNorm(f.tensor as tf.Tensor4D, tensors, 0.01);
        return conv2dInference(x.tensor as tf.Tensor4D, folded.filter, {
          strides: 1,
          pad: "valid",
          bias: folded.bias,
          residual: residual.tensor as tf.Tensor4D,
          activation: "relu",
        });
      })
    );
    const geometry = geometryOf([2, 5, 4, 6], [3, 3, 6, channels], { strides: 1, pad: "valid" });
    const expected = conv2dForwardRef(x.values, f.values, geometry).map((value, i) => {
      const k = i % channels;
      const normalised = (value - mean.values[k]) / Math.sqrt(Math.abs(spread.values[k]) + 0.01);
      return Math.max(0, normalised * gamma.values[k] + beta.values[k] + residual.values[i]);
    });
    compare(`folded to ${channels} channels (seed ${seed})`, await y.data<"float32">(), expected, 1e-4);
    y.dispose();
    assertEquals(tf.memory().numTensors, before);
    assertThrows(
      () => foldBatchNorm(f.tensor as tf.Tensor4D, { ...tensors, mean: x.tensor }, 0.01),
      RangeError,
      `Cannot run foldBatchNorm: mean has shape [2,5,4,6]; expected [${channels}]`,
    );
    tf.dispose([x, f, residual, gamma, beta, mean, spread].map(({ tensor }) => tensor));
    variance.dispose();
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
  tf.dispose([x, f, whole, right]);
});
