import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import type { Activation } from "../../kernels/matmul/activation.ts";
import {
  candidates,
  defaultVariant,
  matmul,
  type MatmulOptions,
  type MatmulVariant,
} from "../../kernels/matmul/matmul.ts";
import { EDGE_CASES, type MatmulCase, MODEL_CASES, toleranceOf } from "../../kernels/matmul/matmul_cases.ts";
import { activationRef, matmulBackwardRef, matmulRef } from "../../kernels/matmul/matmul_ref.ts";
import { matmulShape } from "../../kernels/matmul/shape.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { register, unregister } from "../../kernels/mod.ts";
import { currentTraits, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { watchConstants } from "./_constants.ts";
import { withGrid, withLimit } from "./_limits.ts";

await initializeDevice();
const requireVaried = watchConstants("matmul");

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

interface Extras {
  readonly bias?: boolean;
  readonly activation?: Activation;
  readonly addTo?: boolean;
  readonly variant?: MatmulVariant;
}

async function check({ name, a, b, transposeA, transposeB }: MatmulCase, extras: Extras = {}) {
  const before = tf.memory().numTensors;
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
    ...(extras.variant ? { variant: extras.variant } : {}),
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
  assertEquals(tf.memory().numTensors, before);
}

function named(name: string): MatmulCase {
  return EDGE_CASES.find((testCase) => testCase.name === name)!;
}

for (const testCase of [...EDGE_CASES, ...MODEL_CASES]) {
  Deno.test(`matmul: ${testCase.name}`, () => check(testCase));
}

Deno.test("matmul: bias, every activation, addTo", async () => {
  const [nn, tt] = [named("primes NN"), named("batches of fours TT")];
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
  const [smallest] = VARIANTS.toReversed().filter(({ kind }) => kind !== "workgroup"); // compiles fast
  for (const activation of activations) {
    await check(nn, { activation, bias: activation !== "relu", variant: smallest });
  }
  for (const testCase of [nn, tt]) {
    await check(testCase, { bias: true });
    await check(testCase, { addTo: true });
    await check(testCase, { bias: true, addTo: true });
  }
});

function workgroup(blocks: readonly number[], parts: number): MatmulVariant {
  const [blockM, blockN, blockK, tileM, tileN] = blocks;
  return { kind: "workgroup", blockM, blockN, blockK, tileM, tileN, parts };
}

/** Lanes of the variants with subgroup operations: 8 unless this adapter has fewer. */
const LANES = Math.min(8, currentTraits().subgroupSize);

function subgroup(
  swapped: boolean,
  tileP: number,
  tileQ: number,
  lanes = LANES,
): MatmulVariant {
  return { kind: "subgroup", lanes, swapped, tileP, tileQ };
}

/** Small tiles, each constant different from the others somewhere: large ones compile slowly. */
const VARIANTS: readonly MatmulVariant[] = [
  { kind: "plain" },
  workgroup([8, 8, 4, 4, 1], 1),
  workgroup([16, 16, 8, 4, 2], 1),
  workgroup([24, 8, 4, 8, 1], 2),
  workgroup([8, 24, 12, 4, 2], 3),
  subgroup(false, 4, 4),
  subgroup(true, 8, 2),
  subgroup(false, 4, 2),
  subgroup(false, 4, 2, LANES / 2),
  subgroup(true, 4, 1, LANES / 2),
];

for (const variant of VARIANTS) {
  Deno.test(`matmul: ${Object.values(variant).join(" ")}`, async () => {
    for (const transposes of ["NN", "NT", "TN", "TT"]) {
      await check(named(`primes ${transposes}`), { variant, bias: true });
    }
    await check(named("batches of fours TN"), { variant });
    await check(named("primes NN"), { variant, bias: true, activation: "prelu" });
    await check(named("batches of fours NN"), { variant, bias: true, addTo: true });
  });
}

Deno.test("matmul: grids of several rows, more batches than a grid takes", async () => {
  const testCase = named("batches for a narrow grid NN");
  const variants: [number, MatmulVariant][] = [
    [4, { kind: "plain" }],
    [4, subgroup(false, 4, 4)],
    [7, workgroup([16, 16, 8, 4, 2], 1)],
    [7, workgroup([16, 16, 4, 4, 2], 2)],
  ];
  // The product is recorded before `check` waits for anything.
  for (const [width, variant] of variants) {
    await withGrid(width, () => check(testCase, { variant, bias: true }));
  }
});

Deno.test("matmul: the default suits the adapter and the shape", () => {
  const shape = matmulShape([288, 512], [512, 96]);
  assertEquals(defaultVariant(shape, { software: true, subgroupSize: 8 }).kind, "subgroup");
  assertEquals(defaultVariant(shape, { software: true, subgroupSize: 0 }).kind, "plain");
  const gpu = defaultVariant(shape, { software: false, subgroupSize: 32 });
  assertEquals([gpu.kind, "parts" in gpu && gpu.parts > 1], ["workgroup", true]); // 27 blocks of 32 x 32
  const long = matmulShape([3, 140000], [140000, 5]);
  assertEquals(defaultVariant(long, { software: true, subgroupSize: 8 }).kind, "workgroup");
  for (const adapter of [{ software: true, subgroupSize: 8 }, { software: false, subgroupSize: 0 }]) {
    assertEquals(candidates(shape, adapter)[0], defaultVariant(shape, adapter));
  }
});

Deno.test("matmul: blocks that need more workgroup memory than the adapter has are no candidates", () => {
  const adapter = { software: false, subgroupSize: 0 };
  for (const transposeA of [false, true]) {
    for (const transposeB of [false, true]) {
      const shape = matmulShape([4096, 4096], [4096, 4096], transposeA, transposeB);
      const blocks = (bytes: number) =>
        candidates(shape, adapter, bytes).filter((variant) => "blockM" in variant && variant.blockM === 128)
          .map((variant) => "blockK" in variant && variant.blockK);
      assertEquals(blocks(32768).includes(16), true);
      assertEquals(blocks(16384).includes(16), false); // what WebGPU guarantees
      assertEquals(blocks(16384).includes(8), true);
    }
  }
});

Deno.test("matmul: tfjs's product gives the same with our kernels registered, gradients too", async () => {
  const before = tf.memory().numTensors;
  for (const name of ["primes NT", "batches of fours TT", "b repeats NN", "a repeats NN"]) {
    const { a, b, transposeA, transposeB } = named(name);
    const inputs = [draw(a).tensor, draw(b).tensor];
    const results: Float32Array[][] = [];
    for (const ours of [true, false]) {
      if (ours) register();
      else unregister();
      const product = (...[a, b]: tf.Tensor[]) => tf.matMul(a, b, transposeA, transposeB);
      const repeats = name.includes("repeats"); // tfjs's gradient knows no repetition
      const tensors = tf.tidy(() => [
        product(...inputs),
        ...(repeats ? [] : tf.grads((...tensors) => product(...tensors).sin().sum())(inputs)),
        tf.fused.matMul({ a: inputs[0], b: inputs[1], transposeA, transposeB, activation: "elu" }),
      ]);
      results.push(await Promise.all(tensors.map((tensor) => tensor.data<"float32">())));
      tf.dispose(tensors);
    }
    results[0].forEach((values, part) =>
      compare(`tfjs ${name} part ${part} (seed ${seed})`, values, results[1][part], 1e-4)
    );
    tf.dispose(inputs);
  }
  assertEquals(tf.memory().numTensors, before);
});

Deno.test("matmul: sums over nothing are 0, then bias and activation; their gradients are empty", async () => {
  register();
  const ids = tf.backend().numDataIds();
  const results = tf.tidy(() => {
    const [a, b, bias] = [tf.zeros([2, 0]), tf.zeros([0, 3]), tf.tensor1d([-1, 2, 3])];
    return [
      tf.matMul(a, b),
      tf.matMul(a, tf.zeros([3, 0]), false, true),
      tf.matMul(tf.zeros([2, 1, 2, 0]), tf.zeros([3, 0, 3])),
      tf.fused.matMul({ a, b, bias, activation: "relu" }),
      tf.matMul(tf.zeros([0, 4]), tf.zeros([4, 3])),
      ...tf.grads((a: tf.Tensor, b: tf.Tensor) => tf.matMul(a, b))([a, b]),
    ];
  });
  const shapes = [[2, 3], [2, 3], [2, 3, 2, 3], [2, 3], [0, 3], [2, 0], [0, 3]];
  for (const [i, y] of results.entries()) {
    assertEquals(y.shape, shapes[i]);
    const row = i === 3 ? [0, 2, 3] : [0, 0, 0];
    assertEquals([...await y.data()], new Array(y.size / 3).fill(row).flat());
  }
  tf.dispose(results);
  assertEquals(tf.backend().numDataIds(), ids);
});

Deno.test("matmul: what throws leaves no tensor behind", () => {
  const [a, b] = [tf.ones([16, 5]), tf.ones([5, 16])]; // 512 bytes each as copies, of the product 1024 or twice that
  const ids = tf.backend().numDataIds();
  for (const variant of [subgroup(false, 4, 4), workgroup([8, 8, 4, 4, 1], 2)]) {
    const refused = () => withLimit("maxStorageBufferBindingSize", 800, () => matmul(a, b, { variant }));
    assertThrows(refused, RangeError, "expected at most the 800 that this adapter binds");
  }
  assertEquals(tf.backend().numDataIds(), ids);
  tf.dispose([a, b]);
});

Deno.test("matmul: the reference's gradients pass gradcheck", () => {
  for (const name of ["batches TT", "b repeats NT", "a repeats NN"]) {
    const { a, b, transposeA, transposeB } = named(name);
    const shape = matmulShape(a, b, transposeA, transposeB);
    const values = (count: number) => Float64Array.from({ length: count }, () => random.uniform(-1, 1));
    const size = (sizes: readonly number[]) => sizes.reduce((product, n) => product * n, 1);
    const [left, right, dy] = [values(size(a)), values(size(b)), values(size(shape.outShape))];
    const loss = (left: Float64Array, right: Float64Array) =>
      matmulRef(left, right, shape).reduce((sum, v, i) => sum + v * dy[i], 0);
    const { da, db } = matmulBackwardRef(dy, left, right, shape);
    gradcheck(`matmul da ${name} (seed ${seed})`, (v) => loss(v, right), left, da);
    gradcheck(`matmul db ${name} (seed ${seed})`, (v) => loss(left, v), right, db);
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

Deno.test("matmul: the tests above vary every constant of the shaders", () =>
  requireVaried("matmul_plain TILE_M")); // the plain one has no tiles to choose from
