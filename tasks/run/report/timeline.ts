/**
 * A track's frames in a row: what is annotated and what each predictor made of them, under thumbnails.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { ACTION_UNITS } from "../../../data/aff_wild2/types.ts";
import { escapeHtml, type Html, percent } from "./html.ts";
import type { FrameImage } from "./images.ts";
import { draw, EXPRESSION_COLOURS, EXPRESSION_LETTERS, inkOn } from "./plot.ts";
import type { ExpressionView, UnitView } from "./predictors.ts";

/** Tracks that are shown, frames of a track at most, thumbnails above them. */
const TRACKS = 6;
const MOST_FRAMES = 400;
const THUMBNAILS = 12;
const WIDTH = 960;
const LEFT = 140;
const RIGHT = 60;

/** Frames that lie together. */
interface Part {
  readonly track: number;
  /** of all frames, the first of the part */
  readonly offset: number;
  /** within the track */
  readonly start: number;
  readonly count: number;
}

interface Bar {
  readonly row: string;
  readonly from: number;
  readonly to: number;
  readonly class: number;
}

/** Frames of equal class in a row as bars. */
function barsOf(row: string, classes: ArrayLike<number>): Bar[] {
  const bars: Bar[] = [];
  for (let from = 0, to = 1; from < classes.length; from = to++) {
    while (to < classes.length && classes[to] === classes[from]) to++;
    bars.push({ row, from, to, class: classes[from] });
  }
  return bars;
}

/** The stretch of at most {@link MOST_FRAMES} frames in which the annotation changes most often, the earliest of them. */
function liveliestPart(labels: ArrayLike<number>, width: number): { start: number; count: number } {
  const frames = labels.length / width;
  const count = Math.min(MOST_FRAMES, frames);
  const changes = Array.from({ length: frames }, (_, i) => {
    for (let c = 0; i > 0 && c < width; c++) {
      if (labels[i * width + c] !== labels[(i - 1) * width + c]) return 1;
    }
    return 0 as number;
  });
  let inside = changes.slice(0, count).reduce((sum, change) => sum + change, 0);
  let best = { start: 0, changes: inside };
  for (let start = 1; start + count <= frames; start++) {
    inside += changes[start + count - 1] - changes[start - 1];
    if (inside > best.changes) best = { start, changes: inside };
  }
  return { start: best.start, count };
}

/** Tracks from the worst to the best by how many frames are right, evenly spaced among all. */
function chooseTracks(right: readonly number[]): number[] {
  const order = [...right.keys()].filter((t) => Number.isFinite(right[t])).sort((a, b) =>
    right[a] - right[b]
  );
  const count = Math.min(TRACKS, order.length);
  return Array.from(
    { length: count },
    (_, k) => order[count === 1 ? 0 : Math.round(k * (order.length - 1) / (count - 1))],
  );
}

function offsetsOf(tracks: ExpressionView["tracks"]): number[] {
  let sum = 0;
  return tracks.map(({ frames }) => (sum += frames.length) - frames.length);
}

/** Timelines of several tracks, those with the most mistakes first. */
export async function expressionTimelines(view: ExpressionView, image: FrameImage): Promise<Html> {
  const { tracks, labels, best } = view;
  const offsets = offsetsOf(tracks);
  const right = tracks.map(({ frames }, t) => shareRight(labels, best.predicted, offsets[t], frames.length));
  const shown = chooseTracks(right).map(async (t) => {
    const own = Array.from(labels).slice(offsets[t], offsets[t] + tracks[t].frames.length);
    const part = { track: t, offset: offsets[t], ...liveliestPart(own, 1) };
    return await trackFigure(view.tracks, part, expressionStrip(view, part), image);
  });
  return (await Promise.all(shown)).join("\n");
}

function shareRight(
  labels: ArrayLike<number>,
  predicted: ArrayLike<number>,
  first: number,
  count: number,
): number {
  let [right, counted] = [0, 0];
  for (let i = first; i < first + count; i++) {
    if (labels[i] < 0) continue;
    counted++;
    if (labels[i] === predicted[i]) right++;
  }
  return right / counted;
}

