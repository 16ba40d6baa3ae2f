/**
 * Windows of consecutive kept frames, T a window. They hop over gaps and never cross tracks.
 *
 * A window is a list of indices into `track.frames` with a mark per position that says whether the label
 * there counts. In a training window all labels count, except where a track shorter than T repeats its last
 * frame; in an inference window only the middle one does. So no frame is counted twice within one window, and
 * over all inference windows each frame is counted once.
 *
 * @module
 */
import { type Dataset, type Track, UNLABELLED } from "./types.ts";

/** One window of a track. */
export interface Window {
  /** [T] indices into `track.frames` */
  readonly frames: Int32Array;
  /** [T] 1 where the label counts, 0 where it is to be taken as -1 */
  readonly valid: Uint8Array;
}

/** Training windows: how long, and how far apart they begin. */
export interface TrainingWindowOptions {
  /** frames a window, T (9) */
  readonly length?: number;
  /** frames from one window's begin to the next one's (4) */
  readonly stride?: number;
}

const LENGTH = 9;
const STRIDE = 4;

function checkPositive(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(`Cannot make windows: expected ${name} to be a positive integer but got ${value}`);
  }
}

function checkOdd(length: number): void {
  checkPositive("length", length);
  if (length % 2 === 0) {
    throw new RangeError(
      `Cannot make inference windows: expected an odd length, which has a middle frame, but got ${length}`,
    );
  }
}

function checkIndex(what: string, i: number, count: number): void {
  if (!Number.isInteger(i) || i < 0 || i >= count) {
    throw new RangeError(`Cannot make a window: expected ${what} to be in 0 to ${count - 1} but got ${i}`);
  }
}

/** How many training windows F frames give. */
function countTraining(frameCount: number, length: number, stride: number): number {
  return frameCount <= length ? Math.min(1, frameCount) : Math.ceil((frameCount - length) / stride) + 1;
}

/** The n-th training window of F frames: the last one is moved back to the end. */
function trainingWindow(frameCount: number, n: number, length: number, stride: number): Window {
  const start = Math.max(0, Math.min(n * stride, frameCount - length));
  const frames = new Int32Array(length);
  const valid = new Uint8Array(length);
  for (let t = 0; t < length; t++) {
    const i = start + t;
    frames[t] = Math.min(i, frameCount - 1);
    valid[t] = i < frameCount ? 1 : 0;
  }
  return { frames, valid };
}

/** The window of F frames with frame i in the middle. */
function centredWindow(frameCount: number, i: number, length: number): Window {
  const half = (length - 1) / 2;
  const frames = new Int32Array(length);
  const valid = new Uint8Array(length);
  for (let t = 0; t < length; t++) frames[t] = Math.max(0, Math.min(i - half + t, frameCount - 1));
  valid[half] = 1;
  return { frames, valid };
}

/**
 * The training windows of a track: begin 0, stride, 2 stride, ..., the last one moved back so that it ends
 * with the track. A track shorter than `length` gives one window that repeats its last frame, marked not
 * valid there.
 *
 * @throws {RangeError} if `length` or `stride` is not a positive integer
 */
export function trainingWindows(track: Track, options: TrainingWindowOptions = {}): Window[] {
  const { length = LENGTH, stride = STRIDE } = options;
  checkPositive("length", length);
  checkPositive("stride", stride);
  const frameCount = track.frames.length;
  return Array.from(
    { length: countTraining(frameCount, length, stride) },
    (_, n) => trainingWindow(frameCount, n, length, stride),
  );
}

/**
 * The window with kept frame i in the middle, (length - 1) / 2 frames before and after it, the track's first
 * and last frame repeated beyond its edges. Only the middle is marked valid.
 *
 * @throws {RangeError} if `length` is not odd or the track has no kept frame i
 */
export function inferenceWindow(track: Track, i: number, length: number = LENGTH): Window {
  checkOdd(length);
  checkIndex("the frame", i, track.frames.length);
  return centredWindow(track.frames.length, i, length);
}

/**
 * The labels of a window: [T], or [T, 12] for action units; -1 where the window is not valid.
 */
export function windowLabels(track: Track, window: Window): Int32Array {
  const width = track.labels.length / track.frames.length;
  const labels = new Int32Array(window.frames.length * width).fill(UNLABELLED);
  for (let t = 0; t < window.frames.length; t++) {
    if (window.valid[t] === 0) continue;
    const from = window.frames[t] * width;
    for (let column = 0; column < width; column++) labels[t * width + column] = track.labels[from + column];
  }
  return labels;
}

/** A window and where it is from. */
export interface TrackWindow extends Window {
  /** the track that `frames` index into */
  readonly track: Track;
  /** the track's place in `dataset.tracks` */
  readonly trackNumber: number;
}

/**
 * All windows of a dataset, numbered track after track. A window is made when it is asked for, from one
 * number per track, so the index takes 4 bytes a track however many frames there are.
 */
export class WindowIndex {
  /** what the windows are of */
  readonly dataset: Dataset;
  /** `training`: {@linkcode trainingWindows}; `inference`: {@linkcode inferenceWindow} of every kept frame */
  readonly kind: "training" | "inference";
  /** T */
  readonly length: number;
  /** frames from one window's begin to the next one's; 1 for inference */
  readonly stride: number;
  /** [tracks + 1] the number of each track's first window, then the count of all */
  readonly offsets: Int32Array;

  private constructor(dataset: Dataset, kind: "training" | "inference", length: number, stride: number) {
    this.dataset = dataset;
    this.kind = kind;
    this.length = length;
    this.stride = stride;
    this.offsets = new Int32Array(dataset.tracks.length + 1);
    dataset.tracks.forEach(({ frames }, t) => {
      const count = kind === "inference" ? frames.length : countTraining(frames.length, length, stride);
      this.offsets[t + 1] = this.offsets[t] + count;
    });
  }

  /**
   * The training windows of a dataset.
   *
   * @throws {RangeError} if `length` or `stride` is not a positive integer
   */
  static training(dataset: Dataset, options: TrainingWindowOptions = {}): WindowIndex {
    const { length = LENGTH, stride = STRIDE } = options;
    checkPositive("length", length);
    checkPositive("stride", stride);
    return new WindowIndex(dataset, "training", length, stride);
  }

  /**
   * One window per kept frame; window i has the dataset's i-th kept frame in the middle.
   *
   * @throws {RangeError} if `length` is not odd
   */
  static inference(dataset: Dataset, options: { readonly length?: number } = {}): WindowIndex {
    const { length = LENGTH } = options;
    checkOdd(length);
    return new WindowIndex(dataset, "inference", length, 1);
  }

  /** How many windows there are. */
  get count(): number {
    return this.offsets[this.offsets.length - 1];
  }

  /** The number of the track that window i is from: its place in `dataset.tracks`. */
  trackNumberOf(i: number): number {
    checkIndex("its number", i, this.count);
    let low = 0;
    let high = this.dataset.tracks.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.offsets[middle] <= i) low = middle;
      else high = middle;
    }
    return low;
  }

  /**
   * Window i.
   *
   * @throws {RangeError} if there is no window i
   */
  get(i: number): TrackWindow {
    const trackNumber = this.trackNumberOf(i);
    const track = this.dataset.tracks[trackNumber];
    const n = i - this.offsets[trackNumber];
    const frameCount = track.frames.length;
    const window = this.kind === "inference"
      ? centredWindow(frameCount, n, this.length)
      : trainingWindow(frameCount, n, this.length, this.stride);
    return { track, trackNumber, ...window };
  }
}
