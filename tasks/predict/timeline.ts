/**
 * From predictions to rows, in the order of the frames and no later than need be: smoothing wants frames ahead, filling
 * a gap wants its other end, and a frame's rows come out when none of its tracks can still change.
 *
 * @module
 */
import type { Box } from "../../data/faces/geometry.ts";
import { interpolateGaps, smooth, type Smoothing } from "../../models/smoothing.ts";
import type { FacesFrame, Row } from "./frames.ts";
import type { Prediction } from "./predictor.ts";

/** What is done to a track's probabilities. */
export interface TimelineOptions {
  readonly smoothing: Smoothing;
  /** frames between a track's faces get rows too */
  readonly fillGaps: boolean;
  /** the one track that frames before its first face and after its last one belong to: for input that is crops */
  readonly onlyTrack?: string;
}

type TrackRow = Pick<Row, "track" | "frame" | "state" | "box" | "score"> & { readonly values: Float32Array };

/** Frames on either side that smoothing looks at. */
function reachOf({ shape, width }: Smoothing): number {
  return shape === "box" ? width : Math.ceil(3 * width);
}

/** Between two boxes; `share` of the way from a to b. */
function between(a: Box | undefined, b: Box | undefined, share: number): Box | undefined {
  if (a === undefined || b === undefined) return undefined;
  const mix = (key: keyof Box) => a[key] + share * (b[key] - a[key]);
  return { x: mix("x"), y: mix("y"), width: mix("width"), height: mix("height") };
}

/** One track: predictions in, finished rows out. */
class TrackTimeline {
  readonly #options: TimelineOptions;
  /** predictions that smoothing still looks at; those before `#next` are out */
  #recent: Prediction[] = [];
  #next = 0;
  #last: TrackRow | undefined;
  /** faces found, less those that are out */
  #open = 0;

  constructor(options: TimelineOptions) {
    this.#options = options;
  }

  /** A face was found; its prediction will come. */
  expect(): void {
    this.#open++;
  }

  /** The last frame whose row of this track is out, or 0. */
  get settled(): number {
    return this.#open === 0 && !this.#options.fillGaps ? Infinity : this.#last?.frame ?? 0;
  }

  add(prediction: Prediction): void {
    this.#recent.push(prediction);
  }

