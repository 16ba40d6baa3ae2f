import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import type { Activation } from "../../kernels/matmul/activation.ts";
import { matmul, type MatmulOptions } from "../../kernels/matmul/matmul.ts";
import { EDGE_CASES, type MatmulCase, MODEL_CASES, toleranceOf } from "../../kernels/matmul/matmul_cases.ts";
import { activationRef, matmulRef } from "../../kernels/matmul/matmul_ref.ts";
import { matmulShape } from "../../kernels/matmul/shape.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";

await initializeDevice();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "matmul");

function draw(shape: readonly number[]): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.uniform(-1, 1));
  return { values, tensor: tf.tensor(values, [...shape]) };
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

async function check(
  { name, a, b, transposeA, transposeB }: MatmulCase,
  extras: { bias?: boolean; activation?: Activation; addTo?: boolean } = {},
) {
  const shape = matmulShape(a, b, transposeA, transposeB);
  const { columns, rows, batches, inner } = shape;
  const left = draw(a);
  const right = draw(b);
  const bias = draw([columns]);
  const slopes = draw([columns]);
  const base = draw(shape.outShape);
  const options: MatmulOptions = {
    transposeA,
    transposeB,
    ...(extras.bias ? { bias: bias.tensor } : {}),
    ...(extras.activation ? { activation: extras.activation } : {}),
    ...(extras.activation === "prelu" ? { slopes: slopes.tensor } : {}),
    ...(extras.addTo ? { addTo: base.tensor } : {}),
  };
  const y = withPoisonedOutputs(() => matmul(left.tensor, right.tensor, options));
  const expected = matmulRef(left.values, right.values, shape).map((sum, i) => {
    const column = i % columns;
    const v = sum + (extras.bias ? bias.values[column] : 0);
    const slope = extras.activation === "prelu" ? slopes.values[column] : 0.2;
    return activationRef(extras.activation ?? "linear", v, slope) + (extras.addTo ? base.values[i] : 0);
  });
  const actual = extras.addTo ? await base.tensor.data<"float32">() : await read(y);
  const what = `matmul ${name} ${
    JSON.stringify(extras)
  } [${batches}, ${rows}, ${inner}, ${columns}] (seed ${seed})`;
  compare(what, actual, expected, toleranceOf(inner));
  tf.dispose([left, right, bias, slopes, base].map(({ tensor }) => tensor));
}

for (const testCase of [...EDGE_CASES, ...MODEL_CASES]) {
  Deno.test(`matmul: ${testCase.name}`, () => check(testCase));
}

Deno.test("matmul: bias, every activation, addTo", async () => {
  const [nn, tt] = [EDGE_CASES[1], EDGE_CASES[20]];
  const activations: Activation[] = [
    "relu",
    "relu6",
    "elu",
    "sigmoid",
    "tanh",
    "gelu",
    "leakyrelu",
    "prelu",
  ];
  for (const activation of activations) await check(nn, { activation, bias: activation !== "relu" });
  for (const testCase of [nn, tt]) {
    await check(testCase, { bias: true });
    await check(testCase, { addTo: true });
    await check(testCase, { bias: true, addTo: true });
  }
});

Deno.test("matmul: refuses what does not fit", () => {
  const a = tf.zeros([2, 3]);
  const b = tf.zeros([4, 5]);
  assertThrows(() => matmul(a, b), RangeError, "equal inner dimensions");
  assertThrows(() => matmul(a, tf.zeros([3])), RangeError, "two dimensions");
  assertThrows(() => matmul(a, tf.zeros([3, 0])), RangeError, "no empty dimension");
  assertThrows(() => matmul(tf.zeros([2, 2, 3]), tf.zeros([3, 3, 5])), RangeError, "batch dimensions");
  assertThrows(() => matmul(a, b, { transposeA: true, bias: tf.zeros([5]) }), RangeError, "equal inner");
  assertThrows(() => matmul(a, a, { transposeB: true, bias: tf.zeros([3]) }), RangeError, "expected [2]");
  assertThrows(() => matmul(a, a, { transposeB: true, addTo: tf.zeros([3]) }), RangeError, "expected [2, 2]");
  assertThrows(() => matmul(a, a.toInt(), { transposeB: true }), TypeError, "float32");
  tf.dispose([a, b]);
});
