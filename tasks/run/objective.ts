/**
 * What a network is trained on: the loss with its class weights, and the order in which samples are drawn.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { Dataset } from "../../data/aff_wild2/types.ts";
import { epochOrder } from "../../data/loader.ts";
import { RandomStream } from "../../data/random.ts";
import { defaultLayers } from "../../models/layers_default.ts";
import type { Recipe } from "./recipe.ts";

/** A loss over the labelled rows of a batch, with its tensors. */
export interface Objective {
  /** logits [M, classes], labels [M] or [M, classes], -1 = ignored -> mean loss */
  loss(logits: tf.Tensor2D, labels: Int32Array): tf.Scalar;
  /** Frees the class weights. */
  dispose(): void;
}

/**
 * Weights against imbalance: for one class a frame, N / (classes n) with n of N frames in the class (1 each if all are
 * equally frequent); for action units, how many negatives there are for a positive.
 *
 * @returns [classes]; 1 for a class without a frame
 */
export function inverseWeights(dataset: Dataset): Float32Array {
  const classes = dataset.classNames.length;
  const counts = new Float64Array(classes);
  let frames = 0;
  for (const { labels, frames: { length } } of dataset.tracks) {
    frames += length;
    if (dataset.labelWidth === 1) { for (let i = 0; i < labels.length; i++) counts[labels[i]]++; }
    else for (let i = 0; i < labels.length; i++) counts[i % classes] += labels[i];
  }
  return Float32Array.from(counts, (count) => {
    if (count === 0) return 1;
    return dataset.labelWidth === 1 ? frames / (classes * count) : (frames - count) / count;
  });
}

/** The objective of a recipe on a training set: cross-entropy, or binary cross-entropy for action units. */
export function createObjective(dataset: Dataset, { loss }: Recipe): Objective {
  const weights = loss.classWeights === "inverse" ? tf.tensor1d(inverseWeights(dataset)) : undefined;
  const { labelSmoothing, focal } = loss;
  return {
    loss(logits, labels) {
      if (dataset.labelSet === "action_units") {
        const truth = tf.tensor2d(labels, logits.shape, "int32");
        return defaultLayers.sigmoidCrossEntropy(logits, truth, { positiveWeights: weights });
      }
      const options = { classWeights: weights, labelSmoothing, focalGamma: focal };
      return defaultLayers.softmaxCrossEntropy(logits, tf.tensor1d(labels, "int32"), options);
    },
    dispose: () => weights?.dispose(),
  };
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
