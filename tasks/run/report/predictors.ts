/**
 * What a report compares: each network, their ensemble, and the smoothed ensemble, on the same frames.
 *
 * @module
 */
import { splitJointLabels, splitJointProbabilities } from "../../../data/aff_wild2/mod.ts";
import { ACTION_UNITS, EXPRESSIONS } from "../../../data/aff_wild2/types.ts";
import { combine, scoreProbabilities } from "../../../models/ensemble.ts";
import { actionUnitMetrics, argmaxRows, type ExpressionMetrics } from "../../../models/metrics.ts";
import { NETWORK_TITLES, type NetworkName } from "../../../models/networks.ts";
import { type EnsembleRow, scoreCombinations } from "../evaluation.ts";
import { allLabels, type LabelledFrames } from "../frames.ts";
import { smoothThere } from "../left_out.ts";
import type { Refinement } from "../refine.ts";

/** Where the JPEG of a track's i-th frame lies. */
export type ImagePath = (track: number, i: number) => string;

/** The frames that were predicted, by whom, and how the ensemble is searched. */
export interface PredictedFrames {
  readonly frames: LabelledFrames;
  /** [frames, classes] of each network */
  readonly probabilities: ReadonlyMap<NetworkName, Float32Array>;
  readonly settings: { readonly step: number; readonly folds: number };
  readonly refinement: Refinement | null;
  /** null where the images are gone or are others */
  readonly imagePath: ImagePath | null;
}

/** A predictor of expressions. */
export interface ExpressionPredictor {
  readonly name: string;
  /** [frames, 7] */
  readonly probabilities: Float32Array;
  /** [frames] */
  readonly predicted: Int32Array;
  /** an ensemble's are cross-validated over tracks; null for a smoothed one */
  readonly metrics: ExpressionMetrics | null;
}

/** Frames labelled with expressions and what was made of them. */
export interface ExpressionView {
  readonly tracks: LabelledFrames["tracks"];
  /** [frames] */
  readonly labels: ArrayLike<number>;
  readonly predictors: readonly ExpressionPredictor[];
  /** the ensemble of all the paper's networks that there are, or the only network */
  readonly best: ExpressionPredictor & { readonly metrics: ExpressionMetrics };
  readonly ensemble: EnsembleRow | null;
}

/** Frames labelled with action units and what was made of them. */
export interface UnitView {
  readonly tracks: LabelledFrames["tracks"];
  /** [frames, 12] */
  readonly labels: ArrayLike<number>;
  readonly predictors: readonly {
    readonly name: string;
    /** [frames, 12] */
    readonly probabilities: Float32Array;
    readonly perUnitF1: readonly number[];
  }[];
}

/** The expressions of predicted frames; null if they have none. */
export function expressionView(given: PredictedFrames): ExpressionView | null {
  const { frames, probabilities: all, settings, refinement } = given;
  if (all.size === 0 || (frames.labelSet !== "expression" && frames.labelSet !== "joint")) return null;
  const joint = frames.labelSet === "joint";
  const labels = joint ? splitJointLabels(allLabels(frames)).expressions : allLabels(frames);
  const networks = [...all].map(([network, values]) => {
    const probabilities = joint ? splitJointProbabilities(values).expressions : values;
    const metrics = scoreProbabilities(probabilities, labels);
    return predictor(NETWORK_TITLES[network], probabilities, metrics);
  });
  const several = !joint && all.size > 1 && all.has("cnn");
  const ensemble = several ? scoreCombinations(all, frames, settings).at(-1)! : null;
  const combined = ensemble === null || ensemble.networks.length < 2 ? [] : [predictor(
    "ensemble",
    combine(ensemble.networks.map((network) => all.get(network)!), ensemble.weights),
    ensemble.metrics,
  )];
  const best = combined[0] ?? networks[networks.length - 1];
  const effect = refinement?.effects.find(({ name }) => name === `${best.name} + smoothing`);
  const members = [...all].filter(([network]) => network !== "vgg" || all.size === 1).map(([, values]) =>
    values
  );
  const smoothed = effect?.smoothing === undefined || effect.weights?.length !== members.length
    ? []
    : [predictor(
      `${best.name}, smoothed`,
      smoothThere(combine(members, effect.weights), frames, effect.smoothing),
      null,
    )];
  return {
    tracks: frames.tracks,
    labels,
    predictors: [...networks, ...combined, ...smoothed],
    best,
    ensemble,
  };
}

function predictor<M extends ExpressionMetrics | null>(
  name: string,
  probabilities: Float32Array,
  metrics: M,
) {
  return { name, probabilities, predicted: argmaxRows(probabilities, EXPRESSIONS.length), metrics };
}

/** The action units of predicted frames; null if they have none. */
export function unitView({ frames, probabilities }: PredictedFrames): UnitView | null {
  if (probabilities.size === 0 || (frames.labelSet !== "action_units" && frames.labelSet !== "joint")) {
    return null;
  }
  const joint = frames.labelSet === "joint";
  const labels = joint ? splitJointLabels(allLabels(frames)).units : allLabels(frames);
  const predictors = [...probabilities].map(([network, values]) => {
    const own = joint ? splitJointProbabilities(values).units : values;
    const decided = Int8Array.from(own, (probability) => probability > 0.5 ? 1 : 0);
    const { perUnitF1 } = actionUnitMetrics(labels, decided, ACTION_UNITS.length);
    return { name: NETWORK_TITLES[network], probabilities: own, perUnitF1 };
  });
  return { tracks: frames.tracks, labels, predictors };
}
