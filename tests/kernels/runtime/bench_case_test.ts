import * as tf from "@tensorflow/tfjs";
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { register, stockKernel } from "../../../kernels/mod.ts";
import { type BenchCase, type BenchRun, randomTensor } from "../../../kernels/runtime/bench.ts";
import { benchCase } from "../../../kernels/runtime/bench_case.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { relativeDifference } from "../../../kernels/runtime/difference.ts";
import { measurePeaks } from "../../../kernels/runtime/peak.ts";

await initializeDevice();
register();

const PEAKS = { gflops: 100, bandwidth: 10 };
const BUDGET = { time: 1, minRounds: 3, maxRounds: 5 };

/** Convolution on both sides: ours where our kernels are, tfjs's where tfjs's are. */
function convolution(more: Partial<BenchRun> = {}): BenchCase {
  return {
    op: "conv2d",
    name: "small",
    flops: 2 * 32 * 32 * 8 * 8,
    bytes: 4 * (2 * 32 * 32 * 8 + 64),
    setup() {
      const x = randomTensor<tf.Rank.R4>([1, 32, 32, 8]);
      const filter = randomTensor<tf.Rank.R4>([1, 1, 8, 8]);
      const run = () => tf.conv2d(x, filter, 1, 0);
      return { ours: run, stock: run, tolerance: 1e-5, dispose: () => tf.dispose([x, filter]), ...more };
    },
  };
}

Deno.test("a result has medians of interleaved samples, and nothing is left behind", async () => {
  const tensors = tf.memory().numTensors;
  const ids = tf.backend().numDataIds();
  const result = await benchCase(convolution(), PEAKS, BUDGET);
  assertEquals([result.op, result.case], ["conv2d", "small"]);
  assertEquals(result.dispatches, { ours: 1, stock: 1 });
  for (const side of ["ours", "stock"] as const) {
    const samples = result.samples[side];
    assert(samples.length >= 3 && samples.length <= 5 && samples.every((ms) => ms > 0));
    assert(Math.min(...samples) <= result[`${side}_ms`] && result[`${side}_ms`] <= Math.max(...samples));
  }
  assertAlmostEquals(result.ratio, result.stock_ms / result.ours_ms, 1e-9);
  assertAlmostEquals(result.gflops!, 2 * 32 * 32 * 64 / result.ours_ms / 1e6, 1e-9);
  // 65.8 kB at 10 GB/s take longer than 131 kFLOP at 100 GFLOP/s.
  const best = 4 * (2 * 32 * 32 * 8 + 64) / 10e6;
  assertAlmostEquals(result.percent_of_roofline!, 100 * best / result.ours_ms, 1e-9);
  assertEquals(tf.memory().numTensors, tensors);
  assertEquals(tf.backend().numDataIds(), ids);
});

Deno.test("each side runs on its own kernels", async () => {
  const isStock = () => tf.getKernel("Conv2D", "webgpu").kernelFunc === stockKernel("Conv2D");
  const seen = { ours: new Set<boolean>(), stock: new Set<boolean>() };
  const x = tf.tensor1d([1, 2]);
  const side = (name: "ours" | "stock") => () => {
    seen[name].add(isStock());
    return x.mul(2);
  };
  const result = await benchCase(convolution({ ours: side("ours"), stock: side("stock") }), PEAKS, BUDGET);
  assertEquals(seen, { ours: new Set([false]), stock: new Set([true]) });
  assertEquals(result.dispatches, { ours: 1, stock: 1 }); // small as it is, it runs on the device
  assert(!isStock());
  x.dispose();
});

Deno.test("sides that disagree are not timed", async () => {
  const x = tf.tensor1d([1, 2]);
  const wrong = (ours: () => tf.Tensor | tf.Tensor[], more: Partial<BenchRun> = {}) =>
    benchCase(convolution({ ours, stock: () => x.mul(2), tolerance: 0.1, ...more }), PEAKS, BUDGET);
  await assertRejects(
    () => wrong(() => x.mul(2.5)),
    Error,
    "Cannot time conv2d small: tensor 0 of ours differs from stock's by 0.25; expected at most 0.1",
  );
  await assertRejects(() => wrong(() => x.mul(NaN)), Error, "differs from stock's by Infinity");
  await assertRejects(() => wrong(() => [x.mul(2), x.mul(2)]), Error, "ours gives 2 tensors, stock 1");
  const state = { ours: [tf.tensor1d([1])], stock: [tf.tensor1d([2])] };
  await assertRejects(
    () => wrong(() => x.mul(2), { state }),
    Error,
    "tensor 1 of ours differs from stock's by 0.5",
  );
  tf.dispose([x, state]);
});

Deno.test("the wall clock, for whole steps", async () => {
  const result = await benchCase(convolution({ clock: "wall" }), PEAKS, {
    ...BUDGET,
    minRounds: 1,
    maxRounds: 1,
  });
  assert(result.ours_ms > 0 && result.stock_ms > 0);
});

Deno.test("differences: relative to the largest value, infinite for NaN and for other lengths", () => {
  assertEquals(relativeDifference([1, 2], [1, 4]), 0.5);
  assertEquals(relativeDifference([0, 0], [0, 0]), 0);
  assertEquals(relativeDifference([NaN, 2], [1, 2]), Infinity);
  assertEquals(relativeDifference([1, NaN], [1, 2]), Infinity);
  assertEquals(relativeDifference([1, 2], [NaN, 2]), Infinity);
  assertEquals(relativeDifference([1], [1, 2]), Infinity);
});

Deno.test("the adapter's peaks are measured", async () => {
  const { gflops, bandwidth } = await measurePeaks();
  assert(gflops > 1 && gflops < 1e6, `${gflops} GFLOP/s`);
  assert(bandwidth > 0.1 && bandwidth < 1e5, `${bandwidth} GB/s`);
});
