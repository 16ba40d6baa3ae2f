/**
 * What `deno task profile` and `deno task roofline` run: steps of a network on random inputs, so that no data is needed.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { ACTION_UNITS, EXPRESSIONS, type Target } from "../../data/aff_wild2/types.ts";
import type { LaunchValue } from "../../kernels/mod.ts";
import { sizeOf } from "../../kernels/runtime/shapes.ts";
import {
  type Architecture,
  createNetwork,
  isBackboneParameter,
  type Network,
  type NetworkName,
  TemporalNetwork,
} from "../../models/networks.ts";
import { Sgd } from "../../models/optimizer.ts";
import { type Batch, type Inputs, TrainingStep } from "../../models/training_step.ts";
import { objectiveOf } from "../run/loss.ts";
import type { Recipe } from "../run/recipe.ts";
import type { ModelRun } from "../run/run_file.ts";

/** What a step does. */
export type Mode = "train" | "inference";

/** A network, and what is done with it. */
export interface WorkloadOptions extends ModelRun {
  readonly labelSet: Target;
  readonly mode: Mode;
}

/** Steps that read nothing back. */
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
  /** one step as a run makes it: of training, launched once it has been captured, and command by command while it is timed */
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

/** What is known of these rows, [rows, labelWidth]: classes and units in turn. */
function labelsOf(labelSet: Target, rows: number): Int32Array {
  const units = labelSet === "action_units" || labelSet === "joint" ? ACTION_UNITS.length : 0;
  const classes = labelSet === "joint" ? EXPRESSIONS.length : CLASSES[labelSet];
  const first = (row: number) => labelSet === "action_units" ? [] : [row % classes];
  return Int32Array.from(
    Array.from(
      { length: rows },
      (_, row) => [...first(row), ...Array.from({ length: units }, (_, u) => u % 2)],
    )
      .flat(),
  );
}

/** The shape of the input: images, or windows of features where the backbone does not run. */
function inputShape(network: Network, { batchSize, window }: Recipe, backbone: boolean): number[] {
  const { size } = network.architecture;
  if (!(network instanceof TemporalNetwork)) return [batchSize, size, size, 3];
  return backbone ? [batchSize * window, size, size, 3] : [batchSize, window, network.backbone.featureWidth];
}

/** The forward pass: logits [M, classes]. */
function forward(
  network: Network,
  x: tf.Tensor,
  step: number | LaunchValue,
  { window }: Recipe,
  training: boolean,
): tf.Tensor2D {
  if (!(network instanceof TemporalNetwork)) return network.logits(x as tf.Tensor4D, { training });
  const features = x.rank === 3 ? x as tf.Tensor3D : network.backbone.features(x as tf.Tensor4D, { training })
    .reshape<tf.Tensor3D>([x.shape[0] / window, window, -1]); // [B, T, D]
  const logits = network.logits(features, training ? step : undefined);
  return logits.reshape([-1, logits.shape[2]]);
}

/** Builds a network with random weights and its steps. A temporal network's backbone runs if the recipe trains it. */
export function createWorkload({ architecture, recipe, labelSet, mode }: WorkloadOptions): Workload {
  const full = { ...architecture, classes: CLASSES[labelSet] } as Architecture;
  const network = createNetwork(full, 1);
  const temporal = network instanceof TemporalNetwork;
  const backbone = !temporal || recipe.finetune;
  const training = mode === "train";
  const shape = inputShape(network, recipe, backbone);
  const values = randomValues(sizeOf(shape));
  const accepted = backbone ? undefined : (name: string) => !isBackboneParameter(name);
  const optimizer = training ? new Sgd(network.parameters, recipe, accepted) : undefined;
  const objective = objectiveOf(labelSet, { labelSmoothing: 0, focal: 0 });
  const batch: Batch<string> = {
    x: { values, shape },
    ...objective.inputs(labelsOf(labelSet, recipe.batchSize * (temporal ? recipe.window : 1))),
  };
  const loss = ({ x, ...labels }: Inputs<string>, step: number | LaunchValue) =>
    objective.loss(forward(network, x, step, recipe, training), labels);
  const trained = optimizer && new TrainingStep(network.parameters, optimizer, loss);
  let steps = 0;
  // The inputs come from the host at every step, as in a run.
  const infer = () => tf.tidy(() => void forward(network, tf.tensor(values, shape), 0, recipe, false));
  const held = training ? undefined : network.holdWeights();
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
      if (trained) trained.run(batch, steps++, recipe.lr).dispose();
      else infer();
    },
    dispose() {
      trained?.release();
      optimizer?.dispose();
      held?.[Symbol.dispose]();
      network.dispose();
    },
  };
}
