/**
 * What a network is trained on: the loss with its class weights, and the order in which samples are drawn.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { splitJointLabels } from "../../data/aff_wild2/joint.ts";
import { ACTION_UNITS, type Dataset, EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import { epochOrder } from "../../data/loader.ts";
import { RandomStream } from "../../data/random.ts";
import { allLabels } from "./frames.ts";
import { type Objective, objectiveOf } from "./loss.ts";
import type { Recipe } from "./recipe.ts";

/**
 * Weights against imbalance: for classes of which a frame has one, N / (classes n) with n of N labelled frames in the
 * class (1 each if all are equally frequent); for action units, how many negatives there are for a positive.
 *
 * @param labels [N] classes, or [N, classes] of 0 and 1; -1 = not annotated
 * @returns [classes]; 1 for a class without a frame
 */
export function inverseWeights(
  labels: ArrayLike<number>,
  classes: number,
  kind: "class" | "units",
): Float32Array {
  const counts = new Float64Array(classes);
  const annotated = new Float64Array(classes);
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] < 0) continue;
    if (kind === "class") counts[labels[i]]++;
    else counts[i % classes] += labels[i];
    if (kind === "class") annotated.forEach((_, c) => annotated[c]++);
    else annotated[i % classes]++;
  }
  return Float32Array.from(counts, (count, c) => {
    if (count === 0) return 1;
    return kind === "class" ? annotated[c] / (classes * count) : (annotated[c] - count) / count;
  });
}

/** The objective of a recipe on a training set, with its weights against imbalance. */
export function createObjective(dataset: Dataset, { loss }: Recipe): Objective {
  const { labelSet, classNames } = dataset;
  if (loss.classWeights === "none") return objectiveOf(labelSet, loss);
  const labels = allLabels(dataset);
  const weigh = (values: ArrayLike<number>, classes: number, kind: "class" | "units") =>
    tf.tensor1d(inverseWeights(values, classes, kind));
  if (labelSet === "action_units") {
    return objectiveOf(labelSet, loss, { units: weigh(labels, ACTION_UNITS.length, "units") });
  }
  if (labelSet !== "joint") {
    return objectiveOf(labelSet, loss, { classes: weigh(labels, classNames.length, "class") });
  }
  const { expressions, units } = splitJointLabels(labels);
  return objectiveOf(labelSet, loss, {
    classes: weigh(expressions, EXPRESSIONS.length, "class"),
    units: weigh(units, ACTION_UNITS.length, "units"),
  });
}

/**
 * The samples of an epoch in their order: every one once, or, balanced, drawn with replacement so that each class comes
 * equally often. It depends on seed and epoch alone.
 *
 * @param classOf the class of a sample; -1 = unlabelled, which balanced sampling never draws
 */
export function sampleOrder(
  count: number,
  classOf: (sample: number) => number,
  { sampling }: Pick<Recipe, "sampling">,
  seed: number,
  epoch: number,
): Int32Array {
  if (sampling === "shuffled") return epochOrder(count, seed, epoch);
  const members = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    const label = classOf(i);
    if (label < 0) continue;
    const list = members.get(label);
    if (list === undefined) members.set(label, [i]);
    else list.push(i);
  }
  const lists = [...members.keys()].sort((a, b) => a - b).map((label) => members.get(label)!);
  const random = new RandomStream(seed, "balanced order", epoch);
  return Int32Array.from({ length: count }, () => random.pick(random.pick(lists)));
}