function expressionStrip(
  { labels, predictors, tracks }: ExpressionView,
  { track, offset, start, count }: Part,
): Html {
  const first = offset + start;
  const cut = (values: ArrayLike<number>) => Array.from({ length: count }, (_, i) => values[first + i]);
  const rows = predictors.map(({ name, predicted }) => ({ name, classes: cut(predicted) }));
  const truth = cut(labels);
  const bars = [{ name: "annotated", classes: truth }, ...rows]
    .flatMap(({ name, classes }) => barsOf(name, classes)).filter((bar) => bar.class >= 0);
  const pixels = (WIDTH - LEFT - RIGHT) / count;
  const written = bars.filter(({ from, to }) => (to - from) * pixels >= 18);
  return draw(`Expressions of ${tracks[track].name} frame by frame`, {
    width: WIDTH,
    height: 56 + 24 * (rows.length + 1),
    marginLeft: LEFT,
    marginRight: RIGHT,
    marginTop: 4,
    x: {
      label: "frame",
      domain: [0, count],
      tickFormat: (i: number) => frameAt(tracks[track].frames, start, i),
      labelAnchor: "center",
    },
    y: { label: null, domain: ["annotated", ...rows.map(({ name }) => name)], padding: 0.14, tickSize: 0 },
    color: { type: "identity" },
    marks: [
      Plot.barX(bars, { x1: "from", x2: "to", y: "row", fill: (bar: Bar) => EXPRESSION_COLOURS[bar.class] }),
      Plot.text(written, {
        x: (bar: Bar) => (bar.from + bar.to) / 2,
        y: "row",
        text: (bar: Bar) => EXPRESSION_LETTERS[bar.class],
        fill: (bar: Bar) => inkOn(bar.class),
        fontSize: 11,
      }),
      Plot.text(rows, {
        frameAnchor: "right",
        y: "name",
        dx: RIGHT - 4,
        textAnchor: "end",
        text: ({ classes }: typeof rows[number]) => {
          const share = shareRight(truth, classes, 0, count);
          return Number.isFinite(share) ? percent(share) : "";
        },
      }),
    ],
  });
}

/** The frame number of a tick; nothing between frames. */
function frameAt(frames: ArrayLike<number>, start: number, i: number): string {
  return Number.isInteger(i) && frames[start + i] !== undefined ? String(frames[start + i]) : "";
}

async function trackFigure(
  tracks: ExpressionView["tracks"],
  { track, start, count }: Part,
  strip: Html,
  image: FrameImage,
): Promise<Html> {
  const { name, frames } = tracks[track];
  const slots = Math.min(THUMBNAILS, count);
  const thumbs = await Promise.all(Array.from({ length: slots }, async (_, k) => {
    const i = start + Math.floor((k + 0.5) * count / slots);
    return `<span>${await image(track, i, 56, `${name}, frame ${frames[i]}`)}${frames[i]}</span>`;
  }));
  const whole = count === frames.length ? `${count} frames` : `${count} of its ${frames.length} frames`;
  const margins = `padding:0 ${100 * RIGHT / WIDTH}% 0 ${100 * LEFT / WIDTH}%`;
  return `<div class="track"><h3>${escapeHtml(name)}, ${whole}</h3><div class="strip" style="${margins}">${
    thumbs.join("")
  }</div>${strip}</div>`;
}

/** Timelines of the action units of several tracks, as one predictor sees them. */
export async function unitTimelines(view: UnitView, image: FrameImage): Promise<Html> {
  const { tracks, labels, predictors } = view;
  const units = ACTION_UNITS.length;
  const { probabilities } = predictors[predictors.length - 1];
  const decided = Int8Array.from(probabilities, (probability) => probability > 0.5 ? 1 : 0);
  const offsets = offsetsOf(tracks);
  const right = tracks.map(({ frames }, t) =>
    shareRight(labels, decided, offsets[t] * units, frames.length * units)
  );
  const shown = chooseTracks(right).slice(0, 4).map(async (t) => {
    const end = (offsets[t] + tracks[t].frames.length) * units;
    const own = Array.from(labels).slice(offsets[t] * units, end);
    const part = { track: t, offset: offsets[t], ...liveliestPart(own, units) };
    return await trackFigure(tracks, part, unitStrip(tracks[t], labels, probabilities, part), image);
  });
  return (await Promise.all(shown)).join("\n");
}

/** For each unit its probability as shades, and over it a line where it is annotated. */
function unitStrip(
  { name, frames }: UnitView["tracks"][number],
  labels: ArrayLike<number>,
  probabilities: Float32Array,
  { offset, start, count }: Part,
): Html {
  const units = ACTION_UNITS.length;
  const at = (i: number, u: number) => (offset + start + i) * units + u;
  const truth = ACTION_UNITS.flatMap((unit, u) =>
    barsOf(unit, Array.from({ length: count }, (_, i) => labels[at(i, u)])).filter((bar) => bar.class === 1)
  );
  // In tenths: frames of about the same probability are one bar.
  const shades = ACTION_UNITS.flatMap((unit, u) =>
    barsOf(unit, Array.from({ length: count }, (_, i) => Math.round(10 * probabilities[at(i, u)])))
  );
  return draw(`Action units of ${name} frame by frame`, {
    width: WIDTH,
    height: 56 + 20 * units,
    marginLeft: LEFT,
    marginRight: RIGHT,
    marginTop: 4,
    x: {
      label: "frame",
      domain: [0, count],
      tickFormat: (i: number) => frameAt(frames, start, i),
      labelAnchor: "center",
    },
    y: { label: null, domain: ACTION_UNITS, padding: 0.15, tickSize: 0 },
    color: { type: "linear", scheme: "Blues", domain: [0, 10] },
    marks: [
      Plot.barX(shades, { x1: "from", x2: "to", y: "row", fill: "class" }),
      Plot.barX(truth, { x1: "from", x2: "to", y: "row", fill: () => "#d55e00", insetTop: 11 }),
    ],
  });
}
