import * as tf from "@tensorflow/tfjs";
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import { layOut } from "../../kernels/sgd/layout.ts";
import { MomentumSgd, type SgdTile, TILES } from "../../kernels/sgd/sgd.ts";
import { EDGE_CASES, RESNET50_CASES, type SgdCase, TOLERANCE } from "../../kernels/sgd/sgd_cases.ts";
import { gradientNormRef, sgdUpdateRef } from "../../kernels/sgd/sgd_ref.ts";
import { compare } from "../_compare.ts";
import { watchConstants } from "./_constants.ts";
import { watchLeaks } from "./_leaks.ts";
import { variable } from "./_variable.ts";

await initializeDevice();
register();
const requireVaried = watchConstants("sgd");

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "sgd");

function draw(shape: readonly number[]) {
  const length = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length }, () => random.uniform(-1, 1));
  return { values, tensor: tf.tensor(values, [...shape]) };
}

/** Weights on the device and in the reference. */
function begin({ parameters }: SgdCase) {
  const drawn = parameters.map(({ shape }) => draw(shape));
  return {
    weights: drawn.map(({ tensor }) => variable(tensor)),
    reference: parameters.map(({ rateFactor = 1, weightDecay }, i) => ({
      weight: Float64Array.from(drawn[i].values),
      velocity: new Float64Array(drawn[i].values.length),
      rateFactor,
      weightDecay,
    })),
  };
}

async function check(test: SgdCase, tile?: SgdTile, steps = 3) {
  const { name, parameters, settings, rate } = test;
  const { weights, reference } = begin(test);
  const sgd = new MomentumSgd(parameters, settings, tile);
  const label = `${name}${tile ? `, ${JSON.stringify(tile)}` : ""} (seed ${seed})`;
  for (let step = 0; step < steps; step++) {
    const gradients = parameters.map(({ shape }) => draw(shape));
    sgd.update(weights, gradients.map(({ tensor }) => tensor), rate);
    sgdUpdateRef(reference, gradients.map(({ values }) => values), { ...settings, rate });
    if (settings.clipNorm !== undefined) {
      const norm = gradientNormRef(gradients.map(({ values }) => values));
      assertAlmostEquals((await sgd.norm!.data())[0], norm, 1e-5 * norm, label);
    }
    tf.dispose(gradients.map(({ tensor }) => tensor));
  }
  for (const [i, weight] of weights.entries()) {
    compare(`sgd weight ${i} ${label}`, await weight.data(), reference[i].weight, TOLERANCE * steps);
    const velocity = sgd.velocity(i);
    assertEquals(velocity.shape, weight.shape);
    compare(`sgd velocity ${i} ${label}`, await velocity.data(), reference[i].velocity, TOLERANCE * steps);
    velocity.dispose();
  }
  sgd.dispose();
  tf.dispose(weights);
}

for (const test of EDGE_CASES) Deno.test(`sgd: ${test.name}`, () => check(test));

Deno.test("sgd: all tensors of ResNet50 in one dispatch, in two with clipping", async () => {
  const [test] = RESNET50_CASES;
  assertEquals(test.parameters.length, 161);
  await check(test, undefined, 1);
  for (const clipNorm of [undefined, 1]) {
    const { weights } = begin(test);
    const gradients = test.parameters.map(({ shape }) => draw(shape).tensor);
    const sgd = new MomentumSgd(test.parameters, { ...test.settings, clipNorm });
    const { ours, stock } = countDispatches(() => sgd.update(weights, gradients, test.rate));
    assertEquals([ours, stock], [clipNorm === undefined ? 1 : 2, 0]);
    sgd.dispose();
    tf.dispose([weights, gradients]);
  }
});

const TILE: SgdTile = { lanes: 8, block: 8, blocksEach: 2, normLanes: 8, chunks: 4 };

