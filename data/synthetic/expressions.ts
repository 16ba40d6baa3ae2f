/**
 * How expressions move a face: action units of each expression (FACS prototypes; Ekman and Friesen 1978), and their
 * onset, apex and offset in time.
 *
 * @module
 */
import { ACTION_UNITS } from "../aff_wild2/types.ts";
import type { RandomStream } from "../random.ts";

/**
 * Action units that are drawn: the twelve that are annotated, and three that the prototypes need but that the
 * annotations don't have (5 upper lid raiser, 9 nose wrinkler, 20 lip stretcher).
 */
export const DRAWN_UNITS = [...ACTION_UNITS, "AU5", "AU9", "AU20"] as const;

/** An action unit that is drawn. */
export type DrawnUnit = typeof DRAWN_UNITS[number];

/** Intensities in [0, 1]. */
export type Intensities = Record<DrawnUnit, number>;

type Prototype = Partial<Record<DrawnUnit, readonly [number, number]>>;

/** Range of each unit's apex intensity, per expression in label order (Neutral has none). */
const PROTOTYPES: readonly Prototype[] = [
  {},
  { AU4: [0.75, 1], AU7: [0.5, 0.9], AU23: [0.4, 1], AU24: [0.3, 1], AU5: [0, 0.35] },
  { AU9: [0.6, 1], AU10: [0.7, 1], AU4: [0.2, 0.5], AU7: [0.35, 0.8], AU15: [0, 0.5], AU25: [0, 0.4] },
  {
    AU1: [0.7, 1],
    AU2: [0.35, 0.7],
    AU4: [0.5, 0.9],
    AU5: [0.6, 1],
    AU20: [0.6, 1],
    AU25: [0.4, 0.9],
    AU26: [0, 0.35],
  },
  { AU6: [0.5, 1], AU12: [0.65, 1], AU25: [0, 1] },
  { AU1: [0.7, 1], AU4: [0.3, 0.7], AU15: [0.65, 1], AU7: [0, 0.3] },
  { AU1: [0.7, 1], AU2: [0.75, 1], AU5: [0.5, 1], AU25: [0.7, 1], AU26: [0.6, 1] },
];

/** Share of the apex above which a frame carries the expression's label. */
export const LABEL_THRESHOLD = 0.35;
/** Intensity above which an action unit is annotated as present. */
export const UNIT_THRESHOLD = 0.3;

/** No unit active. */
export function relaxed(): Intensities {
  return Object.fromEntries(DRAWN_UNITS.map((unit) => [unit, 0])) as Intensities;
}

/** One expression from onset to offset, in frames. */
export interface Episode {
  /** 0..6 */
  readonly expression: number;
  readonly start: number;
  readonly onset: number;
  readonly apex: number;
  readonly offset: number;
  readonly peak: Intensities;
}

/** Draws the units of an expression at its apex. */
export function drawPeak(expression: number, expressivity: number, random: RandomStream): Intensities {
  const peak = relaxed();
  for (const unit of DRAWN_UNITS) {
    const range = PROTOTYPES[expression][unit];
    const intensity = range === undefined ? 0 : random.uniform(range[0], range[1]) * expressivity;
    peak[unit] = Math.min(1, intensity);
  }
  return peak;
}

/** How far an episode has unfolded at a frame: 0 outside, 1 at the apex, smooth between. */
export function activation({ start, onset, apex, offset }: Episode, frame: number): number {
  const t = frame - start;
  const smooth = (x: number) => x * x * (3 - 2 * x);
  if (t < 0 || t >= onset + apex + offset) return 0;
  if (t < onset) return smooth((t + 1) / (onset + 1));
  if (t < onset + apex) return 1;
  return smooth((onset + apex + offset - t) / (offset + 1));
}

/** The face at a frame: the label and the intensities. */
export interface FaceState {
  readonly expression: number;
  readonly intensities: Intensities;
}

/**
 * The state at a frame: resting face, plus the episodes, plus speech (which opens the mouth now and then).
 *
 * @param speech in [0, 1], how far the mouth is open in speech
 */
export function stateAt(
  frame: number,
  resting: Intensities,
  episodes: readonly Episode[],
  speech: number,
): FaceState {
  const intensities = { ...resting };
  let expression = 0;
  for (const episode of episodes) {
    const level = activation(episode, frame);
    if (level === 0) continue;
    if (level >= LABEL_THRESHOLD) expression = episode.expression;
    for (const unit of DRAWN_UNITS) {
      intensities[unit] = Math.min(1, intensities[unit] * (1 - level) + episode.peak[unit] * level);
    }
  }
  intensities.AU25 = Math.max(intensities.AU25, 0.8 * speech);
  intensities.AU26 = Math.max(intensities.AU26, 0.45 * speech);
  return { expression, intensities };
}
