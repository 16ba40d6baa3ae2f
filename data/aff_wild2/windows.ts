/**
 * Windows of consecutive kept frames. A window never crosses tracks; it hops over gaps as the authors' windows do.
 *
 * @module
 */
import type { Dataset } from "./types.ts";

/** One window. */
export interface Window {
  /** number of the track in the dataset */
  readonly track: number;
  /** [length] indices into `track.frames` */
  readonly frames: Int32Array;
  /** [length] 0 where a frame is a repetition, whose label must not count again */
  readonly counted: Uint8Array;
}

/**
 * The training windows of all tracks: every `stride` frames, the last one moved back to the track's end; a track
 * shorter than a window gives one window in which its last frame is repeated. Two integers are kept per window.
 */
export class TrainingWindows {
  readonly length: number;
  readonly #tracks: Int32Array;
  readonly #starts: Int32Array;
  readonly #dataset: Dataset;

  /** @throws {RangeError} if length or stride is not a positive integer */
  constructor(dataset: Dataset, { length = 9, stride = 4 } = {}) {
    if (!Number.isInteger(length) || length < 1 || !Number.isInteger(stride) || stride < 1) {
      throw new RangeError(
        `Cannot cut windows: length and stride must be positive integers, not ${length}, ${stride}`,
      );
    }
    this.length = length;
    this.#dataset = dataset;
    const perTrack = dataset.tracks.map(({ frames }) =>
      1 + Math.ceil(Math.max(0, frames.length - length) / stride)
    );
    const count = perTrack.reduce((sum, n) => sum + n, 0);
    this.#tracks = new Int32Array(count);
    this.#starts = new Int32Array(count);
    let w = 0;
    for (const [t, windows] of perTrack.entries()) {
      const lastStart = Math.max(0, dataset.tracks[t].frames.length - length);
      for (let i = 0; i < windows; i++, w++) {
        this.#tracks[w] = t;
        this.#starts[w] = Math.min(i * stride, lastStart);
      }
    }
  }

  /** How many windows there are. */
  get count(): number {
    return this.#tracks.length;
  }

  /** The w-th window. */
  get(w: number): Window {
    const track = this.#tracks[w];
    const last = this.#dataset.tracks[track].frames.length - 1;
    const frames = new Int32Array(this.length);
    const counted = new Uint8Array(this.length);
    for (let i = 0; i < this.length; i++) {
      const frame = this.#starts[w] + i;
      frames[i] = Math.min(frame, last);
      counted[i] = frame <= last ? 1 : 0;
    }
    return { track, frames, counted };
  }
}

/**
 * The inference window of frame i of a track with `frameCount` kept frames: (length - 1) / 2 before and after it,
 * edge frames repeated, so that every labelled frame is in the middle of one window.
 *
 * @returns [length] indices into `track.frames`
 */
export function inferenceWindow(frameCount: number, i: number, length = 9): Int32Array {
  const half = (length - 1) >> 1;
  return Int32Array.from({ length }, (_, k) => Math.min(frameCount - 1, Math.max(0, i - half + k)));
}