Deno.test("sgd: every tile constant, and tensors over several buffers", async () => {
  const variants: Partial<SgdTile>[] = [
    { lanes: 1 },
    { lanes: 64 },
    { block: 1 },
    { block: 64 },
    { blocksEach: 1 },
    { blocksEach: 100 },
    { normLanes: 1 },
    { normLanes: 32 },
    { chunks: 64 },
    { capacity: 320 },
    TILES.gpu,
    { capacity: 550 },
  ];
  const clipped = { ...EDGE_CASES[1], settings: { momentum: 0.9, clipNorm: 2 } };
  for (const variant of variants) await check(clipped, { ...TILE, ...variant });
});

Deno.test("sgd: a finite loss changes nothing, the first that is not ends all updates", async () => {
  for (const [clipNorm, bad] of [[undefined, NaN], [2, Infinity]]) {
    const test: SgdCase = { ...EDGE_CASES[1], settings: { momentum: 0.9, clipNorm } };
    const { weights, reference } = begin(test);
    const sgd = new MomentumSgd(test.parameters, test.settings, TILE);
    for (const [step, value] of [0.5, -3e38, bad!, 0.5].entries()) {
      const gradients = test.parameters.map(({ shape }) => draw(shape));
      const loss = tf.scalar(value);
      sgd.update(weights, gradients.map(({ tensor }) => tensor), test.rate, loss);
      if (step < 2) {
        const values = gradients.map(({ values }) => values);
        sgdUpdateRef(reference, values, { ...test.settings, rate: test.rate });
      }
      tf.dispose([loss, ...gradients.map(({ tensor }) => tensor)]);
    }
    for (const [i, weight] of weights.entries()) {
      const what = `sgd guarded, weight ${i} (seed ${seed})`;
      compare(what, await weight.data(), reference[i].weight, TOLERANCE * 2);
    }
    sgd.dispose();
    tf.dispose(weights);
  }
});

Deno.test("sgd: more than 65535 workgroups", async () => {
  const large = { ...EDGE_CASES[1], parameters: [{ shape: [4 * 65537], weightDecay: 0.1 }] };
  await check(large, { ...TILE, lanes: 1, block: 1, blocksEach: 1 }, 1);
});

Deno.test("sgd: tensors lie one after the other, whole blocks each, over as many buffers as they need", () => {
  const { lengths, places } = layOut([5, 8, 17, 1], 4, 22);
  assertEquals(lengths, [16, 20, 4]);
  assertEquals(places, [
    { buffer: 0, offset: 0 },
    { buffer: 0, offset: 8 },
    { buffer: 1, offset: 0 },
    { buffer: 2, offset: 0 },
  ]);
});

/** The update of one weight [3] whose gradient is 1: it becomes w - 1. */
function single() {
  const weight = variable(tf.tensor1d([1, 2, 3]));
  const sgd = new MomentumSgd([{ shape: [3], weightDecay: 0 }], { momentum: 0 });
  const gradient = tf.ones([3]);
  return {
    weight,
    sgd,
    update: () => sgd.update([weight], [gradient], 1),
    dispose() {
      sgd.dispose();
      tf.dispose([weight, gradient]);
    },
  };
}

Deno.test("sgd: a weight that is assigned between steps is taken over", async () => {
  const { weight, update, dispose } = single();
  update();
  assertEquals([...await weight.data()], [0, 1, 2]);
  const loaded = tf.tensor1d([10, 20, 30]);
  weight.assign(loaded);
  loaded.dispose();
  update();
  assertEquals([...await weight.data()], [9, 19, 29]);
  update();
  assertEquals([...await weight.data()], [8, 18, 28]);
  dispose();
});

Deno.test("sgd: a tensor that shares a weight's buffer keeps its values", async () => {
  const { weight, update, dispose } = single();
  update();
  const { dataId } = weight;
  update();
  assert(weight.dataId === dataId, "a weight of its own buffer is updated in place");
  const copy = weight.clone();
  update();
  assertEquals([...await copy.data()], [-1, 0, 1]);
  assertEquals([...await weight.data()], [-2, -1, 0]);
  update();
  assertEquals([...await weight.data()], [-3, -2, -1]);
  copy.dispose();
  dispose();
});