  /** @param ended no prediction will follow */
  take(ended: boolean): TrackRow[] {
    const { smoothing } = this.#options;
    const reach = reachOf(smoothing);
    const last = this.#recent.at(-1)?.frame ?? 0;
    let end = this.#next;
    while (end < this.#recent.length && (ended || this.#recent[end].frame + reach <= last)) end++;
    if (end === this.#next) return [];
    const classes = this.#recent[0].values.length;
    const flat = new Float32Array(this.#recent.length * classes);
    this.#recent.forEach(({ values }, i) => flat.set(values, i * classes));
    const smoothed = smooth(flat, classes, [{ frames: this.#recent.map(({ frame }) => frame) }], smoothing);
    const rows: TrackRow[] = [];
    for (; this.#next < end; this.#next++) {
      const { track, frame, box, score } = this.#recent[this.#next];
      const values = smoothed.slice(this.#next * classes, (this.#next + 1) * classes);
      const row: TrackRow = { track, frame, state: "found", box, score, values };
      if (this.#options.fillGaps && this.#last !== undefined) {
        for (const filled of fill(this.#last, row)) rows.push(filled); // of folders' gaps there is no end
      }
      rows.push(row);
      this.#last = row;
      this.#open--;
    }
    const oldest = this.#last!.frame - reach;
    const drop = this.#recent.findIndex(({ frame }, i) => i >= this.#next || frame > oldest);
    const dropped = drop < 0 ? this.#recent.length : drop;
    this.#recent.splice(0, dropped);
    this.#next -= dropped;
    return rows;
  }
}

/** The rows between two of a track. */
function fill(a: TrackRow, b: TrackRow): TrackRow[] {
  const gap = b.frame - a.frame;
  if (gap === 1) return [];
  const classes = a.values.length;
  const ends = new Float32Array(2 * classes);
  ends.set(a.values);
  ends.set(b.values, classes);
  const values = interpolateGaps(ends, classes, [1, gap + 1], gap + 1);
  return Array.from({ length: gap - 1 }, (_, i) => ({
    track: a.track,
    frame: a.frame + i + 1,
    state: "filled",
    box: between(a.box, b.box, (i + 1) / gap),
    values: values.slice((i + 1) * classes, (i + 2) * classes),
  }));
}

/** All tracks of an input: frames and predictions in, rows out. */
export class Timeline {
  readonly #input: string;
  readonly #options: TimelineOptions;
  readonly #tracks = new Map<string, TrackTimeline>();
  /** names in order of appearance: the order of a frame's rows */
  readonly #order = new Map<string, number>();
  #frames: Omit<FacesFrame, "faces" | "ended">[] = [];
  readonly #rows = new Map<number, TrackRow[]>();
  /** of the only track, at its edges */
  #edge: TrackRow | undefined;

  /** @param input named in the rows */
  constructor(input: string, options: TimelineOptions) {
    this.#input = input;
    this.#options = options;
    if (options.onlyTrack !== undefined) this.#tracks.set(options.onlyTrack, new TrackTimeline(options));
  }

  /**
   * Takes in frames, and predictions of faces in these and earlier ones.
   *
   * @param finish nothing will follow
   * @returns the rows that are final: in the order of frames, then of tracks
   */
  push(frames: readonly FacesFrame[], predictions: readonly Prediction[], finish: boolean): Row[] {
    const ended: string[] = [];
    for (const { faces, ended: names, number, time, problem } of frames) {
      this.#frames.push({ number, time, problem });
      ended.push(...names);
      for (const { track } of faces) {
        if (!this.#tracks.has(track)) this.#tracks.set(track, new TrackTimeline(this.#options));
        this.#tracks.get(track)!.expect();
      }
    }
    for (const prediction of predictions) this.#tracks.get(prediction.track)!.add(prediction);
    for (const [name, track] of this.#tracks) {
      track.take(finish || ended.includes(name)).forEach((row) => this.#keep(row));
    }
    ended.forEach((name) => this.#tracks.delete(name));
    const settled = [...this.#tracks.values()].map((track) => track.settled);
    return this.#flush(finish ? Infinity : Math.min(Infinity, ...settled));
  }

  #keep(row: TrackRow): void {
    const rows = this.#rows.get(row.frame);
    if (rows === undefined) this.#rows.set(row.frame, [row]);
    else rows.push(row);
  }

  #flush(through: number): Row[] {
    const late = this.#frames.findIndex(({ number }) => number > through);
    const frames = this.#frames.splice(0, late < 0 ? this.#frames.length : late);
    return frames.flatMap(({ number, time, problem }) => {
      const rows = this.#rows.get(number) ?? this.#atEdge(number);
      this.#rows.delete(number);
      const common = { input: this.#input, time };
      if (rows.length === 0) {
        return [{ ...common, frame: number, state: problem === undefined ? "none" : "unreadable" } as Row];
      }
      for (const { track } of rows) {
        if (!this.#order.has(track!)) this.#order.set(track!, this.#order.size);
      }
      rows.sort((a, b) => this.#order.get(a.track!)! - this.#order.get(b.track!)!);
      if (this.#options.onlyTrack !== undefined) this.#edge = rows[0];
      return rows.map((row) => ({ ...common, ...row }));
    });
  }

  /** Before the only track's first face and after its last one: what it is there. */
  #atEdge(frame: number): TrackRow[] {
    if (!this.#options.fillGaps || this.#options.onlyTrack === undefined) return [];
    const nearest = this.#edge ?? this.#rows.values().next().value?.[0];
    return nearest === undefined ? [] : [{ ...nearest, frame, state: "filled" }];
  }
}
