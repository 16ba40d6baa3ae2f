import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import erfSource from "../../kernels/gelu/erf.wgsl" with { type: "text" };
import { gelu } from "../../kernels/gelu/gelu.ts";
import { ERF_TOLERANCE, GELU_CASES, GELU_TOLERANCE } from "../../kernels/gelu/gelu_cases.ts";
import { erfRef, geluDerivativeRef, geluRef } from "../../kernels/gelu/gelu_ref.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { run, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import resultsSource from "./erf.wgsl" with { type: "text" };
import { watchLeaks } from "./_leaks.ts";

await initializeDevice();
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "gelu");

function draw(shape: readonly number[]): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.normal(0, 2));
  return { values, tensor: tf.tensor(values, [...shape]) };
}

Deno.test("the reference's erf has the tabulated values, and GELU's derivative passes gradcheck", () => {
  // Abramowitz and Stegun, table 7.1, and 7.3 for the tail
  const table = [[0.02, 0.0225645747], [0.5, 0.5204998778], [1, 0.8427007929], [1.5, 0.9661051465], [
    2,
    0.995322265,
  ]];
  for (const [x, expected] of table) {
    assertLess(Math.abs(erfRef(x) - expected), 1e-10);
    assertLess(Math.abs(erfRef(-x) + expected), 1e-10);
  }
  assertLess(Math.abs(geluRef(-5 * Math.SQRT2) / (-5 * Math.SQRT2 * 0.5 * 1.53745979e-12) - 1), 1e-8);
  assertLess(Math.abs(erfRef(2 - 1e-12) - erfRef(2)), 1e-13); // series and fraction meet
  const x = Float64Array.from({ length: 30 }, () => random.normal(0, 2));
  const f = (x: Float64Array) => x.reduce((sum, v) => sum + geluRef(v), 0);
  gradcheck(`gelu (seed ${seed})`, f, x, x.map(geluDerivativeRef));
});

Deno.test("the shader's erf and GELU keep a relative error of 1e-6 over the whole range", async () => {
  const values = Float32Array.from({ length: 4096 }, (_, i) => (i - 2048) / 256 + random.uniform(0, 1 / 256));
  values.set([0, 0.5, -0.5, 30, -30, 1e-20, -1e-20, 88]);
  const x = tf.tensor1d(values);
  const count = values.length / 4;
  const [info] = withPoisonedOutputs(() =>
    run({
      shader: { file: "tests/kernels/erf.wgsl", source: resultsSource, includes: { "erf.wgsl": erfSource } },
      inputs: [x],
      outputs: [{ shape: [6, values.length] }],
      workgroups: [count],
    })
  );
  const results = tf.engine().makeTensorFromTensorInfo(info);
  const actual = await results.data<"float32">();
  const references = [erfRef, geluRef, geluDerivativeRef];
  const names = ["erf", "gelu", "gelu's derivative"];
  for (let part = 0; part < 6; part++) {
    const expected = Array.from(values, references[part % 3]);
    expected.forEach((reference, i) => {
      const error = Math.abs(actual[part * values.length + i] - reference);
      // The derivative is a sum of parts near 1, and has a zero; float32 holds no smaller tail than 1e-38.
      const scale = Math.max(Math.abs(reference), part % 3 === 2 ? 0.2 : 1e-30);
      // GELU's tail is exp(-x^2 / 2), whose argument is rounded.
      const tolerance = ERF_TOLERANCE + (part % 3 === 0 ? 0 : 1.2e-7 * values[i] ** 2);
      assertLess(error / scale, tolerance, `${names[part % 3]}(${values[i]}), seed ${seed}`);
    });
  }
  tf.dispose([x, results]);
});

for (const { name, shape } of GELU_CASES) {
  Deno.test(`gelu: ${name}`, async () => {
    const requireNoLeak = watchLeaks();
    const x = draw(shape);
    const dy = draw(shape);
    const { value, grad } = withPoisonedOutputs(() => tf.valueAndGrad(gelu)(x.tensor, dy.tensor));
    const label = `${name} (seed ${seed})`;
    compare(`gelu ${label}`, await value.data(), Array.from(x.values, geluRef), GELU_TOLERANCE);
    const dx = Array.from(x.values, (v, i) => dy.values[i] * geluDerivativeRef(v));
    // The derivative is a sum of parts near 1, and has a zero: its error is one of 1.
    compare(`gelu dx ${label}`, [...await grad.data(), 1], [...dx, 1], GELU_TOLERANCE);
    tf.dispose([x.tensor, dy.tensor, value, grad]);
    requireNoLeak();
  });
}

Deno.test("gelu: more workgroups than one dimension takes", async () => {
  const requireNoLeak = watchLeaks();
  const first = draw([10007]);
  const [y, dx, unlike] = tf.tidy(() => {
    const x = first.tensor.tile([421]); // beyond 65535 workgroups of 64
    const { value, grad } = withPoisonedOutputs(() => tf.valueAndGrad(gelu)(x, tf.onesLike(x)));
    const rows = [value, grad].map((tensor) => tensor.reshape([421, 10007]));
    const heads = rows.map((tensor) => tensor.slice([0, 0], [1, 10007]));
    // NaN equals nothing, so an element that is not written counts.
    return [...heads, tf.stack(rows.map((tensor, i) => tensor.notEqual(heads[i]).any()))];
  });
  assertEquals(Array.from(await unlike.data()), [0, 0], `seed ${seed}`);
  compare(`gelu (seed ${seed})`, await y.data(), Array.from(first.values, geluRef), GELU_TOLERANCE);
  compare(
    `gelu dx (seed ${seed})`,
    await dx.data(),
    Array.from(first.values, geluDerivativeRef),
    GELU_TOLERANCE,
  );
  tf.dispose([first.tensor, y, dx, unlike]);
  requireNoLeak();
});

Deno.test("gelu: refuses what it cannot take", () => {
  tf.tidy(() => {
    assertThrows(() => gelu(tf.zeros([0])), RangeError, "no empty dimension");
    assertThrows(() => gelu(tf.zeros([3], "int32")), TypeError, "float32");
  });
});
