import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { geometryOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import { conv2dForwardRef } from "../../kernels/conv2d/conv2d_ref.ts";
import { conv2dInference, foldBatchNorm } from "../../kernels/conv2d/inference.ts";
import { register, stockKernel, unregister } from "../../kernels/mod.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";
import { draw, seed } from "./_conv2d.ts";

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
