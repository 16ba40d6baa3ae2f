import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { Dataset } from "../../../data/aff_wild2/types.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import * as tf from "@tensorflow/tfjs";
import { createObjective, inverseWeights, sampleOrder } from "../../../tasks/run/objective.ts";
import { type Recipe, recipeFor } from "../../../tasks/run/recipe.ts";
import { Sgd } from "../../../models/optimizer.ts";
import { Parameters } from "../../../models/parameters.ts";
import { type Inputs, tensorsOf, TrainingStep } from "../../../models/training_step.ts";
import { kindsFrom, type StepKind, watchStep } from "../../models/_launches.ts";

await initializeDevice();

/** A set of one track with these labels. */
function setOf(labels: number[], labelSet: Dataset["labelSet"], classes: number): Dataset {
  const width = { expression: 1, action_units: 12, joint: 13 }[labelSet as "expression"];
  const track = {
    name: "t",
    video: "t",
    imageFolder: "t",
    annotatedFrames: labels.length / width,
    frames: Int32Array.from({ length: labels.length / width }, (_, i) => i + 1),
    labels: Int8Array.from(labels),
    dropped: { unlabelled: 0, missingCrop: 0, unlabelledCrops: 0 },
  };
  const classNames = Array.from({ length: classes }, (_, i) => `c${i}`);
  return { root: "", labelSet, split: "train", classNames, labelWidth: width, tracks: [track], skipped: [] };
}

Deno.test("inverse weights: by hand, a class without a frame, action units", () => {
  assertEquals([...inverseWeights([0, 0, 0, 1, -1], 3, "class")].map((w) => w.toFixed(4)), [
    "0.4444",
    "1.3333",
    "1.0000",
  ]);
  const rare = Array.from({ length: 48 }, (_, i) => i === 0 ? 1 : 0); // unit 0 in one of four frames
  assertEquals([...inverseWeights(rare, 12, "units")], [3, ...new Array(11).fill(1)]);
});

Deno.test("balanced order: every class as often, the same for the same seed, no unlabelled sample", () => {
  const classOf = (i: number) => i < 900 ? 0 : i < 990 ? 1 : i < 998 ? 2 : -1;
  const order = sampleOrder(1000, classOf, { sampling: "balanced" }, 3, 1);
  const counts = [0, 0, 0];
  order.forEach((i) => counts[classOf(i)]++);
  assertEquals(counts.reduce((a, b) => a + b), 1000);
  counts.forEach((count) => assert(Math.abs(count - 1000 / 3) < 100, String(counts)));
  assertEquals(order, sampleOrder(1000, classOf, { sampling: "balanced" }, 3, 1));
  const shuffled = sampleOrder(1000, classOf, { sampling: "shuffled" }, 3, 1);
  assertEquals([...shuffled].sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
});

Deno.test("the objective weighs classes, smooths and focuses as its definition says, and frees its tensors", async () => {
  const dataset = setOf([0, 0, 0, 1], "expression", 2);
  const before = tf.memory().numTensors;
  const recipe = {
    ...recipeFor("cnn", "tiny"),
    loss: { classWeights: "inverse", labelSmoothing: 0, focal: 2 },
  } as const;
  const objective = createObjective(dataset, recipe);
  const { classes } = objective.inputs(Int32Array.of(0, 1));
  assertEquals(classes, { values: Int32Array.of(0, 1), shape: [2] });
  const loss = tf.tidy(() =>
    objective.loss(tf.tensor2d([[1, 0], [0, 2]]), { classes: tf.tensor1d([0, 1], "int32") })
  );
  const p = [1 / (1 + Math.exp(-1)), 1 / (1 + Math.exp(-2))];
  const w = [2 / 3, 2];
  const expected = p.reduce((sum, value, i) => sum - w[i] * (1 - value) ** 2 * Math.log(value), 0) /
    (w[0] + w[1]);
  assertAlmostEquals((await loss.data())[0], expected, 1e-6);
  loss.dispose();
  objective.dispose();
  assertEquals(tf.memory().numTensors, before);
});

const LOSSES: readonly Recipe["loss"][] = [
  { classWeights: "none", labelSmoothing: 0, focal: 0 },
  { classWeights: "inverse", labelSmoothing: 0.1, focal: 2 },
];

for (const [labelSet, classes] of [["expression", 7], ["action_units", 12], ["joint", 19]] as const) {
  Deno.test(`a step of every objective can be captured: ${labelSet}`, async () => {
    const rows = 6;
    const width = { expression: 1, action_units: 12, joint: 13 }[labelSet];
    const labels = () => {
      const drawn = Int32Array.from({ length: rows * width }, () => Math.floor(2 * Math.random()));
      drawn[0] = -1; // unlabelled
      return drawn;
    };
    const dataset = { ...setOf([...labels()], labelSet, classes), labelWidth: width };
    for (const loss of LOSSES) {
      const objective = createObjective(dataset, { ...recipeFor("cnn", "tiny"), loss });
      const sides = [0, 1].map(() => {
        const parameters = new Parameters(1);
        parameters.add("w", "linear", [5, classes], (shape) => {
          return Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(i));
        });
        return { parameters, optimizer: new Sgd(parameters, { momentum: 0.9, weightDecay: 0 }) };
      });
      const lossOn = ({ parameters }: typeof sides[0], { x, ...rest }: Inputs<string>) =>
        objective.loss(tf.matMul(x as tf.Tensor2D, parameters.get<tf.Tensor2D>("w")), rest);
      const [one, captured] = sides;
      const step = new TrainingStep<string>(
        captured.parameters,
        captured.optimizer,
        (inputs) => lossOn(captured, inputs),
      );
      const kinds: StepKind[] = [];
      for (let i = 0; i < 4; i++) {
        const values = Float32Array.from({ length: rows * 5 }, () => Math.random());
        const batch = { x: { values, shape: [rows, 5] }, ...objective.inputs(labels()) };
        const { value, kind } = watchStep(() => step.run(batch, i, 0.1));
        kinds.push(kind);
        const losses = [one.optimizer.step(() => lossOn(one, tensorsOf(batch)), 0.1), value];
        const [expected, found] = await Promise.all(losses.map((value) => value.data()));
        assertEquals(found, expected);
        tf.dispose(losses);
      }
      assertEquals(kinds, kindsFrom("single", 4));
      const [expected, found] = await Promise.all(sides.map(({ parameters }) => parameters.get("w").data()));
      assertEquals(found, expected);
      step.release();
      objective.dispose();
      sides.forEach(({ parameters, optimizer }) => {
        optimizer.dispose();
        parameters.get("w").dispose();
      });
    }
  });
}
