import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import {
  addLayerNorm,
  layerNorm,
  layerNormBackward,
  layerNormForward,
  type LayerNormTile,
} from "../../kernels/layer_norm/layer_norm.ts";
import {
  LAYER_NORM_CASES,
  type LayerNormCase,
  toleranceOf,
} from "../../kernels/layer_norm/layer_norm_cases.ts";
import { layerNormBackwardRef, layerNormForwardRef } from "../../kernels/layer_norm/layer_norm_ref.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { backendInternals, currentTraits, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { chooseRowTile } from "../../kernels/runtime/rows.ts";
import { kernelLayers } from "../../models/layers_kernels.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { watchConstants } from "./_constants.ts";
import { watchLeaks } from "./_leaks.ts";

await initializeDevice();
const requireVaried = watchConstants("layer_norm");
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "layerNorm");
const EPSILON = 1e-5;

function draw(shape: readonly number[], mean = 0): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.normal(mean));
  return { values, tensor: tf.tensor(values, [...shape]) };
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

/** @param added x is the sum of two, which goes another way too */
async function check(layerNormCase: LayerNormCase, tile?: LayerNormTile, added = false): Promise<void> {
  const { name, shape, mean } = layerNormCase;
  const requireNoLeak = watchLeaks();
  const size = shape[shape.length - 1];
  const [x, dy, residual, more] = [draw(shape, mean), draw(shape), draw(shape), draw(shape)];
  const [gamma, beta] = [draw([size], 1), draw([size])];
  const label = `${name}${tile ? ` ${JSON.stringify(tile)}` : ""}${added ? ", added" : ""} (seed ${seed})`;
  const [y, dx, dgamma, dbeta, sum] = withPoisonedOutputs(() => {
    const given = added ? residual.tensor : undefined;
    const [y, saved, sum] = layerNormForward(x.tensor, gamma.tensor, beta.tensor, EPSILON, tile, given);
    const normed = sum ?? x.tensor;
    const other = added ? more.tensor : undefined;
    const gradients = layerNormBackward(normed, dy.tensor, gamma.tensor, saved, tile, other);
    tf.engine().makeTensorFromTensorInfo(saved).dispose();
    return [y, ...gradients, sum];
  });
  const tolerance = toleranceOf(layerNormCase);
  const values = added ? x.values.map((value, i) => value + residual.values[i]) : x.values;
  if (sum) compare(`layerNorm sum ${label}`, await read(sum), values, tolerance);
  const expected = layerNormForwardRef(values, gamma.values, beta.values, EPSILON);
  compare(`layerNorm ${label}`, await read(y!), expected, tolerance);
  const reference = layerNormBackwardRef(values, dy.values, gamma.values, EPSILON);
  if (added) more.values.forEach((value, i) => reference.dx[i] += value);
  for (const [part, info] of Object.entries({ dx, dgamma, dbeta })) {
    const actual = await read(info!);
    const wanted = reference[part as keyof typeof reference];
    const what = `layerNorm ${part} ${label}`;
    if (size > 1) compare(what, actual, wanted, tolerance);
    else if (part !== "dx") compare(what, [...actual, 1], [...wanted, 1], tolerance);
    else {
      // With one column, dx is 1 / sqrt(epsilon) times dy gamma less its mean, which is itself. Each is rounded, by 2^-24
      // at most, unless a driver fuses one product with the subtraction: then they differ.
      const largest = Math.max(...dy.values.map((d) => Math.abs(d * gamma.values[0]))) / Math.sqrt(EPSILON);
      compare(what, [...actual, largest], [...wanted, largest], 2 ** -22);
    }
  }
  tf.dispose([x, dy, gamma, beta, residual, more].map(({ tensor }) => tensor));
  requireNoLeak();
}

for (const layerNormCase of LAYER_NORM_CASES) {
  Deno.test(`layerNorm: ${layerNormCase.name}`, () => check(layerNormCase));
}

