/**
 * Single frames with what was made of them: the most confident mistakes, and a sample of all.
 *
 * @module
 */
import { ACTION_UNITS, EXPRESSIONS } from "../../../data/aff_wild2/types.ts";
import { escapeHtml, type Html, percent } from "./html.ts";
import type { FrameImage } from "./images.ts";
import type { ExpressionView, UnitView } from "./predictors.ts";

/** Frames that are shown, and how many of one track at most: neighbouring frames look alike. */
const SHOWN = 12;
const PER_TRACK = 2;

/** A frame among all, and where it is. */
interface Place {
  readonly row: number;
  readonly track: number;
  readonly i: number;
}

function placesOf(tracks: ExpressionView["tracks"]): Place[] {
  let row = 0;
  return tracks.flatMap(({ frames }, track) => Array.from(frames, (_, i) => ({ row: row++, track, i })));
}

/** The first places of an order, few of each track. */
function firstOf<P extends Place>(order: readonly P[]): P[] {
  const perTrack = new Map<number, number>();
  return order.filter(({ track }) => {
    const seen = perTrack.get(track) ?? 0;
    perTrack.set(track, seen + 1);
    return seen < PER_TRACK;
  }).slice(0, SHOWN);
}

/** The frames that are wrong with the highest probabilities, the highest first. */
export function confidentMistakes({ tracks, labels, best }: ExpressionView): Place[] {
  const { probabilities, predicted } = best;
  const confidence = ({ row }: Place) => probabilities[row * EXPRESSIONS.length + predicted[row]];
  const wrong = placesOf(tracks).filter(({ row }) => labels[row] >= 0 && labels[row] !== predicted[row]);
  return firstOf(wrong.sort((a, b) => confidence(b) - confidence(a)));
}

/** Frames evenly spaced among all labelled ones. */
export function sampleFrames({ tracks, labels }: ExpressionView): Place[] {
  const places = placesOf(tracks).filter(({ row }) => labels[row] >= 0);
  const count = Math.min(SHOWN, places.length);
  return Array.from({ length: count }, (_, s) => places[Math.floor((s + 0.5) * places.length / count)]);
}

/** Frames with annotation and the three most probable expressions. */
export async function expressionFrames(
  view: ExpressionView,
  places: readonly Place[],
  image: FrameImage,
): Promise<Html> {
  const { tracks, labels, best } = view;
  const classes = EXPRESSIONS.length;
  const figures = places.map(async ({ row, track, i }) => {
    const values = best.probabilities.subarray(row * classes, (row + 1) * classes);
    const order = [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, 3);
    const bars = order.map((c) => bar(EXPRESSIONS[c], values[c], c === labels[row]));
    const { name, frames } = tracks[track];
    const said = `${name}, frame ${frames[i]}`;
    const mark = order[0] === labels[row] ? "✓" : "✗";
    return `<div class="frame">${await image(track, i, 84, said)}<div><b>${mark} ${
      EXPRESSIONS[labels[row]]
    }</b>${bars.join("")}<small>${escapeHtml(said)}</small></div></div>`;
  });
  return `<div class="frames">${(await Promise.all(figures)).join("\n")}</div>`;
}

function bar(name: string, probability: number, isTrue: boolean): Html {
  return `<div>${name} ${percent(probability)}<div class="bar"><span${
    isTrue ? ' class="true"' : ""
  } style="width:${(100 * probability).toFixed(1)}%"></span></div></div>`;
}

/** The decisions on units that are wrong with the greatest certainty. */
export async function unitMistakes(
  { tracks, labels, predictors }: UnitView,
  image: FrameImage,
): Promise<Html> {
  const units = ACTION_UNITS.length;
  const { probabilities } = predictors[predictors.length - 1];
  const wrong = placesOf(tracks).flatMap((place) =>
    ACTION_UNITS.map((unit, u) => ({
      ...place,
      unit,
      truth: labels[place.row * units + u],
      probability: probabilities[place.row * units + u],
    })).filter(({ truth, probability }) => truth >= 0 && (probability > 0.5 ? 1 : 0) !== truth)
  );
  const certainty = ({ probability }: typeof wrong[number]) => Math.abs(probability - 0.5);
  const figures = firstOf(wrong.sort((a, b) => certainty(b) - certainty(a))).map(async (found) => {
    const { name, frames } = tracks[found.track];
    const said = `${name}, frame ${frames[found.i]}`;
    return `<div class="frame">${await image(found.track, found.i, 84, said)}<div><b>✗ ${found.unit}: ${
      found.truth === 1 ? "active" : "not active"
    }</b>${bar("probability", found.probability, false)}<small>${escapeHtml(said)}</small></div></div>`;
  });
  return `<div class="frames">${(await Promise.all(figures)).join("\n")}</div>`;
}
