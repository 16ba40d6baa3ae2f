import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertLess, assertNotEquals, assertThrows } from "@std/assert";
import { RandomStream, threefry2x32 } from "../../data/random.ts";
import { dropout } from "../../kernels/dropout/dropout.ts";
import { DROPOUT_CASES, DROPOUT_TOLERANCE } from "../../kernels/dropout/dropout_cases.ts";
import { dropoutMaskRef, threefry2x32Ref } from "../../kernels/dropout/dropout_ref.ts";
import threefry from "../../kernels/dropout/threefry.wgsl" with { type: "text" };
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { run, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { kernelLayers } from "../../models/layers_kernels.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { compare } from "../_compare.ts";
import blocksSource from "./threefry.wgsl" with { type: "text" };
import { watchLeaks } from "./_leaks.ts";

await initializeDevice();
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "dropout");
const KEY = { seed, layer: 3, step: 7 };

function draw(shape: readonly number[]): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.uniform(-1, 1));
  return { values, tensor: tf.tensor(values, [...shape]) };
}

/** Key, counter and words of Random123's known-answer tests, threefry2x32 with 20 rounds. */
const KNOWN_ANSWERS: readonly (readonly [[number, number], [number, number], [number, number]])[] = [
  [[0, 0], [0, 0], [0x6b200159, 0x99ba4efe]],
  [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], [0x1cb996fc, 0xbb002be7]],
  [[0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3], [0xc4923a9c, 0x483df7a0]],
];

Deno.test("Threefry: the shader and its twin give the known answers of Random123", async () => {
  const random = new RandomStream(seed, "blocks");
  const word = () => random.uint32();
  const drawn = Array.from({ length: 20 }, () => {
    const [key, counter]: [number, number][] = [[word(), word()], [word(), word()]];
    return [key, counter, threefry2x32(...key, ...counter)] as (typeof KNOWN_ANSWERS)[number];
  });
  const all = [...KNOWN_ANSWERS, ...drawn];
  const blocks = tf.tensor1d(
    all.flatMap(([key, counter]) => [...key, ...counter].map((n) => n | 0)),
    "int32",
  );
  const [info] = run({
    shader: {
      file: "tests/kernels/threefry.wgsl",
      source: blocksSource,
      includes: { "threefry.wgsl": threefry },
    },
    inputs: [blocks],
    outputs: [{ shape: [all.length, 2], dtype: "int32" }],
    workgroups: [all.length],
  });
  const words = tf.engine().makeTensorFromTensorInfo(info);
  const actual = Array.from(await words.data(), (n) => n >>> 0);
  assertEquals(actual, all.flatMap(([, , expected]) => expected), `seed ${seed}`);
  assertEquals(
    all.map(([key, counter]) => threefry2x32Ref(key, counter)),
    all.map(([, , expected]) => expected),
  );
  tf.dispose([blocks, words]);
});

for (const { name, shape, rate } of DROPOUT_CASES) {
  Deno.test(`dropout: ${name}`, async () => {
    const requireNoLeak = watchLeaks();
    const x = draw(shape);
    const y = withPoisonedOutputs(() => dropout(x.tensor, rate, KEY));
    const mask = dropoutMaskRef(x.values.length, rate, KEY);
    const actual = await y.data<"float32">();
    compare(`dropout ${name} (seed ${seed})`, actual, mask.map((m, i) => m * x.values[i]), DROPOUT_TOLERANCE);
    const wrong = actual.findIndex((value, i) => (value === 0) !== (mask[i] * x.values[i] === 0));
    assertEquals(
      wrong,
      -1,
      `dropout ${name} (seed ${seed}): an element is dropped in one and kept in the other`,
    );
    tf.dispose([x.tensor, y]);
    requireNoLeak();
  });
}

Deno.test("dropout: the gradient has the mask of the forward pass, and both layers draw the same", async () => {
  const requireNoLeak = watchLeaks();
  for (const shape of [[6, 8], [5, 7]]) {
    const x = draw(shape);
    const dy = draw(shape);
    const mask = dropoutMaskRef(x.values.length, 0.4, KEY);
    const outputs: Float32Array[] = [];
    for (const layers of [kernelLayers, stockLayers]) {
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => layers.dropout(x, 0.4, KEY))(
        x.tensor,
        dy.tensor,
      );
      const expected = mask.map((m, i) => m * dy.values[i]);
      const label = `${layers.name} [${shape}] (seed ${seed})`;
      compare(`dropout's gradient, ${label}`, await grad.data(), expected, DROPOUT_TOLERANCE);
      outputs.push(await value.data<"float32">());
      tf.dispose([value, grad]);
    }
    compare(`dropout of both layers (seed ${seed})`, outputs[0], outputs[1], DROPOUT_TOLERANCE);
    tf.dispose([x.tensor, dy.tensor]);
  }
  requireNoLeak();
});

Deno.test("dropout: seed, layer and step each change the mask; the share of kept elements is 1 - rate", () => {
  const count = 20000;
  const rate = 0.3;
  const key = { seed: 11, layer: 2, step: 5 };
  const mask = dropoutMaskRef(count, rate, key);
  assertEquals(dropoutMaskRef(count, rate, key), mask);
  for (const other of [{ seed: 12 }, { seed: 11 + 2 ** 32 }, { layer: 3 }, { step: 6 }]) {
    const masks = dropoutMaskRef(count, rate, { ...key, ...other });
    assertNotEquals(masks, mask);
    // Independent masks agree on (1 - rate)^2 + rate^2 of the elements; five standard errors.
    const agreed = masks.filter((m, i) => m === mask[i]).length / count;
    assertLess(Math.abs(agreed - (0.7 * 0.7 + 0.3 * 0.3)), 5 * Math.sqrt(0.58 * 0.42 / count));
  }
  const kept = mask.filter((m) => m > 0).length / count;
  assertLess(Math.abs(kept - 0.7), 5 * Math.sqrt(0.7 * 0.3 / count));
  assert(mask.every((m) => m === 0 || m === Math.fround(1 / 0.7)));
});

Deno.test("dropout: refuses rates, keys and tensors that it cannot take", () => {
  tf.tidy(() => {
    const x = tf.zeros([4]);
    for (const rate of [1, -0.1, NaN]) assertThrows(() => dropout(x, rate, KEY), RangeError, "rate is");
    for (
      const wrong of [{ seed: -1 }, { seed: 2 ** 53 }, { layer: 2048 }, { step: 0.5 }, { step: 2 ** 32 }]
    ) {
      assertThrows(() => dropout(x, 0.5, { ...KEY, ...wrong }), RangeError, `${Object.keys(wrong)[0]} is`);
    }
    assertThrows(() => dropout(tf.zeros([0, 3]), 0.5, KEY), RangeError, "no empty dimension");
    assertThrows(() => dropout(tf.zeros([3], "int32"), 0.5, KEY), TypeError, "float32");
  });
});
