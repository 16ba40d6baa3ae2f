/**
 * The features of a track's last frames: as many as the windows that are still to come reach back to.
 *
 * @module
 */
import type { FacePlace } from "./frames.ts";

/** A frame of a track; entries are numbered from 0 along the track. */
export interface TrackEntry extends FacePlace {
  readonly frame: number;
  /** the features by each backbone */
  readonly rows: readonly Float32Array[];
}

/** A track that is under way. */
export class TrackFeatures {
  readonly name: string;
  readonly #reach: number;
  #entries: TrackEntry[] = [];
  /** number of `#entries[0]` */
  #first = 0;
  #next = 0;
  #ended = false;

  /** @param reach frames before and after the middle of the longest window */
  constructor(name: string, reach: number) {
    this.name = name;
    this.#reach = reach;
  }

  /** The number of the entry that is to be predicted next. */
  get next(): number {
    return this.#next;
  }

  /** The number after the last entry whose windows are complete. */
  ready(): number {
    const count = this.#first + this.#entries.length;
    return this.#ended ? count : Math.max(this.#next, count - this.#reach);
  }

  /** Appends the next frame in which the face was found. */
  add(entry: TrackEntry): void {
    this.#entries.push(entry);
  }

  /** No frame will follow: the last one stands for those beyond it. */
  end(): void {
    this.#ended = true;
  }

  /** Where the face of an entry is. */
  place(entry: number): Omit<TrackEntry, "rows"> {
    const { frame, box, score } = this.#entries[entry - this.#first];
    return { frame, box, score };
  }

  /**
   * The features of windows around entries, edges repeated: [entries, window, D].
   *
   * @param backbone whose features
   */
  windows(entries: readonly number[], window: number, backbone: number): Float32Array {
    const width = this.#entries[0].rows[backbone].length;
    const out = new Float32Array(entries.length * window * width);
    const last = this.#first + this.#entries.length - 1;
    entries.forEach((entry, b) => {
      for (let t = 0; t < window; t++) {
        const from = Math.max(0, Math.min(entry - (window - 1) / 2 + t, last)); // 0: the track's first frame
        out.set(this.#entries[from - this.#first].rows[backbone], (b * window + t) * width);
      }
    });
    return out;
  }

  /** `count` entries are done: drops what no window will want again. */
  advance(count: number): void {
    this.#next += count;
    const keep = Math.max(this.#first, this.#next - this.#reach);
    this.#entries.splice(0, keep - this.#first);
    this.#first = keep;
  }
}
