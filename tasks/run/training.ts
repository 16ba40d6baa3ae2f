/**
 * What the training loop needs for each network: single frames, windows of the frozen backbone's features, or windows
 * of images where the backbone is trained too.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { imagePath, WindowIndex, windowLabels } from "../../data/aff_wild2/mod.ts";
import type { Dataset } from "../../data/aff_wild2/types.ts";
import { type Batch, loadBatches, type SampleSource } from "../../data/loader.ts";
import { type FrameNetwork, isBackboneParameter, type TemporalNetwork } from "../../models/networks.ts";
import { Sgd } from "../../models/optimizer.ts";
import { type Batch as StepBatch, TrainingStep } from "../../models/training_step.ts";
import { computeFeatures, type FeatureStore } from "./features.ts";
import { type FrameOptions, frameSamples } from "./frames.ts";
import { predictImages, predictWindows, scoreFrames } from "./inference.ts";
import { createObjective, sampleOrder } from "./objective.ts";
import type { Recipe } from "./recipe.ts";
import type { StepInput, TrainingRun, Validation } from "./trainer.ts";

/** The part of a {@link TrainingRun} that depends on the network. */
export type NetworkRun = Pick<TrainingRun, "recipe" | "stepsPerEpoch" | "steps" | "validate"> & {
  readonly optimizer: Sgd;
  /** frees the optimizer and the class weights */
  dispose(): void;
};

/** Both splits. */
export interface Splits {
  readonly train: Dataset;
  readonly validation: Dataset;
}

/** Whole batches only: a last batch of a few samples would give batch norm poor statistics. */
function stepsPerEpoch(samples: number, { batchSize, samplesPerEpoch }: Recipe): number {
  return Math.max(1, Math.floor(Math.min(samples, samplesPerEpoch ?? samples) / batchSize));
}

/** Steps of a network of single frames, augmented. */
export function frameRun(
  network: FrameNetwork,
  { train, validation }: Splits,
  recipe: Recipe,
  seed: number,
  options: FrameOptions,
): NetworkRun {
  const optimizer = new Sgd(network.parameters, recipe);
  const objective = createObjective(train, recipe);
  const samples = frameSamples(train);
  const { size } = options;
  const imageRun = { samples, recipe, seed, options, steps: stepsPerEpoch(samples.count, recipe) };
  const trained = new TrainingStep<string>(
    network.parameters,
    optimizer,
    ({ images, ...labels }) =>
      objective.loss(network.logits(images as tf.Tensor4D, { training: true }), labels),
  );
  return {
    recipe,
    optimizer,
    stepsPerEpoch: imageRun.steps,
    steps: (epoch, firstStep) =>
      imageSteps(imageRun, trained, epoch, firstStep, ({ images, labels, count }) => ({
        images: { values: images, shape: [count, size, size, 3] },
        ...objective.inputs(labels),
      })),
    async validate() {
      return validationOf(await predictImages(network, validation, options), validation);
    },
    dispose() {
      trained.release();
      optimizer.dispose();
      objective.dispose();
    },
  };
}

/** Steps of a temporal network with its backbone, many-to-many, on windows of images under one crop each. */
export function finetuneRun(
  network: TemporalNetwork,
  { train, validation }: Splits,
  recipe: Recipe,
  seed: number,
  options: FrameOptions,
): NetworkRun {
  const optimizer = new Sgd(network.parameters, recipe);
  const objective = createObjective(train, recipe);
  const samples = windowSamples(train, recipe);
  const { size } = options;
  const { window } = recipe;
  const imageRun = { samples, recipe, seed, options, steps: stepsPerEpoch(samples.count, recipe) };
  const trained = new TrainingStep<string>(
    network.parameters,
    optimizer,
    ({ images, ...labels }, number) => {
      const frames = images.shape[0]; // B * T
      const features = network.backbone.features(images as tf.Tensor4D, { training: true }); // [B * T, D]
      const logits = network.logits(features.reshape([frames / window, window, -1]), number); // [B, T, classes]
      return objective.loss(logits.reshape([frames, -1]), labels);
    },
  );
  return {
    recipe,
    optimizer,
    stepsPerEpoch: imageRun.steps,
    steps: (epoch, firstStep) =>
      imageSteps(imageRun, trained, epoch, firstStep, ({ images, labels, count }) => ({
        images: { values: images, shape: [count * window, size, size, 3] },
        ...objective.inputs(labels),
      })),
    async validate() {
      const features = await computeFeatures(network, validation, options); // the backbone changed: nothing to keep
      return validationOf(await predictWindows(network, validation, features, window), validation);
    },
    dispose() {
      trained.release();
      optimizer.dispose();
      objective.dispose();
    },
  };
}

