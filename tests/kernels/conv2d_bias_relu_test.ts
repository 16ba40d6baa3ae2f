import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { biasReluBackward, conv2dBiasRelu } from "../../kernels/conv2d/conv2d_bias_relu.ts";
import { biasReluBackwardRef, biasReluForwardRef } from "../../kernels/conv2d/conv2d_bias_relu_ref.ts";
import { toleranceOf } from "../../kernels/matmul/matmul_cases.ts";
import { geometryOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import {
  conv2dBackwardFilterRef,
  conv2dBackwardInputRef,
  conv2dForwardRef,
} from "../../kernels/conv2d/conv2d_ref.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { release, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";

await initializeDevice();
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "conv2d_bias_relu");

function draw(size: number): Float32Array {
  return Float32Array.from({ length: size }, () => random.uniform(-1, 1));
}

async function read(info: tf.TensorInfo): Promise<Float32Array> {
  return await tf.backend().read(info.dataId) as Float32Array;
}

for (const [rows, channels] of [[1, 1], [1, 4], [7, 5], [130, 12], [1031, 7], [1031, 8]]) {
  Deno.test(`bias and ReLU backward: [${rows}, ${channels}], every tile constant`, async () => {
    const [dyValues, yValues] = [draw(rows * channels), draw(rows * channels).map((v) => Math.max(0, v))];
    const expected = biasReluBackwardRef(dyValues, yValues, channels);
    const [dy, y] = [tf.tensor2d(dyValues, [rows, channels]), tf.tensor2d(yValues, [rows, channels])];
    const tiles = [
      undefined,
      { lanes: 8, chunkRows: 128, sumRows: 4096 },
      { lanes: 64, chunkRows: 3, sumRows: 4096 },
      { lanes: 64, chunkRows: 3, sumRows: 5 }, // several passes over the sums
    ];
    for (const tile of tiles) {
      const [db, dz] = withPoisonedOutputs(() => biasReluBackward(dy, y, tile));
      const label = `[${rows}, ${channels}], tile ${JSON.stringify(tile)} (seed ${seed})`;
      assertEquals([...await read(dz)], [...Float32Array.from(expected.dz)], label); // a choice, no sum
      compare(`db ${label}`, [...await read(db), 1], [...expected.db, 1], toleranceOf(rows));
      [db, dz].forEach(release);
    }
    tf.dispose([dy, y]);
  });
}

const CASES = [
  { name: "one pixel", x: [1, 1, 1, 1], filter: [1, 1, 1], strides: 1, pad: 0 },
  { name: "primes", x: [2, 7, 5, 3], filter: [3, 3, 5], strides: 1, pad: 1 },
  { name: "stride 2", x: [3, 9, 8, 4], filter: [3, 3, 8], strides: 2, pad: 1 },
  { name: "vgg16 conv5_1, width 4", x: [4, 3, 3, 32], filter: [3, 3, 32], strides: 1, pad: 1 },
] as const;

