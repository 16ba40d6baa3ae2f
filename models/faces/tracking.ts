/**
 * Follows faces from frame to frame by the overlap of their boxes: the same boxes give the same tracks.
 *
 * @module
 */
import { type Box, overlap } from "../../data/faces/geometry.ts";

/** How faces are followed. */
export interface TrackingOptions {
  /** a face that is away for more frames begins another track */
  readonly maxGap: number;
  /** intersection over union with the track's last box; 0.3 by default */
  readonly minOverlap?: number;
}

interface OpenTrack {
  readonly number: number;
  box: Box;
  frame: number;
}

/** What a frame did to the tracks. */
export interface TrackUpdate {
  /** the track of each box */
  readonly tracks: readonly number[];
  /** tracks that have ended before this frame */
  readonly ended: readonly number[];
}

/** The tracks of one video; numbered from 1 in the order in which they begin. */
export class FaceTracker {
  readonly #options: Required<TrackingOptions>;
  #open: OpenTrack[] = [];
  #count = 0;

  /** @throws {RangeError} if the gap is negative */
  constructor({ maxGap, minOverlap = 0.3 }: TrackingOptions) {
    if (!(maxGap >= 0)) {
      throw new RangeError(`Cannot track faces: the longest gap is ${maxGap} frames; expected at least 0`);
    }
    this.#options = { maxGap, minOverlap };
  }

  /**
   * Gives each box of a frame its track: the pairs that overlap most first, an older track before a younger one.
   *
   * @param frame larger than the one before
   */
  update(frame: number, boxes: readonly Box[]): TrackUpdate {
    const { maxGap, minOverlap } = this.#options;
    const ended = this.#open.filter((track) => frame - track.frame - 1 > maxGap).map(({ number }) => number);
    this.#open = this.#open.filter(({ number }) => !ended.includes(number));
    const pairs = this.#open.flatMap((track) =>
      boxes.map((box, i) => ({ track, i, shared: overlap(track.box, box) }))
    ).filter(({ shared }) => shared >= minOverlap);
    pairs.sort((a, b) => b.shared - a.shared || a.track.number - b.track.number || a.i - b.i);
    const tracks = new Array<number>(boxes.length).fill(0);
    const taken = new Set<number>();
    for (const { track, i } of pairs) {
      if (tracks[i] !== 0 || taken.has(track.number)) continue;
      tracks[i] = track.number;
      taken.add(track.number);
      Object.assign(track, { box: boxes[i], frame });
    }
    for (const [i, box] of boxes.entries()) {
      if (tracks[i] !== 0) continue;
      tracks[i] = ++this.#count;
      this.#open.push({ number: this.#count, box, frame });
    }
    return { tracks, ended };
  }
}
