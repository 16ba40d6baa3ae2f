import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { conv2dBackwardFilter, conv2dBackwardInput, conv2dForward } from "../../kernels/conv2d/conv2d.ts";
import { geometryOf, shapesOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import { conv2dForwardRef } from "../../kernels/conv2d/conv2d_ref.ts";
import { conv2dInference, foldBatchNorm } from "../../kernels/conv2d/inference.ts";
import { register, stockKernel, unregister } from "../../kernels/mod.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { sharesBuffer } from "../../kernels/runtime/tensors.ts";
import { compare } from "../_compare.ts";
import { draw, FILTER_TILE, seed, TILE } from "./_conv2d.ts";
import { withLimit } from "./_limits.ts";

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

Deno.test("conv2d: gradients of larger outputs, cropping, and strides beyond a grid run on tfjs's own", async () => {
  const draw4 = (...shape: number[]) => draw(shape).tensor as tf.Tensor4D;
  const transposed = [
    { x: draw4(1, 2, 2, 1), f: draw4(2, 2, 1, 1), shape: [1, 2, 2, 1], pad: "same" },
    { x: draw4(1, 3, 3, 1), f: draw4(2, 2, 1, 1), shape: [1, 4, 4, 1], pad: "valid" },
  ] as const;
  for (const { x, f, shape, pad } of transposed) {
    // The gradient of x fails in tfjs.
    const op = (f: tf.Tensor) =>
      tf.conv2dTranspose(
        x,
        f as tf.Tensor4D,
        [...shape] as [number, number, number, number],
        2,
        pad,
      );
    const [ours, stock] = await bothWays(() => [op(f), tf.grad(op)(f)]);
    ours.forEach((values, part) =>
      compare(`transposed to ${shape}, ${part} (seed ${seed})`, values, stock[part], 1e-5)
    );
    tf.dispose([x, f]);
  }
  const steps = [
    { x: draw4(1, 5, 6, 4), f: draw4(3, 3, 4, 4), strides: 1, pad: -1 },
    { x: draw4(1, 310, 310, 1), f: draw4(1, 1, 1, 2), strides: 300, pad: 0 },
  ];
  for (const { x, f, strides, pad } of steps) {
    const op = (...[x, f]: tf.Tensor[]) => tf.conv2d(x as tf.Tensor4D, f as tf.Tensor4D, strides, pad);
    const [ours, stock] = await bothWays(() => [op(x, f), ...tf.grads(op)([x, f])]);
    ours.forEach((values, part) => compare(`pad ${pad}, ${part} (seed ${seed})`, values, stock[part], 1e-5));
    tf.dispose([x, f]);
  }
});

Deno.test("conv2d: without input channels sums are 0, their gradients empty", async () => {
  const [x, f] = [tf.zeros<tf.Rank.R4>([1, 2, 2, 0]), tf.zeros<tf.Rank.R4>([1, 1, 0, 3])];
  const before = tf.memory().numTensors;
  const bias = tf.tensor1d([-1, 2, 3]);
  const options = { x, filter: f, strides: 1, pad: 0 } as const;
  const results = [
    tf.conv2d(x, f, 1, 0),
    tf.fused.conv2d(options),
    tf.fused.conv2d({ ...options, bias, activation: "relu" }),
    tf.fused.conv2d({
      x: tf.zeros<tf.Rank.R4>([1, 0, 2, 1]),
      filter: tf.ones<tf.Rank.R4>([1, 1, 1, 3]),
      strides: 1,
      pad: [[0, 0], [1, 1], [0, 0], [0, 0]],
      bias,
    }),
  ];
  const rows = [[0, 0, 0], [0, 0, 0], [0, 2, 3], [-1, 2, 3]];
  for (const [i, y] of results.entries()) {
    assertEquals([y.shape, [...await y.data()]], [[1, 2, 2, 3], [0, 1, 2, 3].flatMap(() => rows[i])]);
  }
  const loss = (a: tf.Tensor, b: tf.Tensor) => tf.conv2d(a as tf.Tensor4D, b as tf.Tensor4D, 1, 0);
  const gradients = tf.grads(loss)([x, f]);
  assertEquals(gradients.map(({ shape }) => shape), [[1, 2, 2, 0], [1, 1, 0, 3]]);
  tf.dispose([...results, ...gradients, bias]);
  assertEquals(tf.memory().numTensors, before + 2);
  tf.dispose([x, f]);
});

Deno.test("conv2d: what throws leaves no tensor and no reference behind", () => {
  const geometry = geometryOf([2, 3, 4, 3], [2, 2, 3, 61], { strides: 1, pad: 0 });
  const { x, filter, y } = shapesOf(geometry);
  const [a, f, dy, bias] = [x, filter, y, [61]].map((shape) => tf.ones(shape));
  const ids = tf.backend().numDataIds();
  const [tile, filterTile] = [TILE(2, 1), FILTER_TILE("subgroup", 1, 1)].map(({ kind, constants }) => ({
    kind,
    constants: { ...constants, NONE: 1 },
  }));
  const passes = [
    () => conv2dForward(a, f, geometry, { bias }, { variant: tile }),
    () => conv2dBackwardInput(dy, f, geometry, { variant: tile }),
    () => conv2dBackwardFilter(a, dy, geometry, { variant: filterTile }),
  ];
  for (const pass of passes) assertThrows(pass, SyntaxError, "no const NONE");
  // The filter, padded, takes 3072 bytes.
  const options = { x: a as tf.Tensor4D, filter: f as tf.Tensor4D, strides: 1, pad: 0, bias };
  assertThrows(
    () => withLimit("maxStorageBufferBindingSize", 3000, () => tf.fused.conv2d(options)),
    RangeError,
    "takes 3072 bytes",
  );
  assertEquals([tf.backend().numDataIds(), sharesBuffer(bias)], [ids, false]);
  tf.dispose([a, f, dy, bias]);
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