for (const { name, x: shape, filter: [R, S, K], strides, pad } of CASES) {
  Deno.test(`conv2dBiasRelu: ${name}`, async () => {
    const before = tf.memory().numTensors;
    const filterShape = [R, S, shape[3], K] as [number, number, number, number];
    const geometry = geometryOf([...shape], filterShape, { strides, pad });
    const sizes = [shape, filterShape].map((s) => s.reduce((product, n) => product * n, 1));
    const [x, filter, bias] = [draw(sizes[0]), draw(sizes[1]), draw(K)];
    const inputs = [tf.tensor4d(x, [...shape]), tf.tensor4d(filter, filterShape), tf.tensor1d(bias)];
    const y = biasReluForwardRef(conv2dForwardRef(x, filter, geometry), bias);
    const dyValues = draw(y.length);
    const dy = tf.tensor4d(dyValues, [shape[0], geometry.outHeight, geometry.outWidth, K]);
    const op = (...[x, filter, bias]: tf.Tensor[]) =>
      conv2dBiasRelu(x as tf.Tensor4D, filter as tf.Tensor4D, bias as tf.Tensor1D, { strides, pad });
    const { value, grads } = withPoisonedOutputs(() => tf.valueAndGrads(op)(inputs, dy));
    const label = `${name} (seed ${seed})`;
    const products = R * S * shape[3];
    compare(`y ${label}`, [...await value.data(), 1], [...y, 1], toleranceOf(products));
    // Held against the mask of the y that was computed: next to 0 rounding may decide.
    const { dz, db } = biasReluBackwardRef(dyValues, await value.data(), K);
    const pixels = y.length / K;
    const expected = [
      [conv2dBackwardInputRef(dz, filter, geometry), R * S * K],
      [conv2dBackwardFilterRef(x, dz, geometry), pixels],
      [db, pixels],
    ] as const;
    for (const [i, [wanted, sum]] of expected.entries()) {
      compare(
        `${["dx", "dFilter", "db"][i]} ${label}`,
        [...await grads[i].data(), 1],
        [...wanted, 1],
        toleranceOf(sum),
      );
    }
    tf.dispose([...inputs, dy, value, ...grads]);
    assertEquals(tf.memory().numTensors, before);
  });
}

Deno.test("bias and ReLU: the reference's gradients pass gradcheck", () => {
  const channels = 3;
  let z = Float64Array.from(draw(12));
  const bias = Float64Array.from(draw(channels));
  const forward = (z: Float64Array, bias: Float64Array) => biasReluForwardRef(z, bias);
  // A step across ReLU's corner is no derivative.
  while (z.some((v, i) => Math.abs(v + bias[i % channels]) < 1e-3)) z = Float64Array.from(draw(12));
  const dy = Float64Array.from(draw(12));
  const { dz, db } = biasReluBackwardRef(dy, forward(z, bias), channels);
  const loss = (z: Float64Array, bias: Float64Array) =>
    forward(z, bias).reduce((sum, v, i) => sum + v * dy[i], 0);
  gradcheck(`dz (seed ${seed})`, (v) => loss(v, bias), z, dz);
  gradcheck(`db (seed ${seed})`, (v) => loss(z, v), bias, db);
});

Deno.test("conv2dBiasRelu: 1 dispatch forward; backward 1 or 2 for mask and bias beside the convolution's", () => {
  const inputs = [tf.ones([2, 4, 4, 4]), tf.ones([1, 1, 4, 8]), tf.ones([8])];
  const op = (...[x, filter, bias]: tf.Tensor[]) =>
    conv2dBiasRelu(x as tf.Tensor4D, filter as tf.Tensor4D, bias as tf.Tensor1D, { strides: 1, pad: 0 });
  const dy = tf.ones<tf.Rank.R4>([2, 4, 4, 8]);
  const forward = countDispatches(() => tf.dispose(op(...inputs)));
  assertEquals(forward, { ...forward, ours: 1, stock: 0 });
  const both = countDispatches(() => {
    const { value, grads } = tf.valueAndGrads(op)(inputs, dy);
    tf.dispose([value, ...grads]);
  });
  assertEquals(both.stock, 0);
  assertEquals(both.ours <= 5, true, `${both.ours} dispatches`);
  tf.dispose([...inputs, dy]);
});

Deno.test("conv2dBiasRelu: refuses what does not fit", () => {
  tf.tidy(() => {
    const x = tf.ones<tf.Rank.R4>([1, 2, 2, 3]);
    const filter = tf.ones<tf.Rank.R4>([1, 1, 3, 4]);
    const options = { strides: 1, pad: 0 };
    assertThrows(() => conv2dBiasRelu(x, filter, tf.ones([3]), options), RangeError, "bias has shape [3]");
    assertThrows(() => conv2dBiasRelu(x, tf.ones([1, 1, 2, 4]), tf.ones([4]), options), RangeError);
    assertThrows(() => conv2dBiasRelu(x.toInt(), filter, tf.ones([4]), options), TypeError, "int32");
  });
});
