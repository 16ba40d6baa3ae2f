/**
 * Choosing a setting on the validation split without fooling oneself: for each fold of tracks the setting is chosen on
 * the other folds, and the fold is scored with it. The score with the setting chosen on all frames is optimistic; with
 * one track there is nothing else.
 *
 * @module
 */

/** Folds of a cross-validation over tracks, unless others are asked for. */
export const DEFAULT_FOLDS = 10;

/** A division of frames into folds; all frames of a track are in the same one. */
export interface Folds {
  /** 1: one track alone, whose setting can only be chosen on itself */
  readonly count: number;
  /** [F] the fold of each frame */
  readonly of: Int32Array;
}

/** Which setting was chosen. */
export interface Selection {
  /** on all frames: the one to use on other data */
  readonly chosen: number;
  /** for each fold, on the frames of the others */
  readonly perFold: readonly number[];
}

/**
 * Deals the tracks to folds in turn.
 *
 * @param tracks [F] the number of each frame's track
 * @param folds at most this many; never more than tracks
 */
export function foldTracks(tracks: ArrayLike<number>, folds: number): Folds {
  const numbers = [...new Set(Array.from(tracks))].sort((a, b) => a - b);
  const count = Math.max(1, Math.min(folds, numbers.length));
  const foldOf = new Map(numbers.map((track, i) => [track, i % count]));
  return { count, of: Int32Array.from(tracks, (track) => foldOf.get(track)!) };
}

/**
 * Chooses among candidates.
 *
 * @param score of a candidate on the frames of the folds that are counted; the higher the better
 * @param cost decides between equal scores: the smaller the better
 */
export function select(
  candidates: number,
  { count }: Folds,
  score: (candidate: number, counted: (fold: number) => boolean) => number,
  cost: (candidate: number) => number = (candidate) => candidate,
): Selection {
  const best = (counted: (fold: number) => boolean) => {
    let chosen = 0;
    let highest = -Infinity;
    for (let candidate = 0; candidate < candidates; candidate++) {
      const value = score(candidate, counted);
      const better = value > highest + 1e-12 ||
        (value > highest - 1e-12 && cost(candidate) < cost(chosen) - 1e-12);
      if (better) [chosen, highest] = [candidate, Math.max(value, highest)];
    }
    return chosen;
  };
  const folds = Array.from({ length: count }, (_, fold) => fold);
  return {
    chosen: best(() => true),
    perFold: folds.map((fold) => best((other) => count === 1 || other !== fold)),
  };
}
