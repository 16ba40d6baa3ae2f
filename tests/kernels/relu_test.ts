import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { register } from "../../kernels/mod.ts";
import { relu } from "../../kernels/relu/relu.ts";
import { RELU_CASES } from "../../kernels/relu/relu_cases.ts";
import { reluDerivativeRef, reluRef } from "../../kernels/relu/relu_ref.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { watchLeaks } from "./_leaks.ts";

await initializeDevice();
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "relu");

function draw(shape: readonly number[]): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.normal(0, 2));
  return { values, tensor: tf.tensor(values, [...shape]) };
}

Deno.test("the derivative of ReLU's reference passes gradcheck", () => {
  const x = Float64Array.from({ length: 30 }, (_, i) => (i % 2 ? 1 : -1) * random.uniform(0.1, 2));
  const f = (x: Float64Array) => x.reduce((sum, v) => sum + reluRef(v), 0);
  gradcheck(`relu (seed ${seed})`, f, x, x.map(reluDerivativeRef));
});

for (const { name, shape } of RELU_CASES) {
  Deno.test(`relu: ${name}`, async () => {
    const requireNoLeak = watchLeaks();
    const [x, dy] = [draw(shape), draw(shape)];
    const { value, grad } = withPoisonedOutputs(() => tf.valueAndGrad(relu)(x.tensor, dy.tensor));
    const label = `${name} (seed ${seed})`;
    compare(`relu ${label}`, await value.data(), Array.from(x.values, reluRef), 0);
    const dx = Array.from(x.values, (v, i) => dy.values[i] * reluDerivativeRef(v));
    compare(`relu dx ${label}`, await grad.data(), dx, 0);
    tf.dispose([x.tensor, dy.tensor, value, grad]);
    requireNoLeak();
  });
}

Deno.test("relu: zeros, infinities, the smallest values", async () => {
  const values = [0, -0, 1e-45, -1e-45, Infinity, -Infinity, 3e38, -3e38];
  const x = tf.tensor1d(values);
  const { value, grad } = tf.valueAndGrad(relu)(x, tf.onesLike(x));
  // What is subnormal a driver may take for 0.
  assertEquals([...await value.data()].map((v) => Math.abs(v) < 1e-38 ? 0 : v), [
    ...[0, 0, 0, 0, Infinity, 0],
    ...[Math.fround(3e38), 0],
  ]);
  assertEquals([...await grad.data()].filter((_, i) => i !== 2), [0, 0, 0, 1, 0, 1, 0]);
  tf.dispose([x, value, grad]);
});

Deno.test("relu: more workgroups than one dimension takes", async () => {
  const x = tf.fill([16777217 + 256], -1); // beyond 65535 workgroups of 64 vec4s
  const unlike = tf.tidy(() => withPoisonedOutputs(() => relu(x)).notEqual(0).any());
  assertEquals([...await unlike.data()], [0]);
  tf.dispose([x, unlike]);
});

Deno.test("relu: refuses what it cannot take", () => {
  tf.tidy(() => {
    assertThrows(() => relu(tf.zeros([0])), RangeError, "no empty dimension");
    assertThrows(() => relu(tf.zeros([3], "int32")), TypeError, "float32");
  });
});