Deno.test("sgd: one after the other trains the same weights, which outlive both", async () => {
  const { weight, sgd, update } = single();
  update();
  const next = new MomentumSgd([{ shape: [3], weightDecay: 0 }], { momentum: 0 });
  const gradient = tf.ones([3]);
  next.update([weight], [gradient], 10);
  assert(!sgd.holds([weight]));
  update();
  sgd.dispose();
  next.update([weight], [gradient], 10);
  next.dispose();
  assertEquals([...await weight.data()], [-21, -20, -19]);
  tf.dispose([weight, gradient]);
});

Deno.test("sgd: velocities can be set and read, and nothing leaks", async () => {
  const requireNoLeak = watchLeaks();
  const test = EDGE_CASES[2];
  const { weights, reference } = begin(test);
  const sgd = new MomentumSgd(test.parameters, test.settings, { ...TILE, capacity: 512 });
  const gradients = test.parameters.map(({ shape }) => draw(shape));
  for (const [i, { shape }] of test.parameters.entries()) {
    const velocity = draw(shape);
    sgd.setVelocity(i, velocity.tensor);
    reference[i].velocity.set(velocity.values);
    velocity.tensor.dispose();
  }
  sgd.update(weights, gradients.map(({ tensor }) => tensor), test.rate);
  sgdUpdateRef(reference, gradients.map(({ values }) => values), { ...test.settings, rate: test.rate });
  for (const [i, weight] of weights.entries()) {
    compare(`after set velocity ${i} (seed ${seed})`, await weight.data(), reference[i].weight, TOLERANCE);
  }
  sgd.dispose();
  tf.dispose([weights, gradients.map(({ tensor }) => tensor)]);
  requireNoLeak();
});

Deno.test("sgd: NaN in a gradient shows in all weights where the norm is clipped", async () => {
  const weights = [variable(tf.ones([3])), variable(tf.ones([2]))];
  const parameters = weights.map(({ shape }) => ({ shape, weightDecay: 0 }));
  const sgd = new MomentumSgd(parameters, { momentum: 0, clipNorm: 1 });
  const gradients = [tf.tensor1d([1, NaN, 1]), tf.ones([2])];
  sgd.update(weights, gradients, 0.1);
  for (const weight of weights) assert((await weight.data()).every(Number.isNaN));
  sgd.dispose();
  tf.dispose([weights, gradients]);
});

Deno.test("sgd: what does not fit is refused", () => {
  const parameters = [{ shape: [3], weightDecay: 0 }];
  assertThrows(() => new MomentumSgd([], { momentum: 0 }), RangeError, "there are no parameters");
  assertThrows(() => new MomentumSgd(parameters, { momentum: -1 }), RangeError, "momentum is -1");
  assertThrows(() => new MomentumSgd(parameters, { momentum: 0, clipNorm: 0 }), RangeError, "clipNorm is 0");
  const empty = [{ shape: [3, 0], weightDecay: 0 }];
  assertThrows(() => new MomentumSgd(empty, { momentum: 0 }), RangeError, "parameter 0 has shape [3,0]");
  const small = { ...TILE, capacity: 300 };
  assertThrows(
    () => new MomentumSgd([{ shape: [10, 40], weightDecay: 0 }], { momentum: 0 }, small),
    RangeError,
    "Cannot update by SGD: parameter 0 takes 1600 bytes; expected at most the 1024 bytes of an operand on this adapter",
  );
  const { weight, sgd, dispose } = single();
  const wrong = tf.ones([4]);
  assertThrows(() => sgd.update([weight], [wrong], 1), RangeError, "gradient 0 is float32 [4]; expected");
  assertThrows(() => sgd.update([], [], 1), RangeError, "0 tensors were given");
  assertThrows(() => sgd.setVelocity(0, wrong), RangeError, "velocity 0 is float32 [4]");
  wrong.dispose();
  dispose();
});

Deno.test("sgd: the tests above vary every constant of the shaders", () => requireVaried());
