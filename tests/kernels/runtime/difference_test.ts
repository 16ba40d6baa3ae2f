import * as tf from "@tensorflow/tfjs";
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { randomTensor } from "../../../kernels/runtime/bench.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { relativeDifference, relativeDifferences } from "../../../kernels/runtime/difference.ts";

await initializeDevice();

/** Of two lists of values, on the device. */
async function differ(actual: number[], expected: number[], dtype: "float32" | "int32" = "float32") {
  const tensors = [tf.tensor1d(actual, dtype), tf.tensor1d(expected, dtype)];
  const [difference] = await relativeDifferences([tensors[0]], [tensors[1]]);
  tf.dispose(tensors);
  return difference;
}

Deno.test("the largest difference is a share of the largest expected value, and infinite for NaN", async () => {
  assertEquals(await differ([1, 2], [1, 4]), 0.5);
  assertEquals(await differ([1, -4], [1, 4]), 2);
  assertEquals(await differ([0, 0], [0, 0]), 0);
  assertEquals(await differ([3, 4], [3, 5], "int32"), 0.2);
  for (const nan of [NaN, -NaN]) {
    assertEquals(await differ([nan, 2], [1, 2]), Infinity);
    assertEquals(await differ([1, 2], [nan, 2]), Infinity);
  }
  assertEquals(await differ([Infinity], [1]), Infinity);
  assertEquals(await differ([Infinity], [Infinity]), Infinity);
  assertEquals(await differ([1], [Infinity]), Infinity);
  assertEquals(await differ([1], [1, 2]), Infinity);
});

Deno.test("NaN in any place of a large result is a difference", async () => {
  const expected = tf.ones([100000]);
  const values = new Float32Array(100000).fill(1);
  for (const at of [0, 63, 64, 5000, 16384, 99999]) {
    for (const nan of [NaN, Infinity]) {
      const other = values.slice();
      other[at] = nan;
      const actual = tf.tensor1d(other);
      assertEquals(await relativeDifferences([actual], [expected]), [Infinity], `${nan} at ${at}`);
      actual.dispose();
    }
  }
  expected.dispose();
});

Deno.test("tensors without another differ infinitely; what is compared is the caller's", async () => {
  const before = tf.memory().numTensors;
  const [a, b] = [tf.tensor1d([1, 2]), tf.tensor1d([1, 3])];
  assertEquals(await relativeDifferences([a, b], [a]), [0, Infinity]);
  assertEquals(await relativeDifferences([], [a]), [Infinity]);
  tf.dispose([a, b]);
  assertEquals(tf.memory().numTensors, before);
});

Deno.test("the device says what the host says, wherever the difference is", async () => {
  for (const length of [1, 63, 64, 65, 16384, 16385, 1500007]) {
    const a = randomTensor([length]);
    const values = await a.data<"float32">();
    for (const at of new Set([0, length >> 1, length - 1])) {
      const other = values.slice();
      other[at] += 0.25;
      const b = tf.tensor1d(other);
      const [difference] = await relativeDifferences([a], [b]);
      assertAlmostEquals(difference, relativeDifference(values, other), 1e-7);
      b.dispose();
    }
    a.dispose();
  }
});

Deno.test("random values are uniform in [-1, 1) and fresh, however many there are", async () => {
  for (const count of [4096, (1 << 20) + 5]) {
    const [a, b] = [randomTensor([count]), randomTensor([count])];
    const [x, y] = await Promise.all([a.data<"float32">(), b.data<"float32">()]);
    const mean = (f: (i: number) => number) => x.reduce((sum, _, i) => sum + f(i), 0) / count;
    const error = 5 / Math.sqrt(count);
    assertAlmostEquals(mean((i) => x[i]), 0, error);
    assertAlmostEquals(mean((i) => x[i] ** 2), 1 / 3, error);
    assertAlmostEquals(mean((i) => x[i] * y[i]), 0, error);
    assertAlmostEquals(mean((i) => x[i] * x[(i + 1) % count]), 0, error);
    assertEquals(x.every((v) => v >= -1 && v < 1), true);
    tf.dispose([a, b]);
  }
});
