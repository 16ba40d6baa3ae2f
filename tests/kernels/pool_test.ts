import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { globalAveragePool, maxPool, register } from "../../kernels/mod.ts";
import {
  globalAveragePoolBackward,
  globalAveragePoolForward,
} from "../../kernels/pool/global_average_pool.ts";
import { maxPoolBackward, maxPoolForward, maxPoolGeometry } from "../../kernels/pool/max_pool.ts";
import {
  averageTolerance,
  GLOBAL_AVERAGE_POOL_CASES,
  MAX_POOL_EDGE_CASES,
  MAX_POOL_RESNET50_CASES,
  MAX_POOL_TOLERANCE,
  type MaxPoolCase,
} from "../../kernels/pool/pool_cases.ts";
import {
  globalAveragePoolBackwardRef,
  globalAveragePoolForwardRef,
  maxPoolBackwardRef,
  maxPoolForwardRef,
} from "../../kernels/pool/pool_ref.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { currentTraits, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { watchConstants } from "./_constants.ts";
import { watchLeaks } from "./_leaks.ts";

await initializeDevice();
const requireVaried = watchConstants("pool");
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "pool");

/** @param levels how many different values: few make ties */
function draw(shape: readonly number[], levels = 2 ** 20) {
  const length = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length }, () => Math.floor(random.uniform(-levels, levels)) / levels);
  return { values, tensor: tf.tensor<tf.Rank.R4>(values, [...shape] as [number, number, number, number]) };
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

async function checkMaxPool({ name, shape, options }: MaxPoolCase, levels?: number, lanes?: number) {
  const requireNoLeak = watchLeaks();
  const geometry = maxPoolGeometry(shape, options);
  const x = draw(shape, levels);
  const dy = draw([geometry.images, ...geometry.output, geometry.channels]);
  const [y, positions, dx] = withPoisonedOutputs(() => {
    const [y, positions] = maxPoolForward(x.tensor, geometry, lanes);
    return [y, positions, maxPoolBackward(dy.tensor, positions, geometry, lanes)];
  });
  const wanted = maxPoolForwardRef(x.values, geometry);
  const label = `${name} (seed ${seed})`;
  compare(`maxPool ${label}`, await read(y), wanted.y, 0);
  const wantedDx = maxPoolBackwardRef(dy.values, wanted.sources, geometry);
  compare(`maxPool dx ${label}`, await read(dx), wantedDx, MAX_POOL_TOLERANCE);
  tf.dispose([x.tensor, dy.tensor, tf.engine().makeTensorFromTensorInfo(positions)]);
  requireNoLeak();
}

for (const test of [...MAX_POOL_EDGE_CASES, ...MAX_POOL_RESNET50_CASES]) {
  Deno.test(`max pool: ${test.name}`, () => checkMaxPool(test));
}

Deno.test("max pool: the first of equal maxima gets the gradient", async () => {
  for (const test of MAX_POOL_EDGE_CASES) await checkMaxPool(test, 2);
});

Deno.test("max pool: any workgroup size, and more than 65535 workgroups", async () => {
  for (const lanes of [1, 8, 96]) await checkMaxPool(MAX_POOL_EDGE_CASES[1], undefined, lanes);
  await checkMaxPool(
    { name: "large", shape: [1, 257, 257, 1], options: { size: 1, strides: 1 } },
    undefined,
    1,
  );
});

Deno.test("max pool: NaN shows, and takes the gradient", async () => {
  const geometry = maxPoolGeometry([1, 4, 4, 1], { size: 2, strides: 2 });
  const x = tf.tensor4d([1, 2, NaN, 3, 4, 3, 5, 1, NaN, 1, -1, -2, 9, NaN, -4, -3], [1, 4, 4, 1]);
  const [y, positions] = maxPoolForward(x, geometry);
  const dx = maxPoolBackward(tf.tensor4d([1, 2, 3, 4], [1, 2, 2, 1]), positions, geometry);
  assertEquals([...await read(y)], [4, NaN, NaN, -1]);
  assertEquals([...await read(dx)], [0, 0, 2, 0, 1, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0]);
});

Deno.test("max pool: minus infinity is a maximum; padding is none; nothing leaks without a tape", async () => {
  const requireNoLeak = watchLeaks();
  const x = tf.tensor4d([-Infinity, -Infinity, -Infinity, -3], [1, 2, 2, 1]);
  const y = maxPool(x, { size: 2, strides: 2, pad: 1 });
  assertEquals([...await y.data()], [-Infinity, -Infinity, -Infinity, -3]);
  tf.dispose([x, y]);
  requireNoLeak();
});