interface ImageRun {
  readonly samples: SampleSource;
  readonly recipe: Recipe;
  readonly seed: number;
  readonly options: FrameOptions;
  /** of an epoch */
  readonly steps: number;
}

/** The steps of an epoch on batches of images. */
async function* imageSteps(
  { samples, recipe, seed, options, steps }: ImageRun,
  trained: TrainingStep<string>,
  epoch: number,
  firstStep: number,
  inputsOf: (batch: Batch) => StepBatch<string>,
): AsyncGenerator<StepInput> {
  const { batchSize } = recipe;
  const order = sampleOrder(samples.count, (i) => middleLabel(samples.get(i).labels), recipe, seed, epoch)
    .subarray(firstStep * batchSize, steps * batchSize);
  const augmentation = recipe.augmentation ?? undefined;
  let step = epoch * steps + firstStep;
  try {
    for await (
      const batch of loadBatches(samples, order, { ...options, batchSize, augmentation, seed, epoch })
    ) {
      const number = step++;
      const inputs = inputsOf(batch);
      yield {
        run: (rate) => trained.run(inputs, number, rate),
        describe: () => describeFrames(batch.indices, (i) => samples.get(i)),
        largestGradients: () => trained.largestGradients(inputs, number),
      };
    }
  } finally {
    trained.release(); // validation needs the memory
  }
}

/** The class of a frame, or of a window's middle. */
function middleLabel(labels: Int32Array): number {
  return labels[(labels.length - 1) >> 1];
}

/** Training windows of images. */
function windowSamples(dataset: Dataset, { window, stride }: Recipe): SampleSource {
  const index = WindowIndex.training(dataset, { length: window, stride });
  return {
    count: index.count,
    get(i) {
      const found = index.get(i);
      return { track: found.track, frames: found.frames, labels: windowLabels(found.track, found) };
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
  const objective = createObjective(train, recipe);
  const windows = WindowIndex.training(train, { length: recipe.window, stride: recipe.stride });
  const frameOffsets = WindowIndex.inference(train, { length: 1 }).offsets;
  const { batchSize, window } = recipe;
  const steps = stepsPerEpoch(windows.count, recipe);
  const labelCount = window * train.labelWidth;
  const trained = new TrainingStep<string>(
    network.parameters,
    optimizer,
    ({ features, ...labels }, step) => {
      const logits = network.logits(features as tf.Tensor3D, step); // [B, T, classes]
      return objective.loss(logits.reshape([logits.shape[0] * window, -1]), labels);
    },
  );

  async function toStep(indices: Int32Array, stepNumber: number): Promise<StepInput> {
    const rows = new Int32Array(indices.length * window);
    const labels = new Int32Array(indices.length * labelCount);
    indices.forEach((w, b) => {
      const { track, trackNumber, frames, valid } = windows.get(w);
      const counted = valid.slice();
      frames.forEach((frame, t) => {
        const row = frameOffsets[trackNumber] + frame;
        rows[b * window + t] = row;
        if (features.train.bad.has(row)) counted[t] = 0;
      });
      labels.set(windowLabels(track, { frames, valid: counted }), b * labelCount);
    });
    const values = await features.train.gather(rows);
    const inputs = {
      features: { values, shape: [indices.length, window, features.train.width] },
      ...objective.inputs(labels),
    };
    return {
      run: (rate) => trained.run(inputs, stepNumber, rate),
      describe: () => describeFrames(indices, (w) => windows.get(w)),
      largestGradients: () => trained.largestGradients(inputs, stepNumber),
    };
  }

  return {
    recipe,
    optimizer,
    stepsPerEpoch: steps,
    async *steps(epoch, firstStep) {
      const classOf = (w: number) => {
        const found = windows.get(w);
        return middleLabel(windowLabels(found.track, found));
      };
      const order = sampleOrder(windows.count, classOf, recipe, seed, epoch);
      try {
        for (let step = firstStep; step < steps; step++) {
          yield await toStep(order.slice(step * batchSize, (step + 1) * batchSize), epoch * steps + step);
        }
      } finally {
        trained.release();
      }
    },
    async validate() {
      return validationOf(await predictWindows(network, validation, features.validation, window), validation);
    },
    dispose() {
      trained.release();
      optimizer.dispose();
      objective.dispose();
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
