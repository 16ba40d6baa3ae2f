/**
 * Class probabilities of every labelled frame, each scored once: by itself (CNN), or in the middle of its window
 * (many-to-one, paper Section 3.2).
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { splitJointLabels, splitJointProbabilities, WindowIndex } from "../../data/aff_wild2/mod.ts";
import { ACTION_UNITS, type Dataset, EXPRESSIONS, type Target } from "../../data/aff_wild2/types.ts";
import {
  type ActionUnitMetrics,
  actionUnitMetrics,
  argmaxRows,
  type ExpressionMetrics,
  expressionMetrics,
} from "../../models/metrics.ts";
import { type FrameNetwork, type Network, TemporalNetwork } from "../../models/networks.ts";
import { applyThresholds } from "../../models/thresholds.ts";
import { type FeatureStore, openFeatures } from "./features.ts";
import { allLabels, type FrameOptions, type LabelledFrames, leaveOut, overFrames } from "./frames.ts";

const WINDOWS_PER_BATCH = 256;
const BATCHES_PER_READ = 8;

/** Class probabilities (softmax), or per-unit probabilities (sigmoid) for action units. */
export function probabilitiesOf(logits: tf.Tensor2D, labelSet: Target): tf.Tensor2D {
  if (labelSet === "joint") {
    const [expressions, units] = tf.split<tf.Tensor2D>(logits, [EXPRESSIONS.length, ACTION_UNITS.length], 1);
    return tf.concat2d([expressions.softmax(), units.sigmoid()], 1);
  }
  return labelSet === "action_units" ? logits.sigmoid() : logits.softmax();
}

/**
 * The probabilities of all kept frames.
 *
 * @param features the folder of cached features
 * @param window frames per window of a temporal network
 * @returns [frames, classes]
 * @throws {ImageError} if an image cannot be decoded; {DOMException} if the signal aborts
 */
export async function predictFrames(
  network: Network,
  dataset: Dataset,
  options: FrameOptions & { window: number; features: string },
): Promise<Float32Array> {
  if (!(network instanceof TemporalNetwork)) return await predictImages(network, dataset, options);
  const features = await openFeatures(network, dataset, options.features, options);
  try {
    return await predictWindows(network, dataset, features, options.window, options.signal);
  } finally {
    features.close();
  }
}

/** The probabilities of a network of single frames, [frames, classes]; see {@link leaveOut} for images left out. */
export async function predictImages(
  network: FrameNetwork,
  dataset: Dataset,
  options: FrameOptions,
): Promise<Float32Array> {
  const { classes } = network.architecture;
  const frames = dataset.tracks.reduce((sum, track) => sum + track.frames.length, 0);
  const probabilities = new Float32Array(frames * classes);
  using _held = network.holdWeights();
  const bad = await overFrames(
    dataset,
    options,
    (images) => probabilitiesOf(network.logits(images, { training: false }), dataset.labelSet),
    (first, rows) => probabilities.set(rows, first * classes),
  );
  leaveOut(dataset, bad, probabilities);
  requireNumbers(dataset, probabilities);
  return probabilities;
}

/**
 * A temporal network's probabilities of each window's middle frame, [frames, classes]; see {@link leaveOut} for images
 * left out.
 */
export async function predictWindows(
  network: TemporalNetwork,
  dataset: Dataset,
  features: FeatureStore,
  window: number,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { classes } = network.architecture;
  const index = WindowIndex.inference(dataset, { length: window });
  const offsets = index.offsets; // one window per frame: also the frames' offsets
  const probabilities = new Float32Array(index.count * classes);
  let unread: tf.Tensor2D[] = [];
  let done = 0;
  const readAll = async () => {
    const reads = unread;
    unread = [];
    for (const rows of await Promise.all(reads.map((tensor) => tensor.data<"float32">()))) {
      probabilities.set(rows, done);
      done += rows.length;
    }
    reads.forEach((tensor) => tensor.dispose());
  };
  for (let start = 0; start < index.count; start += WINDOWS_PER_BATCH) {
    signal?.throwIfAborted();
    const count = Math.min(WINDOWS_PER_BATCH, index.count - start);
    const rows = new Int32Array(count * window);
    for (let w = 0; w < count; w++) {
      const { trackNumber, frames } = index.get(start + w);
      frames.forEach((frame, t) => rows[w * window + t] = offsets[trackNumber] + frame);
    }
    const values = await features.gather(rows);
    unread.push(tf.tidy(() => {
      const logits = network.logits(tf.tensor3d(values, [count, window, features.width])); // [B, T, classes]
      const middle = logits.slice([0, (window - 1) / 2, 0], [count, 1, classes]).reshape<tf.Tensor2D>([
        count,
        classes,
      ]);
      return probabilitiesOf(middle, dataset.labelSet);
    }));
    if (unread.length === BATCHES_PER_READ) await readAll();
  }
  await readAll();
  leaveOut(dataset, features.bad.keys(), probabilities);
  requireNumbers(dataset, probabilities);
  return probabilities;
}

/** Refuses NaN, which any score would take for some class. */
function requireNumbers({ tracks, classNames }: LabelledFrames, probabilities: Float32Array): void {
  const at = probabilities.findIndex(Number.isNaN);
  if (at < 0) return;
  let frame = Math.floor(at / classNames.length);
  for (const { name, frames } of tracks) {
    if (frame < frames.length) {
      throw new RangeError(
        `Cannot use the predictions: frame ${frames[frame]} of ${name} has NaN for ${
          classNames[at % classNames.length]
        }; expected numbers, which weights that are damaged or have diverged do not give`,
      );
    }
    frame -= frames.length;
  }
}

/** Metrics of both label sets; F1, accuracy and score are the means of the two. */
export interface JointMetrics {
  readonly f1: number;
  readonly accuracy: number;
  readonly score: number;
  readonly expressions: ExpressionMetrics;
  readonly units: ActionUnitMetrics;
}

/** Metrics of any label set. */
export type Metrics = ExpressionMetrics | ActionUnitMetrics | JointMetrics;

/** Scores [frames, classes] probabilities: the most probable expression, or units above .5. */
export function scoreFrames(probabilities: Float32Array, dataset: LabelledFrames): Metrics {
  const labels = allLabels(dataset);
  if (dataset.labelSet === "joint") return scoreJoint(probabilities, labels);
  if (dataset.labelSet !== "action_units") {
    const classes = dataset.classNames.length;
    return expressionMetrics(labels, argmaxRows(probabilities, classes), classes);
  }
  return actionUnitMetrics(labels, decideUnits(probabilities));
}

function decideUnits(probabilities: Float32Array): Int8Array {
  return applyThresholds(probabilities, ACTION_UNITS.map(() => 0.5));
}

function scoreJoint(probabilities: Float32Array, labels: ArrayLike<number>): JointMetrics {
  const truth = splitJointLabels(labels);
  const given = splitJointProbabilities(probabilities);
  const expressions = expressionMetrics(truth.expressions, argmaxRows(given.expressions, EXPRESSIONS.length));
  const units = actionUnitMetrics(truth.units, decideUnits(given.units));
  const mean = (key: "f1" | "accuracy" | "score") => (expressions[key] + units[key]) / 2;
  return { f1: mean("f1"), accuracy: mean("accuracy"), score: mean("score"), expressions, units };
}
