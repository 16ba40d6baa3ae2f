/**
 * The loss of a label set, on labels that are inputs of a step. It reads no data, so a profile needs no permission for it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { splitJointLabels } from "../../data/aff_wild2/joint.ts";
import { ACTION_UNITS, EXPRESSIONS, type Target } from "../../data/aff_wild2/types.ts";
import { scope } from "../../kernels/mod.ts";
import { defaultLayers } from "../../models/layers_default.ts";
import type { Batch, Inputs } from "../../models/training_step.ts";
import type { Recipe } from "./recipe.ts";

/** A loss over the labelled rows of a batch, with its tensors. */
export interface Objective {
  /** labels [M, labelWidth], -1 = ignored, as inputs of a step */
  inputs(labels: Int32Array): Batch<string>;
  /** logits [M, classes], labels as inputs -> mean loss */
  loss(logits: tf.Tensor2D, labels: Inputs<string>): tf.Scalar;
  /** Frees the class weights. */
  dispose(): void;
}

/**
 * Cross-entropy, binary cross-entropy for action units, or their sum.
 *
 * @param weights of the classes, [classes] each; the objective frees them
 */
export function objectiveOf(
  labelSet: Target,
  settings: Pick<Recipe["loss"], "labelSmoothing" | "focal">,
  weights: { readonly classes?: tf.Tensor1D; readonly units?: tf.Tensor1D } = {},
): Objective {
  if (labelSet === "action_units") return unitLoss(weights.units);
  if (labelSet !== "joint") return classLoss(weights.classes, settings);
  const first = classLoss(weights.classes, settings);
  const second = unitLoss(weights.units);
  return {
    inputs(labels) {
      const { expressions, units } = splitJointLabels(labels);
      return { ...first.inputs(expressions), ...second.inputs(units) };
    },
    loss(logits, labels) {
      const [a, b] = tf.split<tf.Tensor2D>(logits, [EXPRESSIONS.length, ACTION_UNITS.length], 1);
      return first.loss(a, labels).add(second.loss(b, labels));
    },
    dispose() {
      first.dispose();
      second.dispose();
    },
  };
}

function classLoss(
  classWeights: tf.Tensor1D | undefined,
  { labelSmoothing, focal }: Pick<Recipe["loss"], "labelSmoothing" | "focal">,
): Objective {
  const options = { classWeights, labelSmoothing, focalGamma: focal };
  return {
    inputs: (labels) => ({ classes: { values: labels, shape: [labels.length] } }),
    loss: (logits, { classes }) =>
      scope("loss", () => defaultLayers.softmaxCrossEntropy(logits, classes as tf.Tensor1D, options)),
    dispose: () => classWeights?.dispose(),
  };
}

function unitLoss(positiveWeights: tf.Tensor1D | undefined): Objective {
  const units = ACTION_UNITS.length;
  return {
    inputs: (labels) => ({ units: { values: labels, shape: [labels.length / units, units] } }),
    loss: (logits, { units }) =>
      scope(
        "loss",
        () => defaultLayers.sigmoidCrossEntropy(logits, units as tf.Tensor2D, { positiveWeights }),
      ),
    dispose: () => positiveWeights?.dispose(),
  };
}
