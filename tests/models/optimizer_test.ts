import * as tf from "@tensorflow/tfjs";
import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { multiStep, Sgd, type SgdOptions } from "../../models/optimizer.ts";
import { constant, Parameters, uniform } from "../../models/parameters.ts";

await initializeDevice();

/** loss = sum of (a - 1)^2 + sum of b a' over a [2, 3] and b [3] */
function begin(options: SgdOptions) {
  const parameters = new Parameters(7);
  parameters.add("a", "linear", [2, 3], uniform(1));
  parameters.add("b", "vector", [3], constant(2));
  const loss = () => {
    const a = parameters.get<tf.Tensor2D>("a");
    const b = parameters.get<tf.Tensor1D>("b");
    return a.sub(1).square().sum().add(a.mul(b).sum()) as tf.Scalar;
  };
  return { parameters, loss, sgd: new Sgd(parameters, options) };
}

async function values(parameters: Parameters): Promise<number[][]> {
  return await Promise.all(["a", "b"].map(async (name) => [...await parameters.get(name).data()]));
}

function gradients([a, b]: number[][]): number[][] {
  const da = a.map((value, i) => 2 * (value - 1) + b[i % 3]);
  const db = b.map((_, i) => a[i] + a[i + 3]);
  return [da, db];
}

function assertNear(actual: number[][], expected: number[][]): void {
  actual.forEach((row, i) => row.forEach((value, j) => assertAlmostEquals(value, expected[i][j], 1e-5)));
}

Deno.test("the rate falls at each milestone", () => {
  const rate = multiStep(0.1, [2, 4], 0.5);
  assertEquals([0, 1, 2, 3, 4, 5].map(rate), [0.1, 0.1, 0.05, 0.05, 0.025, 0.025]);
});

Deno.test("sgd: two steps by hand, with a group of its own rate and decay, and the norm clipped", async () => {
  const { parameters, loss, sgd } = begin({
    momentum: 0.9,
    weightDecay: 0.01,
    clipNorm: 1,
    group: (name) => name === "b" ? { rateFactor: 0.5, weightDecay: 0 } : {},
  });
  let weights = await values(parameters);
  let velocities = weights.map((row) => row.map(() => 0));
  for (let step = 0; step < 2; step++) {
    const wantedLoss = weights[0].reduce((sum, a, i) => sum + (a - 1) ** 2 + a * weights[1][i % 3], 0);
    const value = sgd.step(loss, 0.1);
    assertAlmostEquals((await value.data())[0], wantedLoss, 1e-4);
    value.dispose();
    const raw = gradients(weights);
    const norm = Math.sqrt(raw.flat().reduce((sum, g) => sum + g * g, 0));
    assertAlmostEquals((await sgd.gradientNorm!.data())[0], norm, 1e-4);
    const decay = [0.01, 0];
    velocities = velocities.map((row, i) =>
      row.map((v, j) => 0.9 * v + raw[i][j] / norm + decay[i] * weights[i][j])
    );
    weights = weights.map((row, i) => row.map((w, j) => w - 0.1 * [1, 0.5][i] * velocities[i][j]));
    assertNear(await values(parameters), weights);
  }
  sgd.dispose();
  parameters.dispose();
});

Deno.test("sgd: a run that is resumed from its checkpoint goes on as it would have", async () => {
  const options = { momentum: 0.9, weightDecay: 0.01 };
  const first = begin(options);
  first.sgd.step(first.loss, 0.1).dispose();
  const [weights, velocities] = await Promise.all([first.parameters.toHost(), first.sgd.toHost()]);
  assertEquals(velocities.get("a")!.shape, [3, 2]); // file layout
  const second = begin(options);
  second.sgd.step(second.loss, 0.3).dispose(); // another state, which loading replaces
  second.parameters.load(weights);
  second.sgd.load(velocities);
  for (const run of [first, second]) run.sgd.step(run.loss, 0.1).dispose();
  assertEquals(await values(second.parameters), await values(first.parameters));
  assertEquals(await second.sgd.toHost(), await first.sgd.toHost());
  velocities.delete("b");
  assertThrows(() => second.sgd.load(velocities), Error, "the checkpoint has no momentum of b");
  for (const { sgd, parameters } of [first, second]) {
    sgd.dispose();
    parameters.dispose();
  }
});

Deno.test("sgd: without clipping there is no norm; a parameter that the loss does not use is an error", () => {
  const { parameters, sgd } = begin({ momentum: 0, weightDecay: 0 });
  assertEquals(sgd.gradientNorm, undefined);
  const onlyA = () => parameters.get("a").sum() as tf.Scalar;
  assertThrows(() => sgd.step(onlyA, 0.1), Error, "Cannot train b: the loss does not depend on it");
  sgd.dispose();
  parameters.dispose();
});

Deno.test("a loss that is not finite ends all updates: weights and momenta stay as they were before it", async () => {
  const parameters = new Parameters(1);
  parameters.add("w", "vector", [5], constant(2));
  const sgd = new Sgd(parameters, { momentum: 0.9, weightDecay: 0 });
  const w = parameters.get<tf.Tensor1D>("w");
  const step = (factor: number) => sgd.step(() => w.sum().mul(factor) as tf.Scalar, 0.1).dispose();
  try {
    step(1);
    const before = await w.data();
    assertAlmostEquals(before[0], 1.9, 1e-6);
    for (const factor of [NaN, 1, Infinity, 1]) step(factor); // after the first nothing counts
    assertEquals(await w.data(), before);
    const momenta = (await sgd.toHost()).get("w")!;
    assertEquals([...momenta.data as Float32Array], [1, 1, 1, 1, 1]);
    const largest = await sgd.largestGradients(() => w.square().sum().mul(3) as tf.Scalar);
    assertAlmostEquals(largest.get("w")!, 6 * before[0], 1e-5);
    for (const factor of [NaN, Infinity, -Infinity, 3e38, -1e25]) {
      const found = await sgd.largestGradients(() => w.sum().mul(factor) as tf.Scalar);
      assertEquals(found.get("w"), Number.isFinite(factor) ? Math.fround(Math.abs(factor)) : NaN);
    }
  } finally {
    sgd.dispose();
    parameters.dispose();
  }
});