Deno.test("layerNorm: every tile", async () => {
  const tiles: [number, number, number][] = [[1, 8, 128], [1, 3, 2], [2, 4, 1], [4, 1, 5], [16, 2, 7], [
    64,
    1,
    4,
  ]];
  for (const [ROW_LANES, ROWS, chunkRows] of tiles) {
    for (const shape of [[7, 13], [9, 20]]) {
      for (const added of [false, true]) {
        await check({ name: `[${shape}]`, shape }, { ROW_LANES, ROWS, chunkRows }, added);
      }
    }
  }
});

Deno.test("layerNorm: more workgroups than one dimension takes", async () => {
  const rows = 65536;
  const [x, gamma] = [draw([1, 2]), draw([2], 1)];
  const tile = { ROW_LANES: 1, ROWS: 1, chunkRows: rows };
  const [y, dx] = tf.tidy(() => {
    const many = x.tensor.tile([rows, 1]);
    const infos = withPoisonedOutputs(() => {
      const [y, saved] = layerNormForward(many, gamma.tensor, tf.zeros([2]), EPSILON, tile);
      return [y, saved, ...layerNormBackward(many, many, gamma.tensor, saved, tile)];
    });
    const tensors = infos.map((info) => tf.engine().makeTensorFromTensorInfo(info));
    return [tensors[0], tensors[2]];
  });
  const repeat = (values: Float64Array) => Array.from({ length: 2 * rows }, (_, i) => values[i % 2]);
  const expected = layerNormForwardRef(x.values, gamma.values, [0, 0], EPSILON);
  compare(`layerNorm, many rows (seed ${seed})`, await y.data(), repeat(expected), 1e-5);
  const reference = layerNormBackwardRef(x.values, x.values, gamma.values, EPSILON);
  // dx of two columns is 0 but for epsilon.
  compare(
    `layerNorm dx, many rows (seed ${seed})`,
    [...await dx.data(), 1],
    [...repeat(reference.dx), 1],
    1e-4,
  );
  tf.dispose([x.tensor, gamma.tensor, y, dx]);
});

Deno.test({
  name:
    "layerNorm: rows that a software adapter's largest workgroup shares, and longer ones, which are refused",
  ignore: !currentTraits().software,
  async fn() {
    const size = 3_000_001;
    const [ones, zeros] = [new Float32Array(size).fill(1), new Float32Array(size)];
    const values = zeros.map((_, i) => i * 7919 % 1009);
    const [x, gamma, beta] = [tf.tensor2d(values, [1, size]), tf.tensor1d(ones), tf.tensor1d(zeros)];
    const y = layerNorm(x, gamma, beta, EPSILON);
    compare(
      "layerNorm of a very long row",
      await y.data(),
      layerNormForwardRef(values, ones, zeros, EPSILON),
      1e-5,
    );
    tf.dispose([x, gamma, beta, y]);
    const most = backendInternals().device.limits.maxComputeInvocationsPerWorkgroup * Math.floor(64510 / 3);
    assertEquals(chooseRowTile("layerNorm", most, 3).ROWS, 1);
    assertThrows(
      () => chooseRowTile("layerNorm", most + 1, 3),
      RangeError,
      `Cannot run layerNorm: a row has ${
        most + 1
      } elements (of 4 values, where it can be divided so); expected at ` +
        `most ${most} on a software adapter`,
    );
  },
});

Deno.test("layerNorm: the reference's gradient passes gradcheck", () => {
  const [rows, size] = [3, 5];
  const values = (count: number) => Float64Array.from({ length: count }, () => random.normal());
  const [x, dy, gamma, beta] = [values(rows * size), values(rows * size), values(size), values(size)];
  const { dx, dgamma, dbeta } = layerNormBackwardRef(x, dy, gamma, EPSILON);
  const loss = (x: Float64Array, gamma: Float64Array, beta: Float64Array) =>
    layerNormForwardRef(x, gamma, beta, EPSILON).reduce((sum, y, i) => sum + y * dy[i], 0);
  gradcheck(`layerNorm x (seed ${seed})`, (x) => loss(x, gamma, beta), x, dx, 1e-6);
  gradcheck(`layerNorm gamma (seed ${seed})`, (gamma) => loss(x, gamma, beta), gamma, dgamma);
  gradcheck(`layerNorm beta (seed ${seed})`, (beta) => loss(x, gamma, beta), beta, dbeta);
});

