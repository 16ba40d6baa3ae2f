/**
 * Expressions and action units together: a frame is in if either is annotated. Videos that would leak from one's training
 * into the other's validation are left out of training, and listed.
 *
 * @module
 */
import { readDataset, type ReadOptions, sharedVideos, withoutVideos } from "./dataset.ts";
import {
  ACTION_UNITS,
  type Dataset,
  EXPRESSIONS,
  type SkippedTrack,
  type Track,
  UNLABELLED,
} from "./types.ts";

/** The labels of a frame: the expression, then the twelve action units; -1 = not annotated. */
const WIDTH = 1 + ACTION_UNITS.length;
/** What a network for both puts out: seven expressions, then twelve action units. */
export const JOINT_CLASSES: readonly string[] = [...EXPRESSIONS, ...ACTION_UNITS];

/** Both splits of both label sets. */
export interface JointSplits {
  readonly train: Dataset;
  readonly validation: Dataset;
  /** videos that were left out of training because the other label set validates on them */
  readonly excludedVideos: readonly string[];
}

/** The frames of two tracks of the same name, with the labels of both; frames ascend in both. */
function mergeTracks(expression: Track | undefined, units: Track | undefined): Track {
  const [a, b] = [expression?.frames ?? new Int32Array(), units?.frames ?? new Int32Array()];
  const frames = new Int32Array(a.length + b.length);
  const labels = new Int8Array(frames.length * WIDTH).fill(UNLABELLED);
  let row = 0;
  for (let i = 0, k = 0; i < a.length || k < b.length; row++) {
    const frame = Math.min(a[i] ?? Infinity, b[k] ?? Infinity);
    frames[row] = frame;
    if (a[i] === frame) labels[row * WIDTH] = expression!.labels[i++];
    if (b[k] !== frame) continue;
    for (let u = 0; u < ACTION_UNITS.length; u++) {
      labels[row * WIDTH + 1 + u] = units!.labels[k * ACTION_UNITS.length + u];
    }
    k++;
  }
  return {
    ...(expression ?? units)!,
    annotatedFrames: row,
    frames: frames.slice(0, row),
    labels: labels.slice(0, row * WIDTH),
    uncropped: undefined,
    dropped: { unlabelled: 0, missingCrop: 0, unlabelledCrops: 0 }, // each label set's own report tells
  };
}

/** The columns of joint labels or predictions, [F, 13], apart: [F] expressions and [F, 12] action units. */
export function splitJointLabels(
  labels: ArrayLike<number>,
): { expressions: Int32Array<ArrayBuffer>; units: Int32Array<ArrayBuffer> } {
  const frames = labels.length / WIDTH;
  const expressions = new Int32Array(frames);
  const units = new Int32Array(frames * ACTION_UNITS.length);
  for (let i = 0; i < frames; i++) {
    expressions[i] = labels[i * WIDTH];
    for (let u = 0; u < ACTION_UNITS.length; u++) {
      units[i * ACTION_UNITS.length + u] = labels[i * WIDTH + 1 + u];
    }
  }
  return { expressions, units };
}

/** The columns of joint probabilities, [F, 19], apart: [F, 7] and [F, 12]. */
export function splitJointProbabilities(
  probabilities: Float32Array,
): { expressions: Float32Array; units: Float32Array } {
  const [width, first] = [JOINT_CLASSES.length, EXPRESSIONS.length];
  const frames = probabilities.length / width;
  const expressions = new Float32Array(frames * first);
  const units = new Float32Array(frames * ACTION_UNITS.length);
  for (let i = 0; i < frames; i++) {
    expressions.set(probabilities.subarray(i * width, i * width + first), i * first);
    units.set(probabilities.subarray(i * width + first, (i + 1) * width), i * ACTION_UNITS.length);
  }
  return { expressions, units };
}

/** Two label sets' tracks joined by name. */
function mergeDatasets(expression: Dataset, units: Dataset): Dataset {
  const byName = (tracks: readonly Track[]) => new Map(tracks.map((track) => [track.name, track]));
  const [first, second] = [byName(expression.tracks), byName(units.tracks)];
  const names = [...new Set([...first.keys(), ...second.keys()])].sort();
  const kept = new Set(names);
  const skipped = new Map<string, SkippedTrack>();
  for (const track of [...expression.skipped, ...units.skipped]) {
    if (!kept.has(track.name)) skipped.set(track.name, track);
  }
  return {
    root: expression.root,
    labelSet: "joint",
    split: expression.split,
    classNames: JOINT_CLASSES,
    labelWidth: WIDTH,
    tracks: names.map((name) => mergeTracks(first.get(name), second.get(name))),
    skipped: [...skipped.values()].sort((a, b) => a.name < b.name ? -1 : 1),
  };
}

/**
 * Reads both label sets for joint training.
 *
 * @throws what {@linkcode readDataset} throws; {Error} if no track is left for training
 */
export async function readJoint(
  root: string,
  options: Omit<ReadOptions, "split" | "labelSet"> = {},
): Promise<JointSplits> {
  const read = (labelSet: "expression" | "action_units", split: "train" | "validation") =>
    readDataset(root, { ...options, labelSet, split });
  const expression = {
    train: await read("expression", "train"),
    validation: await read("expression", "validation"),
  };
  const units = {
    train: await read("action_units", "train"),
    validation: await read("action_units", "validation"),
  };
  const leakingUnits = sharedVideos(units.train, expression.validation);
  const leakingExpressions = sharedVideos(expression.train, units.validation);
  const train = mergeDatasets(
    leakingExpressions.length === 0 ? expression.train : withoutVideos(
      expression.train,
      leakingExpressions,
      "its video is in the action units' validation set",
    ),
    leakingUnits.length === 0
      ? units.train
      : withoutVideos(units.train, leakingUnits, "its video is in the expressions' validation set"),
  );
  return {
    train,
    validation: mergeDatasets(expression.validation, units.validation),
    excludedVideos: [...new Set([...leakingUnits, ...leakingExpressions])].sort(),
  };
}
