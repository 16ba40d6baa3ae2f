/**
 * What the training loop needs for each network: the CNN on single frames, the temporal networks on windows of the
 * frozen backbone's features.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { imagePath, WindowIndex, windowLabels } from "../../data/aff_wild2/mod.ts";
import type { Dataset, Target } from "../../data/aff_wild2/types.ts";
import { type Batch, epochOrder, loadBatches } from "../../data/loader.ts";
import { defaultLayers } from "../../models/layers_default.ts";
import { type CnnNetwork, isBackboneParameter, type TemporalNetwork } from "../../models/networks.ts";
import { Sgd } from "../../models/optimizer.ts";
import type { FeatureStore } from "./features.ts";
import { type FrameOptions, frameSamples } from "./frames.ts";
import { predictImages, predictWindows, scoreFrames } from "./inference.ts";
import type { Recipe } from "./recipe.ts";
import type { StepInput, TrainingRun, Validation } from "./trainer.ts";

/** The part of a {@link TrainingRun} that depends on the network. */
export type NetworkRun = Pick<TrainingRun, "recipe" | "stepsPerEpoch" | "steps" | "validate"> & {
  readonly optimizer: Sgd;
};

/** Both splits. */
export interface Splits {
  readonly train: Dataset;
  readonly validation: Dataset;
}

/** Mean loss over the labelled rows: cross-entropy for expressions, binary cross-entropy for action units. */
function lossOf(logits: tf.Tensor2D, labels: Int32Array, labelSet: Target): tf.Scalar {
  if (labelSet !== "action_units") {
    return defaultLayers.softmaxCrossEntropy(logits, tf.tensor1d(labels, "int32"));
  }
  return defaultLayers.sigmoidCrossEntropy(logits, tf.tensor2d(labels, logits.shape, "int32"));
}

/** Whole batches only: a last batch of a few samples would give batch norm poor statistics. */
function stepsPerEpoch(samples: number, { batchSize, samplesPerEpoch }: Recipe): number {
  return Math.max(1, Math.floor(Math.min(samples, samplesPerEpoch ?? samples) / batchSize));
}

/** Steps of the CNN on single, augmented frames. */
export function cnnRun(
  network: CnnNetwork,
  { train, validation }: Splits,
  recipe: Recipe,
  seed: number,
  options: FrameOptions,
): NetworkRun {
  const optimizer = new Sgd(network.parameters, recipe);
  const samples = frameSamples(train);
  const { batchSize } = recipe;
  const steps = stepsPerEpoch(samples.count, recipe);
  const { size, signal } = options;

  function toStep(batch: Batch): StepInput {
    return {
      run: (rate) =>
        optimizer.step(() => {
          const images = tf.tensor4d(batch.images, [batch.count, size, size, 3]);
          return lossOf(network.logits(images, { training: true }), batch.labels, train.labelSet);
        }, rate),
      describe: () => describeFrames(batch.indices, (i) => samples.get(i)),
    };
  }

  return {
    recipe,
    optimizer,
    stepsPerEpoch: steps,
    async *steps(epoch, firstStep) {
      const order = epochOrder(samples.count, seed, epoch).subarray(firstStep * batchSize, steps * batchSize);
      const augmentation = recipe.augmentation ?? undefined;
      const batches = loadBatches(samples, order, {
        ...options,
        batchSize,
        augmentation,
        seed,
        epoch,
        signal,
      });
      for await (const batch of batches) yield toStep(batch);
    },
    async validate() {
      return validationOf(await predictImages(network, validation, options), validation);
    },
  };
}

/** Steps of a temporal head, many-to-many, on windows of the frozen backbone's features. */
export function temporalRun(
  network: TemporalNetwork,
  { train, validation }: Splits,
  features: { train: FeatureStore; validation: FeatureStore },
  recipe: Recipe,
  seed: number,
): NetworkRun {
  const optimizer = new Sgd(network.parameters, recipe, (name) => !isBackboneParameter(name));
  const windows = WindowIndex.training(train, { length: recipe.window, stride: recipe.stride });
  const frameOffsets = WindowIndex.inference(train, { length: 1 }).offsets;
  const { batchSize, window } = recipe;
  const steps = stepsPerEpoch(windows.count, recipe);
  const labelCount = window * train.labelWidth;

  async function toStep(indices: Int32Array, stepNumber: number): Promise<StepInput> {
    const rows = new Int32Array(indices.length * window);
    const labels = new Int32Array(indices.length * labelCount);
    indices.forEach((w, b) => {
      const { track, trackNumber, frames, valid } = windows.get(w);
      frames.forEach((frame, t) => rows[b * window + t] = frameOffsets[trackNumber] + frame);
      labels.set(windowLabels(track, { frames, valid }), b * labelCount);
    });
    const values = await features.train.gather(rows);
    return {
      run: (rate) =>
        optimizer.step(() => {
          const x = tf.tensor3d(values, [indices.length, window, features.train.width]);
          const logits = network.logits(x, stepNumber); // [B, T, classes]
          return lossOf(logits.reshape([indices.length * window, -1]), labels, train.labelSet);
        }, rate),
      describe: () => describeFrames(indices, (w) => windows.get(w)),
    };
  }

  return {
    recipe,
    optimizer,
    stepsPerEpoch: steps,
    async *steps(epoch, firstStep) {
      const order = epochOrder(windows.count, seed, epoch);
      for (let step = firstStep; step < steps; step++) {
        yield await toStep(order.slice(step * batchSize, (step + 1) * batchSize), epoch * steps + step);
      }
    },
    async validate() {
      return validationOf(await predictWindows(network, validation, features.validation, window), validation);
    },
  };
}

function validationOf(probabilities: Float32Array, dataset: Dataset): Validation {
  const { f1, accuracy, score } = scoreFrames(probabilities, dataset);
  return { f1, accuracy, score, probabilities };
}

function describeFrames(
  indices: Int32Array,
  get: (i: number) => { track: Dataset["tracks"][number]; frames: Int32Array },
): string {
  const shown = Array.from(indices.subarray(0, 4), (i) => {
    const { track, frames } = get(i);
    return imagePath(track, frames[0]);
  });
  return `a batch of ${indices.length} (${shown.join(", ")}${indices.length > 4 ? ", ..." : ""})`;
}
