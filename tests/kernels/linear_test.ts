import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { linear, linearBackwardSums } from "../../kernels/linear/linear.ts";
import { EDGE_CASES, MODEL_CASES } from "../../kernels/linear/linear_cases.ts";
import { linearBackwardRef, linearRef } from "../../kernels/linear/linear_ref.ts";
import { toleranceOf } from "../../kernels/matmul/matmul_cases.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { withGrid } from "./_limits.ts";
import { watchConstants } from "./_constants.ts";

await initializeDevice();
const requireVaried = watchConstants("linear");
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "linear");

function draw(size: number): Float32Array {
  return Float32Array.from({ length: size }, () => random.uniform(-1, 1));
}

for (const layer of [...EDGE_CASES, ...MODEL_CASES]) {
  Deno.test(`linear: ${layer.name}`, async () => {
    const { rows, depth, columns, activation } = layer;
    const before = tf.memory().numTensors;
    const [x, weight, bias, dy] = [rows * depth, depth * columns, columns, rows * columns].map(draw);
    const inputs = [tf.tensor2d(x, [rows, depth]), tf.tensor2d(weight, [depth, columns]), tf.tensor1d(bias)];
    const upstream = tf.tensor2d(dy, [rows, columns]);
    const layerOf = (...[x, weight, bias]: tf.Tensor[]) =>
      linear(x as tf.Tensor2D, weight as tf.Tensor2D, bias as tf.Tensor1D, activation);
    const [y, { value, grads }] = withPoisonedOutputs(() =>
      [layerOf(...inputs), tf.valueAndGrads(layerOf)(inputs, upstream)] as const
    );
    const label = `${layer.name} (seed ${seed})`;
    // A product may cancel the bias: the error is one of 1.
    const expected = [...linearRef(layer, x, weight, bias), 1];
    const tolerance = toleranceOf(depth);
    compare(`linear ${label}`, [...await y.data(), 1], expected, tolerance);
    compare(`linear under the tape ${label}`, [...await value.data(), 1], expected, tolerance);
    const gradients = linearBackwardRef(layer, dy, x, weight, bias);
    const sizes = { dx: columns, dWeight: rows, dBias: rows };
    for (const [i, name] of (["dx", "dWeight", "dBias"] as const).entries()) {
      compare(`linear ${name} ${label}`, await grads[i].data(), gradients[name], toleranceOf(sizes[name]));
    }
    tf.dispose([...inputs, upstream, y, value, ...grads]);
    assertEquals(tf.memory().numTensors, before);
  });
}

Deno.test("linear: the reference's gradients pass gradcheck", () => {
  for (const layer of EDGE_CASES.filter(({ name }) => name.startsWith("primes"))) {
    const { rows, depth, columns } = layer;
    const drawAll = () =>
      [rows * depth, depth * columns, columns, rows * columns].map((size) => Float64Array.from(draw(size)));
    let [x, weight, bias, dy] = drawAll();
    // A step across ReLU's corner is no derivative: all sums keep off it.
    const sums = () => linearRef({ ...layer, activation: undefined }, x, weight, bias);
    while (sums().some((z) => Math.abs(z) < 1e-3)) [x, weight, bias, dy] = drawAll();
    const { dx, dWeight, dBias } = linearBackwardRef(layer, dy, x, weight, bias);
    const loss = (x: Float64Array, weight: Float64Array, bias: Float64Array) =>
      linearRef(layer, x, weight, bias).reduce((sum, v, i) => sum + v * dy[i], 0);
    const what = `linear ${layer.name} (seed ${seed})`;
    gradcheck(`${what} dx`, (v) => loss(v, weight, bias), x, dx);
    gradcheck(`${what} dWeight`, (v) => loss(x, v, bias), weight, dWeight);
    gradcheck(`${what} dBias`, (v) => loss(x, weight, v), bias, dBias);
  }
});

/** Holds the sums of the bias's gradient against the reference. */
async function checkSums([rows, columns]: number[], tile: [number, number], relu: boolean) {
  const [dy, y] = [draw(rows * columns), draw(rows * columns)];
  const tensors = { dy: tf.tensor2d(dy, [rows, columns]), y: tf.tensor2d(y, [rows, columns]) };
  const dz = Float64Array.from(dy, (value, i) => relu && y[i] <= 0 ? 0 : value);
  const dBias = new Float64Array(columns);
  dz.forEach((value, i) => dBias[i % columns] += value);
  const outputs = withPoisonedOutputs(() =>
    linearBackwardSums(tensors, { activation: relu ? "relu" : undefined }, tile)
  ).map((info) => tf.engine().makeTensorFromTensorInfo(info));
  const what = `linear sums [${rows}, ${columns}], tile ${tile}, relu ${relu} (seed ${seed})`;
  for (const [i, expected] of [dBias, ...(relu ? [dz] : [])].entries()) {
    compare(what, await outputs[i].data(), expected, toleranceOf(rows));
  }
  assertEquals(outputs.map(({ shape }) => shape), relu ? [[columns], [rows, columns]] : [[columns]]);
  tf.dispose([...outputs, ...Object.values(tensors)]);
}

Deno.test("linear: every tile constant of the bias's sums", async () => {
  for (const relu of [false, true]) {
    for (const tile of [[1, 1], [4, 3], [32, 8], [3, 16]] as [number, number][]) {
      await checkSums([13, 11], tile, relu);
    }
  }
});

Deno.test("linear: the bias's sums on a grid of several rows", () =>
  withGrid(4, () => checkSums([13, 11], [1, 1], true)));

Deno.test("linear: the bias's sums over more rows than a loop of llvmpipe may make", async () => {
  for (const relu of [false, true]) await checkSums([131101, 2], [2, 1], relu);
});

Deno.test("linear: 1 dispatch forward, 3 backward; GELU takes one more each way", () => {
  for (const activation of [undefined, "relu", "gelu"] as const) {
    const inputs = [tf.ones([8, 4]), tf.ones([4, 12]), tf.ones([12])];
    const layerOf = (...[x, weight, bias]: tf.Tensor[]) =>
      linear(x as tf.Tensor2D, weight as tf.Tensor2D, bias as tf.Tensor1D, activation);
    const dy = tf.ones<tf.Rank.R2>([8, 12]);
    const forward = countDispatches(() => tf.dispose(layerOf(...inputs)));
    const both = countDispatches(() => {
      const { value, grads } = tf.valueAndGrads(layerOf)(inputs, dy);
      tf.dispose([value, ...grads]);
    });
    assertEquals(forward.ours + forward.stock, 1, `${activation} forward`);
    assertEquals(both.ours + both.stock, activation === "gelu" ? 6 : 4, `${activation} forward and backward`);
    tf.dispose([...inputs, dy]);
  }
});

Deno.test("linear: refuses what does not fit", () => {
  tf.tidy(() => {
    const x = tf.ones<tf.Rank.R2>([2, 3]);
    const weight = tf.ones<tf.Rank.R2>([3, 4]);
    assertThrows(() => linear(x, x, tf.ones([3])), RangeError, "x has shape [2,3] and weight [2,3]");
    assertThrows(() => linear(x, weight, tf.ones([3])), RangeError, "bias has shape [3]; expected [4]");
    assertThrows(() => linear(tf.ones([0, 3]), weight, tf.ones([4])), RangeError, "none empty");
    assertThrows(() => linear(x.toInt(), weight, tf.ones([4])), TypeError, "x is int32; expected float32");
  });
});

Deno.test("linear: the tests above vary every constant of the shaders", () => requireVaried());
