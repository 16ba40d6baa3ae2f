import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ImageError } from "../../../data/images.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import type { EpochRecord, Position } from "../../../tasks/run/history.ts";
import { recipeFor } from "../../../tasks/run/recipe.ts";
import { DivergenceError, train, type TrainingRun } from "../../../tasks/run/trainer.ts";

await initializeDevice();

const STEPS = 20;

/** A run whose loss is 1 / (1 + number of the step), and which writes down what happens. */
function fakeRun(controller: AbortController, lossOf = (step: number) => 1 / (1 + step), stopAt = Infinity) {
  const events: string[] = [];
  const checkpoints: { position: Position; history: readonly EpochRecord[] }[] = [];
  const run: TrainingRun = {
    recipe: { ...recipeFor("cnn", "paper"), epochs: 2, milestones: [1], lr: 1 },
    stepsPerEpoch: STEPS,
    async *steps(epoch, firstStep) {
      for (let step = firstStep; step < STEPS; step++) {
        await Promise.resolve();
        const number = epoch * STEPS + step;
        yield {
          run: (rate) => {
            events.push(`${number}@${rate.toFixed(1)}`);
            if (number === stopAt) controller.abort();
            return tf.scalar(lossOf(number));
          },
          describe: () => `batch ${number}`,
          largestGradients: () => Promise.resolve(new Map([["a", 2], ["b", NaN], ["c", 30]])),
        };
      }
    },
    checkpointEvery: 1000,
    validate: () =>
      Promise.resolve({ score: 0.5, f1: 0.4, accuracy: 0.7, probabilities: new Float32Array(0) }),
    checkpoint: (position, history) => {
      checkpoints.push({ position, history: [...history] });
      return Promise.resolve();
    },
    onStep: () => {},
    onEpoch: () => {},
    signal: controller.signal,
  };
  return { run, events, checkpoints };
}

Deno.test("all steps run once, the rate falls at the milestone, each epoch ends with a checkpoint", async () => {
  const { run, events, checkpoints } = fakeRun(new AbortController());
  const { history, interrupted } = await train(run);
  assertEquals(interrupted, false);
  assertEquals(events.length, 2 * STEPS);
  assertEquals([events[0], events[STEPS]], ["0@1.0", `${STEPS}@0.1`]);
  assertEquals(checkpoints.map(({ position }) => position), [
    { epoch: 1, step: 0, lossSum: 0 },
    { epoch: 2, step: 0, lossSum: 0 },
  ]);
  assertEquals(history.map(({ epoch, validationScore }) => [epoch, validationScore]), [[1, 0.5], [2, 0.5]]);
});

Deno.test("an interrupt finishes the step and keeps a checkpoint; resuming goes on at the next one", async () => {
  const before = tf.memory().numTensors;
  const first = fakeRun(new AbortController(), undefined, STEPS + 4);
  const stopped = await train(first.run);
  assertEquals(stopped.interrupted, true);
  const { position, history } = first.checkpoints.at(-1)!;
  assertEquals([position.epoch, position.step, history.length], [1, 5, 1]);
  const second = fakeRun(new AbortController());
  const whole = await train(fakeRun(new AbortController()).run);
  const resumed = await train(second.run, position, history);
  assertEquals(second.events[0], `${STEPS + 5}@0.1`);
  assertEquals(
    resumed.history.map(({ trainLoss }) => trainLoss),
    whole.history.map(({ trainLoss }) => trainLoss),
  );
  assertEquals(tf.memory().numTensors, before);
});

Deno.test("a loss that is not finite stops with the step and the batch, and writes no checkpoint", async () => {
  const { run, checkpoints } = fakeRun(new AbortController(), (step) => step === 11 ? NaN : 1);
  const error = await assertRejects(() => train(run), DivergenceError, "the loss is NaN at epoch 1, step 12");
  assertStringIncludes(error.message, "batch 11");
  assertStringIncludes(error.message, "largest gradients: c 30.0, a 2.00; not finite: 1 of 3 (b, ...)");
  assertEquals(checkpoints, []);
});

Deno.test("an image that cannot be used ends the run, and what was trained until then is kept", async () => {
  const before = tf.memory().numTensors;
  const bad = new ImageError("read", "00001.jpg", "it does not exist");
  const whole = await train(fakeRun(new AbortController()).run);
  const losses = (history: readonly EpochRecord[]) => history.map(({ trainLoss }) => trainLoss);

  const amid = fakeRun(new AbortController());
  const steps = async function* (epoch: number, firstStep: number) {
    for await (const step of amid.run.steps(epoch, firstStep)) {
      if (amid.events.length === STEPS + 3) throw bad;
      yield step;
    }
  };
  await assertRejects(() => train({ ...amid.run, steps }), ImageError, "00001.jpg");
  const kept = amid.checkpoints.at(-1)!;
  assertEquals([kept.position.epoch, kept.position.step, kept.history.length], [1, 3, 1]);
  const resumed = await train(fakeRun(new AbortController()).run, kept.position, kept.history);
  assertEquals(losses(resumed.history), losses(whole.history));

  const validating = fakeRun(new AbortController());
  await assertRejects(
    () => train({ ...validating.run, validate: () => Promise.reject(bad) }),
    ImageError,
    "00001.jpg",
  );
  const { position, history } = validating.checkpoints.at(-1)!;
  assertEquals([position.epoch, position.step, history.length], [0, STEPS, 0]);
  const again = fakeRun(new AbortController());
  const { history: finished } = await train(again.run, position, history);
  assertEquals(again.events[0], `${STEPS}@0.1`); // no step of the first epoch is run twice
  assertEquals(losses(finished), losses(whole.history));
  assertEquals(tf.memory().numTensors, before);
});

Deno.test("an interrupt of the validation, or in an epoch's last step, keeps what was trained until then", async () => {
  const whole = await train(fakeRun(new AbortController()).run);
  for (const inLastStep of [false, true]) {
    const controller = new AbortController();
    const stopped = fakeRun(controller, undefined, inLastStep ? 2 * STEPS - 1 : undefined);
    const validate = async () => {
      if (stopped.events.length === 2 * STEPS) controller.abort();
      controller.signal.throwIfAborted();
      return await stopped.run.validate();
    };
    await assertRejects(() => train({ ...stopped.run, validate }), DOMException);
    const { position, history } = stopped.checkpoints.at(-1)!;
    assertEquals([position.epoch, position.step, history.length], [1, STEPS, 1]);
    const resumed = fakeRun(new AbortController());
    const { history: finished } = await train(resumed.run, position, history);
    assertEquals(resumed.events, []); // only the validation was missing
    assertEquals(finished.map(({ trainLoss }) => trainLoss), whole.history.map(({ trainLoss }) => trainLoss));
  }
});