Deno.test("layerNorm: tf.grads through both layers, without leaking tensors", async () => {
  for (const shape of [[2, 3, 8], [4, 7]]) {
    const requireNoLeak = watchLeaks();
    const size = shape[shape.length - 1];
    const inputs = [draw(shape), draw([size], 1), draw([size])].map(({ tensor }) => tensor);
    const results: Float32Array[][] = [];
    for (const layers of [kernelLayers, stockLayers]) {
      const f = (x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) =>
        layers.layerNorm(x, gamma as tf.Tensor1D, beta as tf.Tensor1D, EPSILON).sin().sum() as tf.Scalar;
      const { value, grads } = tf.valueAndGrads(f)(inputs);
      results.push(await Promise.all([value, ...grads].map((tensor) => tensor.data<"float32">())));
      tf.dispose([value, ...grads]);
    }
    results[0].forEach((part, i) =>
      compare(`layerNorm of both layers, part ${i} (seed ${seed})`, part, results[1][i], 2e-5)
    );
    const y = layerNorm(inputs[0], inputs[1] as tf.Tensor1D, inputs[2] as tf.Tensor1D, EPSILON);
    assertEquals(y.shape, shape);
    tf.dispose([y, ...inputs]);
    requireNoLeak();
  }
});

Deno.test("layerNorm of a sum: tf.grads through both layers, without leaking tensors", async () => {
  for (const shape of [[2, 3, 8], [4, 7]]) {
    const requireNoLeak = watchLeaks();
    const size = shape[shape.length - 1];
    const inputs = [draw(shape), draw(shape), draw([size], 1), draw([size])].map(({ tensor }) => tensor);
    const results: Float32Array[][] = [];
    for (const layers of [kernelLayers, stockLayers]) {
      const f = (x: tf.Tensor, residual: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) => {
        const [sum, y] = layers.addLayerNorm(x, residual, gamma as tf.Tensor1D, beta as tf.Tensor1D, EPSILON);
        return y.sin().add(sum.square()).sum() as tf.Scalar;
      };
      const { value, grads } = tf.valueAndGrads(f)(inputs);
      results.push(await Promise.all([value, ...grads].map((tensor) => tensor.data<"float32">())));
      tf.dispose([value, ...grads]);
    }
    results[0].forEach((part, i) =>
      compare(`layerNorm of a sum of both layers, part ${i} (seed ${seed})`, part, results[1][i], 2e-5)
    );
    const [x, residual, gamma, beta] = inputs;
    tf.dispose(addLayerNorm(x, residual, gamma as tf.Tensor1D, beta as tf.Tensor1D, EPSILON));
    const other = tf.zeros([...shape, 1]);
    assertThrows(
      () => addLayerNorm(x, other, gamma as tf.Tensor1D, beta as tf.Tensor1D, EPSILON),
      RangeError,
      `residual has shape [${other.shape}]; expected [${shape}]`,
    );
    tf.dispose([other, ...inputs]);
    requireNoLeak();
  }
});

Deno.test("layerNorm: refuses what it cannot take", () => {
  tf.tidy(() => {
    const [x, four] = [tf.zeros([3, 4]), tf.zeros<tf.Rank.R1>([4])];
    const five = tf.zeros<tf.Rank.R1>([5]);
    assertThrows(() => layerNorm(x, five, four, EPSILON), RangeError, "gamma has shape [5]");
    assertThrows(() => layerNorm(x, four, five, EPSILON), RangeError, "beta has shape [5]");
    assertThrows(() => layerNorm(tf.zeros([0, 4]), four, four, EPSILON), RangeError, "no empty dimension");
    assertThrows(() => layerNorm(tf.scalar(1), four, four, EPSILON), RangeError, "expected [.., D]");
    assertThrows(() => layerNorm(tf.zeros([3, 4], "int32"), four, four, EPSILON), TypeError, "x is int32");
    assertThrows(() => layerNorm(x, four, four, -1), RangeError, "epsilon is -1");
  });
});

Deno.test("layer norm: the tests above vary every constant of the shaders", () => requireVaried());