Deno.test("max pool: the reference's gradient against central differences", () => {
  for (const { name, shape, options } of MAX_POOL_EDGE_CASES) {
    const geometry = maxPoolGeometry(shape, options);
    const length = shape.reduce((product, n) => product * n, 1);
    // Values at least 0.01 apart, in random order: no difference crosses from one maximum to another.
    const order = Float64Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = random.integer(i + 1);
      [order[i], order[j]] = [order[j], order[i]];
    }
    const x = order.map((rank) => 0.01 * rank);
    const { y, sources } = maxPoolForwardRef(x, geometry);
    const dy = y.map(() => random.uniform(-1, 1));
    const loss = (at: Float64Array) =>
      maxPoolForwardRef(at, geometry).y.reduce((sum, value, i) => sum + value * dy[i], 0);
    gradcheck(`max pool ${name} (seed ${seed})`, loss, x, maxPoolBackwardRef(dy, sources, geometry));
  }
});

Deno.test("max pool: the tape's gradient, and the stock layer's values", async () => {
  for (const ceilMode of [false, true]) {
    const options = { size: 3, strides: 2, ceilMode };
    const x = draw([2, 10, 8, 6]);
    const requireNoLeak = watchLeaks();
    const f = (layer: typeof maxPool) => (input: tf.Tensor) => layer(input as tf.Tensor4D, options).square();
    const [ours, stock] = [maxPool, stockLayers.maxPool as typeof maxPool].map((layer) =>
      [tf.tidy(() => f(layer)(x.tensor)), tf.grad(f(layer))(x.tensor)] as const
    );
    compare(`maxPool (seed ${seed})`, await ours[0].data(), await stock[0].data(), 0);
    compare(`maxPool tape (seed ${seed})`, await ours[1].data(), await stock[1].data(), MAX_POOL_TOLERANCE);
    tf.dispose([ours, stock] as unknown as tf.TensorContainer);
    requireNoLeak();
    x.tensor.dispose();
  }
});

Deno.test("max pool: what does not fit is refused", () => {
  const x = tf.ones<tf.Rank.R4>([1, 4, 5, 2]);
  const larger = "the window of [5,5] is larger than the image of [4,5]; expected a smaller one";
  const refused: [Parameters<typeof maxPool>[1], string][] = [
    [{ size: 5, strides: 1 }, `${larger}, or ceilMode`],
    [{ size: 0, strides: 1 }, "size is [0,0] and strides [1,1]"],
    [{ size: 2, strides: 1.5 }, "size is [2,2] and strides [1.5,1.5]"],
    [{ size: 2, strides: 1, pad: 2 }, "pad is [2,2]; expected whole numbers below the size [2,2]"],
  ];
  for (const [options, message] of refused) assertThrows(() => maxPool(x, options), RangeError, message);
  const { message } = assertThrows(() => maxPool(x, { size: 5, strides: 1, ceilMode: true }), RangeError);
  assertEquals(message, `Cannot run maxPool: ${larger}`);
  const empty = tf.ones<tf.Rank.R4>([0, 4, 4, 2]);
  assertThrows(() => maxPool(empty, { size: 2, strides: 2 }), RangeError, "x has shape [0,4,4,2]");
  assertThrows(() => globalAveragePool(empty), RangeError, "x has shape [0,4,4,2]");
  const whole = tf.ones<tf.Rank.R4>([1, 4, 4, 2], "int32");
  assertThrows(() => maxPool(whole, { size: 2, strides: 2 }), TypeError, "x is int32");
  assertThrows(() => globalAveragePool(whole), TypeError, "x is int32");
  tf.dispose([x, empty, whole]);
});

