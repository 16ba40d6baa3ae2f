/**
 * Which tracks a synthetic set has: names, splits, lengths, expressions, and the oddities of the real set.
 *
 * @module
 */
import type { Split } from "../aff_wild2/types.ts";
import { RandomStream } from "../random.ts";

/** Frames of an episode with its share of neutral frames around it, on average. */
const FRAMES_PER_EPISODE = 30;
/** Frames of an episode of a dense track. */
const FRAMES_PER_DENSE_EPISODE = 24;
/** Real share of each expression among the labelled training frames of the 2021 edition, in thousands. */
const REAL_COUNTS = [221, 23.6, 12.9, 10.6, 152.7, 101.8, 41];
/** Share of the frames of an expressive episode that carry its label; the rest are neutral ramps and gaps. */
const LABELLED_SHARE = 0.62;

/** A track to be made. */
export interface PlannedTrack {
  readonly name: string;
  readonly split: Split;
  readonly frames: number;
  /** expressions of its episodes */
  readonly expressions: readonly number[];
  /** episodes fill the track, each fading into the next */
  readonly dense: boolean;
  /** written with CRLF, as some of the real files are */
  readonly crlf: boolean;
}

/** How many episodes of each expression; each expression at least once where the number allows. */
function allot(episodes: number, balanced: boolean): number[] {
  const weights = REAL_COUNTS.map((count) => balanced ? 1 : count);
  if (!balanced) {
    const others = REAL_COUNTS.slice(1).reduce((sum, count) => sum + count, 0);
    weights[0] = Math.max(0, REAL_COUNTS[0] - others * (1 / LABELLED_SHARE - 1));
  }
  const sum = weights.reduce((a, b) => a + b, 0);
  const exact = weights.map((weight) => weight / sum * episodes);
  const counts = exact.map((value) => Math.floor(value));
  for (let e = 1; e < counts.length; e++) if (counts[e] === 0) counts[e] = 1;
  while (counts.reduce((a, b) => a + b, 0) > episodes) counts[counts.indexOf(Math.max(...counts))]--;
  while (counts.reduce((a, b) => a + b, 0) < episodes) {
    const missing = exact.map((value, e) => value - counts[e]);
    counts[missing.indexOf(Math.max(...missing))]++;
  }
  return counts;
}

/** How many of the tracks go to the validation split: a quarter, at least one. */
export function validationCount(tracks: number): number {
  return Math.max(1, Math.round(tracks / 4));
}

/**
 * Plans a set: a quarter of the tracks for validation, every track another person. From six tracks on there are a
 * `_left`/`_right` pair and a track of seven frames, from two on a file with CRLF.
 */
export function planSet(tracks: number, frames: number, seed: number, balanced: boolean): PlannedTrack[] {
  const validation = validationCount(tracks);
  const odd = tracks >= 6;
  const names = Array.from({ length: tracks }, (_, i) => {
    if (odd && i < 2) return `video1_${i === 0 ? "left" : "right"}`;
    return `video${odd ? i : i + 1}`;
  });
  const planned: PlannedTrack[] = [];
  for (const split of ["train", "validation"] as const) {
    const own = split === "train" ? names.slice(0, tracks - validation) : names.slice(tracks - validation);
    const lengths = own.map((_, i) =>
      odd && split === "train" && i === own.length - 1 ? Math.min(7, frames) : frames
    );
    const framesPerEpisode = balanced ? FRAMES_PER_DENSE_EPISODE : FRAMES_PER_EPISODE;
    const perTrack = lengths.map((length) => Math.max(1, Math.round(length / framesPerEpisode)));
    const counts = allot(perTrack.reduce((a, b) => a + b, 0), balanced);
    const deck = counts.flatMap((count, expression) => new Array<number>(count).fill(expression));
    new RandomStream(seed, "deck", split).shuffle(deck);
    let next = 0;
    own.forEach((name, i) => {
      const expressions = deck.slice(next, next += perTrack[i]);
      planned.push({
        name,
        split,
        frames: lengths[i],
        expressions,
        dense: balanced,
        crlf: split === "train" && i === own.length - 1,
      });
    });
  }
  return planned;
}
