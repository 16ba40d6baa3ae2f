import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { batchNorm, type BatchNormTensors } from "../../kernels/batch_norm/batch_norm.ts";
import { capture, register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { watchLeaks } from "./_leaks.ts";
import { variable } from "./_variable.ts";

await initializeDevice();
register();

const CHANNELS = 4;
const SETTINGS = { epsilon: 1e-5, momentum: 0.5, relu: false };

/** A value for each channel. */
const all = (value: number) => new Array<number>(CHANNELS).fill(value);
const channels = (value: number) => tf.fill<tf.Rank.R1>([CHANNELS], value);

/** What only its layer has. */
function layer(given: Partial<BatchNormTensors> = {}) {
  return {
    gamma: variable(channels(1), false) as unknown as tf.Tensor1D,
    beta: variable(channels(0), false) as unknown as tf.Tensor1D,
    runningMean: given.runningMean ?? variable(channels(0), false),
    runningVariance: given.runningVariance ?? variable(channels(1), false),
  };
}

const disposeAll = (...tensors: unknown[]) => tf.dispose(tensors as unknown as tf.TensorContainer);

/** A step on 5 and 7: of mean 6 and, unbiased, of variance 2. */
function step(tensors: BatchNormTensors): void {
  tf.tidy(() => void batchNorm(tf.tensor2d([all(5), all(7)]), tensors, SETTINGS));
}

async function requireValues(wanted: Record<string, [tf.Tensor, number]>): Promise<void> {
  for (const [name, [tensor, value]] of Object.entries(wanted)) {
    assertEquals([...await tensor.data()], all(value), name);
  }
}

Deno.test("running statistics of layers that were made of the same tensors are each layer's own", async () => {
  const [zeros, ones] = [channels(0), channels(1)];
  const [a, b] = [0, 1].map(() =>
    layer({ runningMean: tf.variable(zeros, false), runningVariance: tf.variable(ones, false) })
  );
  step(a);
  step(a);
  await requireValues({
    "mean of a": [a.runningMean, 4.5],
    "variance of a": [a.runningVariance, 1.75],
    "mean of b": [b.runningMean, 0],
    "variance of b": [b.runningVariance, 1],
    zeros: [zeros, 0],
    ones: [ones, 1],
  });
  step(b);
  await requireValues({ "mean of b": [b.runningMean, 3], "mean of a": [a.runningMean, 4.5] });
  disposeAll(a, b, zeros, ones);
});

Deno.test("a clone of running statistics keeps their values, and what nobody shares stays where it is", async () => {
  const requireNoLeak = watchLeaks();
  const tensors = layer();
  const { runningMean, runningVariance } = tensors;
  const dataIds = () => [runningMean.dataId, runningVariance.dataId];
  const before = dataIds();
  step(tensors);
  assertEquals(dataIds().map((id, i) => id === before[i]), [true, true]);
  const snapshot = runningMean.clone();
  step(tensors);
  assertEquals(dataIds().map((id, i) => id === before[i]), [false, true]);
  await requireValues({
    snapshot: [snapshot, 3],
    mean: [runningMean, 4.5],
    variance: [runningVariance, 1.75],
  });
  disposeAll(tensors, snapshot);
  requireNoLeak();
});

Deno.test("gamma and running variance may be made of one tensor, running mean and beta of another", async () => {
  const [zeros, ones] = [channels(0), channels(1)];
  const of = (tensor: tf.Tensor) => tf.variable(tensor, false);
  const tensors = {
    gamma: of(ones) as unknown as tf.Tensor1D,
    beta: of(zeros) as unknown as tf.Tensor1D,
    runningMean: of(zeros),
    runningVariance: of(ones),
  };
  disposeAll(zeros, ones);
  step(tensors);
  await requireValues({
    gamma: [tensors.gamma, 1],
    beta: [tensors.beta, 0],
    mean: [tensors.runningMean, 3],
    variance: [tensors.runningVariance, 1.5],
  });
  disposeAll(tensors);
});

Deno.test("running statistics that are no variable are updated where they are, or refused if they are shared", async () => {
  const runningMean = channels(0);
  const tensors = layer({ runningMean });
  step(tensors);
  await requireValues({ mean: [runningMean, 3] });
  const other = runningMean.reshape([2, 2]);
  assertThrows(
    () => step(tensors),
    RangeError,
    "Cannot run batchNorm: runningMean, which is updated in place, shares its buffer with another tensor; expected a " +
      "tf.Variable",
  );
  await requireValues({ mean: [runningMean, 3], other: [other, 3] });
  disposeAll(tensors, other);
});

Deno.test("captured steps update running statistics; one that is shared then is refused", async () => {
  const zeros = channels(0);
  const tensors = layer({ runningMean: tf.variable(zeros, false) });
  const x = tf.tensor2d([all(5), all(7)]);
  const body = () => batchNorm(x, tensors, SETTINGS);
  const refused = "shares its buffer with another tensor while commands are captured";
  body().dispose();
  const snapshot = tensors.runningVariance.clone();
  assertThrows(() => capture(body), Error, `runningVariance, which is updated in place, ${refused}`);
  body().dispose();
  const graph = capture(body);
  assert(graph.valid);
  graph.launch();
  await requireValues({
    zeros: [zeros, 0],
    snapshot: [snapshot, 1.5],
    mean: [tensors.runningMean, 5.625],
    variance: [tensors.runningVariance, 1.9375],
  });
  graph.dispose();
  disposeAll(tensors, zeros, snapshot, x);
});
