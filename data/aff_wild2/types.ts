/**
 * What the Aff-Wild2 reader returns: tracks of (frame number, image path, label) in typed arrays.
 *
 * @module
 */

/** Which annotations are read: `expression` is EXPR_Set, `action_units` is AU_Set. */
export type LabelSet = "expression" | "action_units";

/**
 * What is learned: Aff-Wild2's annotations, both of them together (`joint`), or who a face belongs to (pretraining on
 * VGGFace2's layout).
 */
export type Target = LabelSet | "joint" | "identity";

/** The official partition. */
export type Split = "train" | "validation";

/** The seven expressions, in label order (label 0 is Neutral). */
export const EXPRESSIONS = [
  "Neutral",
  "Anger",
  "Disgust",
  "Fear",
  "Happiness",
  "Sadness",
  "Surprise",
] as const;

/** The twelve action units, in column order. */
export const ACTION_UNITS = [
  "AU1",
  "AU2",
  "AU4",
  "AU6",
  "AU7",
  "AU10",
  "AU12",
  "AU15",
  "AU23",
  "AU24",
  "AU25",
  "AU26",
] as const;

/** The label that means "not annotated". */
export const UNLABELLED: -1 = -1;

/** Why frames of a track were left out; each frame is counted once, under the first reason that holds. */
export interface Dropped {
  /** annotated -1 (AU: any of the twelve is -1) */
  readonly unlabelled: number;
  /** labelled, but without a crop on disk */
  readonly missingCrop: number;
  /** crops on disk beyond the last label line */
  readonly unlabelledCrops: number;
}

/** One person's face in one video. */
export interface Track {
  /** e.g. `video59_right` */
  readonly name: string;
  /** the video file's stem, e.g. `video59` */
  readonly video: string;
  /** folder of the crops; image of frame k is `%05d.jpg` of k */
  readonly imageFolder: string;
  /** label lines in the file = frames of the video */
  readonly annotatedFrames: number;
  /** [F] kept frame numbers, 1-based, ascending */
  readonly frames: Int32Array;
  /** [F] 0..6, or [F, 12] 0/1 for action units; [F] the identity's number */
  readonly labels: Int8Array | Int16Array;
  /** [F] file names in `imageFolder`, where they are not `%05d.jpg` of the frame number */
  readonly files?: readonly string[];
  /** frames with a label but without a crop: [U] ascending, and their [U * labelWidth] labels */
  readonly uncropped?: { readonly frames: Int32Array; readonly labels: Int8Array };
  /** what is left out of `frames` */
  readonly dropped: Dropped;
}

/** A track that was left out whole. */
export interface SkippedTrack {
  /** as {@linkcode Track}'s */
  readonly name: string;
  /** as {@linkcode Track}'s */
  readonly video: string;
  /** why, in words */
  readonly reason: string;
  /** label lines in the file = frames of the video */
  readonly annotatedFrames: number;
  /** what is unusable */
  readonly dropped: Dropped;
  /** usable frames that were left out with the track: 0 unless it was excluded on purpose */
  readonly excludedFrames: number;
}

/** A split of a label set, as read from disk. */
export interface Dataset {
  /** the folder that was read */
  readonly root: string;
  /** which labels */
  readonly labelSet: Target;
  /** which part */
  readonly split: Split;
  /** in label order: expressions, action units, or identities */
  readonly classNames: readonly string[];
  /** values per frame: 1 (expression, identity), 12 (action units) or 13 (joint: the expression, then the units) */
  readonly labelWidth: number;
  /** ordered by name; every track has at least one kept frame */
  readonly tracks: readonly Track[];
  /** tracks that were left out whole, with the reason; ordered by name */
  readonly skipped: readonly SkippedTrack[];
}

/** The file name of a frame's crop; `frame` is the frame's number, 1-based. */
export function imageName(frame: number): string {
  return `${String(frame).padStart(5, "0")}.jpg`;
}

/** The path of the crop of the track's i-th kept frame. */
export function imagePath(track: Track, i: number): string {
  return `${track.imageFolder}/${track.files?.[i] ?? imageName(track.frames[i])}`;
}