Deno.test({
  name: "max pool: windows as large as a software adapter takes, and larger ones, which are refused",
  ignore: !currentTraits().software,
  async fn() {
    // rows, most columns
    for (const [rows, columns] of [[1, 65532], [16, 4093], [257, 252], [21844, 1]] as const) {
      const size = [rows, columns] as const;
      const values = new Float32Array(rows * columns);
      values[values.length - 1] = 5;
      const x = tf.tensor4d(values, [1, rows, columns, 1]);
      const y = maxPool(x, { size, strides: 1 });
      assertEquals([...await y.data()], [5], `${size}`);
      assertThrows(
        () => maxPool(x, { size: [rows, columns + 1], strides: 1, pad: [0, 1] }),
        RangeError,
        `Cannot run maxPool: the window is [${rows},${
          columns + 1
        }]; expected rows times columns + 2 of at most 65534 on a ` + "software adapter",
      );
      tf.dispose([x, y]);
    }
    // Padded, one pixel lies in as many windows as one has pixels.
    const geometry = maxPoolGeometry([1, 1, 1, 1], { size: [257, 252], strides: 1, pad: [256, 251] });
    const dy = tf.ones([1, ...geometry.output, 1]);
    const positions = tf.zeros(dy.shape);
    const dx = maxPoolBackward(dy, positions, geometry);
    assertEquals([...await read(dx)], [257 * 252]);
    tf.dispose([dy, positions]);
  },
});

for (const { name, shape } of GLOBAL_AVERAGE_POOL_CASES) {
  Deno.test(`global average pool: ${name}`, async () => {
    const requireNoLeak = watchLeaks();
    const x = draw(shape);
    const dy = draw([shape[0], shape[3]]);
    const [y, dx] = withPoisonedOutputs(() => [
      globalAveragePoolForward(x.tensor),
      globalAveragePoolBackward(dy.tensor, shape.slice(1, 3)),
    ]);
    const label = `${name} (seed ${seed})`;
    const tolerance = averageTolerance(shape);
    compare(
      `globalAveragePool ${label}`,
      await read(y),
      globalAveragePoolForwardRef(x.values, shape),
      tolerance,
    );
    const wanted = globalAveragePoolBackwardRef(dy.values, shape);
    compare(`globalAveragePool dx ${label}`, await read(dx), wanted, 1e-6);
    tf.dispose([x.tensor, dy.tensor]);
    requireNoLeak();
  });
}

Deno.test("global average pool: every tile constant, and more than 65535 workgroups", async () => {
  const tile = { lanes: 8, chunkRows: 16, blockRows: 4 };
  const cases: [number[], typeof tile][] = [
    ...[2, 3, 6, 34, 35].map((chunkRows): [number[], typeof tile] => [[2, 5, 7, 3], { ...tile, chunkRows }]),
    ...[1, 2, 64].map((blockRows): [number[], typeof tile] => [[2, 5, 7, 3], { ...tile, blockRows }]),
    ...[1, 64].map((lanes): [number[], typeof tile] => [[2, 5, 7, 3], { ...tile, lanes }]),
    [[65537, 1, 1, 1], { ...tile, lanes: 1 }],
  ];
  for (const [shape, given] of cases) {
    const x = draw(shape);
    const dy = draw([shape[0], shape[3]]);
    const [y, dx] = withPoisonedOutputs(() => [
      globalAveragePoolForward(x.tensor, given),
      globalAveragePoolBackward(dy.tensor, shape.slice(1, 3), given),
    ]);
    const label = `[${shape}] ${JSON.stringify(given)} (seed ${seed})`;
    compare(label, await read(y), globalAveragePoolForwardRef(x.values, shape), averageTolerance(shape));
    compare(`dx ${label}`, await read(dx), globalAveragePoolBackwardRef(dy.values, shape), 1e-6);
    tf.dispose([x.tensor, dy.tensor]);
  }
});

Deno.test("global average pool: gradcheck of the reference, and the tape's gradient", async () => {
  const shape = [2, 3, 2, 5];
  const x = draw(shape);
  const dy = draw([2, 5]);
  const wanted = globalAveragePoolBackwardRef(dy.values, shape);
  const loss = (at: Float64Array) =>
    globalAveragePoolForwardRef(at, shape).reduce((sum, value, i) => sum + value * dy.values[i], 0);
  gradcheck(`global average pool (seed ${seed})`, loss, Float64Array.from(x.values), wanted);
  const requireNoLeak = watchLeaks();
  const dx = tf.grad((input) => globalAveragePool(input as tf.Tensor4D))(x.tensor, dy.tensor);
  compare(`tape (seed ${seed})`, await dx.data(), wanted, 1e-6);
  dx.dispose();
  requireNoLeak();
  tf.dispose([x.tensor, dy.tensor]);
});

Deno.test("global average pool: what cannot run leaves no reference to x behind", () => {
  const requireNoLeak = watchLeaks();
  const x = tf.zeros([0, 2, 2, 4]);
  assertThrows(() => globalAveragePoolForward(x), RangeError);
  x.dispose();
  requireNoLeak();
});

Deno.test("pool: the tests above vary every constant of the shaders", () => requireVaried());
