/**
 * The challenge's text files: predictions in the format of the annotations, one line per frame of the video,
 * and the lists of test tracks.
 *
 * @module
 */
import { formatAnnotations, LABEL_FORMATS, parseAnnotations } from "./annotations.ts";
import { diskFiles, type Files, readBytes } from "./files.ts";
import { type LabelSet, UNLABELLED } from "./types.ts";

/** What a frame without a prediction gets: -1 (twelve -1), or the nearest frame's prediction. */
export type MissingFrames = "unlabelled" | "nearest";

/** The predictions of one track. */
export interface TrackPredictions {
  /** which values a line has */
  readonly labelSet: LabelSet;
  /** frames of the video = lines to write */
  readonly frameCount: number;
  /** [F] numbers of the predicted frames, 1-based, ascending */
  readonly frames: ArrayLike<number>;
  /** [F] 0..6, or [F, 12] 0/1 for action units */
  readonly predictions: ArrayLike<number>;
}

/** A submission file as read back. */
export interface Submission {
  /** lines = frames of the video */
  readonly frameCount: number;
  /** [frameCount] or [frameCount, 12]; -1 where there is no prediction */
  readonly predictions: Int8Array;
}

function checkPredictions({ labelSet, frameCount, frames, predictions }: TrackPredictions): void {
  const { width, largest } = LABEL_FORMATS[labelSet];
  const fail = (wanted: string, given: string) =>
    new RangeError(`Cannot write a submission: expected ${wanted} but got ${given}`);
  if (!Number.isInteger(frameCount) || frameCount < 0) {
    throw fail("the count of frames to be a whole number", String(frameCount));
  }
  if (predictions.length !== frames.length * width) {
    throw fail(`${frames.length * width} values for ${frames.length} frames`, String(predictions.length));
  }
  for (let i = 0; i < frames.length; i++) {
    const frame = frames[i];
    if (!Number.isInteger(frame) || frame < 1 || frame > frameCount) {
      throw fail(`frame numbers in 1 to ${frameCount}`, String(frame));
    }
    if (i > 0 && frame <= frames[i - 1]) {
      throw fail("ascending frame numbers", `${frame} after ${frames[i - 1]}`);
    }
  }
  for (let i = 0; i < predictions.length; i++) {
    const value = predictions[i];
    if (!Number.isInteger(value) || value < 0 || value > largest) {
      throw fail(`predictions in 0 to ${largest}`, `${value} for frame ${frames[Math.floor(i / width)]}`);
    }
  }
}

/** For each frame of the video, which prediction it gets, or -1. */
function assignPredictions(
  frameCount: number,
  frames: ArrayLike<number>,
  missing: MissingFrames,
): Int32Array {
  const source = new Int32Array(frameCount).fill(-1);
  let next = 0;
  for (let frame = 1; frame <= frameCount; frame++) {
    if (next < frames.length && frames[next] === frame) {
      source[frame - 1] = next++;
    } else if (missing === "nearest") {
      const before = next > 0 ? frame - frames[next - 1] : Infinity;
      const after = next < frames.length ? frames[next] - frame : Infinity;
      source[frame - 1] = before <= after ? next - 1 : next;
    }
  }
  return source;
}

/**
 * The text of one track's submission file: the annotations' header, then one line per frame of the video.
 *
 * @param missing what frames without a prediction get; of two equally near ones the earlier
 * @throws {RangeError} if frame numbers or predictions are outside their range or do not match in number, or
 * `nearest` is asked of a track without any prediction
 */
export function formatSubmission(track: TrackPredictions, missing: MissingFrames): string {
  checkPredictions(track);
  const { labelSet, frameCount, frames, predictions } = track;
  if (missing === "nearest" && frames.length === 0 && frameCount > 0) {
    throw new RangeError(
      "Cannot write a submission: expected at least one prediction to take the nearest one of but got none",
    );
  }
  const { width } = LABEL_FORMATS[labelSet];
  const labels = new Int8Array(frameCount * width).fill(UNLABELLED);
  assignPredictions(frameCount, frames, missing).forEach((source, line) => {
    if (source < 0) return;
    for (let column = 0; column < width; column++) {
      labels[line * width + column] = predictions[source * width + column];
    }
  });
  return formatAnnotations(labels, labelSet);
}

/**
 * Writes `<folder>/<name>.txt`; see {@linkcode formatSubmission}.
 *
 * @param name the track's name as listed, with its `_left` or `_right`
 * @returns the file's path
 * @throws {RangeError} what {@linkcode formatSubmission} throws
 * @throws {Error} if the file cannot be written
 */
export async function writeSubmission(
  folder: string,
  name: string,
  track: TrackPredictions,
  missing: MissingFrames,
): Promise<string> {
  const path = `${folder}/${name}.txt`;
  const text = formatSubmission(track, missing);
  try {
    await Deno.writeTextFile(path, text);
  } catch (error) {
    throw new Error(`Cannot write the submission ${path}: ${(error as Error).message}`, { cause: error });
  }
  return path;
}

/**
 * Reads a submission file back.
 *
 * @throws {RangeError} if a value is outside its range
 * @throws {Error} if the file cannot be read or is not well-formed
 */
export async function readSubmission(
  path: string,
  labelSet: LabelSet,
  files: Files = diskFiles,
): Promise<Submission> {
  const { count, labels } = parseAnnotations(await readBytes(files, path, "the submission"), labelSet, path);
  return { frameCount: count, predictions: labels };
}

/**
 * Reads a list of test tracks, one name a line (`test_set_Expr_Challenge.txt`). Blank lines are skipped.
 *
 * @returns the names in the list's order
 * @throws {Error} if the file cannot be read, is empty or names a track twice
 */
export async function readTrackList(path: string, files: Files = diskFiles): Promise<string[]> {
  const text = new TextDecoder().decode(await readBytes(files, path, "the list of tracks"));
  const names = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  if (names.length === 0) {
    throw new Error(`Cannot read the list of tracks ${path}: expected one track a line but it is empty`);
  }
  const repeated = names.find((name, i) => names.indexOf(name) !== i);
  if (repeated !== undefined) {
    throw new Error(
      `Cannot read the list of tracks ${path}: expected each track once but got ${repeated} twice`,
    );
  }
  return names;
}
