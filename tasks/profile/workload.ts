/**
 * What `deno task profile` and `deno task roofline` run: steps of a network on random inputs, so that no data is needed.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { ACTION_UNITS, EXPRESSIONS, type Target } from "../../data/aff_wild2/types.ts";
import { scope } from "../../kernels/mod.ts";
import { defaultLayers } from "../../models/layers_default.ts";
import {
  type Architecture,
  createNetwork,
  isBackboneParameter,
  type Network,
  type NetworkName,
  TemporalNetwork,
} from "../../models/networks.ts";
import { Sgd } from "../../models/optimizer.ts";
import type { Recipe } from "../run/recipe.ts";
import type { ModelRun } from "../run/run_file.ts";

/** What a step does. */
export type Mode = "train" | "inference";

/** A network, and what is done with it. */
export interface WorkloadOptions extends ModelRun {
  readonly labelSet: Target;
  readonly mode: Mode;
}

/** Steps that record commands and read nothing back. */
export interface Workload {
  /** printed and kept in the JSON file */
  readonly description: {
    readonly network: NetworkName;
    readonly mode: Mode;
    readonly width: number;
    readonly size: number;
    /** images, or windows of so many frames */
    readonly batch: number;
    readonly window: number | null;
    /** whether a temporal network's backbone is part of the step */
    readonly backbone: boolean;
  };
  step(): void;
  dispose(): void;
}

/** Outputs where the data does not tell them. */
const CLASSES: Readonly<Record<Target, number>> = {
  expression: EXPRESSIONS.length,
  action_units: ACTION_UNITS.length,
  joint: EXPRESSIONS.length + ACTION_UNITS.length,
  identity: 8631, // VGGFace2's training set
};

function randomValues(size: number): Float32Array {
  return Float32Array.from({ length: size }, () => 2 * Math.random() - 1);
}

/** logits [M, classes] -> the mean loss over random labels */
function lossOf(labelSet: Target, logits: tf.Tensor2D): tf.Scalar {
  const rows = logits.shape[0];
  const classLoss = (x: tf.Tensor2D) => {
    const labels = Int32Array.from({ length: rows }, (_, i) => i % x.shape[1]);
    return defaultLayers.softmaxCrossEntropy(x, tf.tensor1d(labels, "int32"));
  };
  const unitLoss = (x: tf.Tensor2D) => {
    const labels = Int32Array.from({ length: x.size }, (_, i) => i % 2);
    return defaultLayers.sigmoidCrossEntropy(x, tf.tensor2d(labels, x.shape, "int32"));
  };
  return scope("loss", () => {
    if (labelSet === "action_units") return unitLoss(logits);
    if (labelSet !== "joint") return classLoss(logits);
    const [a, b] = tf.split<tf.Tensor2D>(logits, [EXPRESSIONS.length, ACTION_UNITS.length], 1);
    return classLoss(a).add(unitLoss(b));
  });
}

/** The forward pass on inputs that come from the host at every step, as in a run: logits [M, classes]. */
function forwardOf(
  network: Network,
  { batchSize, window }: Recipe,
  training: boolean,
  backbone: boolean,
): (step: number) => tf.Tensor2D {
  const { size } = network.architecture;
  const frames = network instanceof TemporalNetwork ? batchSize * window : batchSize;
  const shape: [number, number, number, number] = [frames, size, size, 3];
  const images = backbone ? randomValues(frames * size * size * 3) : undefined;
  if (!(network instanceof TemporalNetwork)) {
    return () => network.logits(tf.tensor4d(images!, shape), { training });
  }
  const depth = network.backbone.featureWidth;
  const features = backbone ? undefined : randomValues(frames * depth);
  return (step) => {
    const x = features
      ? tf.tensor3d(features, [batchSize, window, depth])
      : network.backbone.features(tf.tensor4d(images!, shape), { training })
        .reshape<tf.Tensor3D>([batchSize, window, depth]); // [B, T, D]
    return network.logits(x, training ? step : undefined).reshape([frames, -1]);
  };
}

/** Builds a network with random weights and its steps. A temporal network's backbone runs if the recipe trains it. */
export function createWorkload({ architecture, recipe, labelSet, mode }: WorkloadOptions): Workload {
  const full = { ...architecture, classes: CLASSES[labelSet] } as Architecture;
  const network = createNetwork(full, 1);
  const temporal = network instanceof TemporalNetwork;
  const backbone = !temporal || recipe.finetune;
  const training = mode === "train";
  const forward = forwardOf(network, recipe, training, backbone);
  const accepted = backbone ? undefined : (name: string) => !isBackboneParameter(name);
  const optimizer = training ? new Sgd(network.parameters, recipe, accepted) : undefined;
  let steps = 0;
  return {
    description: {
      network: architecture.network,
      mode,
      width: architecture.width,
      size: architecture.size,
      batch: recipe.batchSize,
      window: temporal ? recipe.window : null,
      backbone,
    },
    step() {
      const step = steps++;
      if (optimizer) optimizer.step(() => lossOf(labelSet, forward(step)), recipe.lr).dispose();
      else tf.tidy(() => void forward(step));
    },
    dispose() {
      optimizer?.dispose();
      network.dispose();
    },
  };
}
