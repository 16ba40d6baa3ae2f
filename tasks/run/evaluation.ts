/**
 * Scoring checkpoints: probabilities of every labelled frame, metrics, and the ensemble of several networks.
 *
 * @module
 */
import type { Dataset } from "../../data/aff_wild2/types.ts";
import { ACTION_UNITS, EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import { combine, scoreProbabilities, searchWeights, type WeightSearch } from "../../models/ensemble.ts";
import { type ExpressionMetrics, majorityBaseline, uniformBaseline } from "../../models/metrics.ts";
import { NETWORK_TITLES, type NetworkName } from "../../models/networks.ts";
import { type Checkpoint, restoreNetwork } from "./checkpoint.ts";
import type { Context } from "./cli.ts";
import { allLabels, type FrameOptions, type LabelledFrames, type Reading, trackNumbers } from "./frames.ts";
import { type Metrics, predictFrames } from "./inference.ts";
import { featureFolder, frameOptions } from "./session.ts";
import { type ResultRow, textTable } from "./table.ts";

/** The probabilities of a checkpoint's network on all kept frames: [frames, classes]. */
export async function predictCheckpoint(
  checkpoint: Checkpoint,
  dataset: Dataset,
  context: Context,
  { flip, ...reading }: Reading & Pick<FrameOptions, "flip"> = {},
): Promise<Float32Array> {
  const network = restoreNetwork(checkpoint);
  const title = NETWORK_TITLES[checkpoint.architecture.network];
  const progress = context.progress(
    `${title} frames`,
    dataset.tracks.reduce((sum, t) => sum + t.frames.length, 0),
  );
  try {
    return await predictFrames(network, dataset, {
      ...frameOptions(checkpoint, context, reading),
      flip,
      window: checkpoint.recipe.window,
      features: featureFolder(checkpoint.path),
      onProgress: (done) => progress.update(done),
    });
  } finally {
    progress.finish();
    network.dispose();
  }
}

/** The combinations of Table 1 that have all their networks among those given. */
const COMBINATIONS: readonly { name: string; networks: readonly NetworkName[] }[] = [
  { name: "ResNet50", networks: ["cnn"] },
  { name: "CNN+CNN-RNN", networks: ["cnn", "rnn"] },
  { name: "CNN+CNN-Transformer", networks: ["cnn", "transformer"] },
  { name: "CNN+CNN-RNN+CNN-Transformer", networks: ["cnn", "rnn", "transformer"] },
];

/** A row of Table 1 with its weights. */
export interface EnsembleRow extends ResultRow {
  readonly networks: readonly NetworkName[];
  /** one per network */
  readonly weights: readonly number[];
  /** each track scored with weights chosen without it */
  readonly metrics: ExpressionMetrics;
  /** the score with weights chosen on the frames it is measured on: optimistic */
  readonly optimisticScore: number;
  /** false: there is one track, and all scores are optimistic */
  readonly crossValidated: boolean;
}

/** What to say of scores on a single track; undefined where there are several. */
export function oneTrackLine({ tracks: { length } }: LabelledFrames): string | undefined {
  return length > 1
    ? undefined
    : "the validation split has one track: what is chosen on it (weights, smoothing, thresholds, temperature) is scored " +
      "on it, so these scores are optimistic";
}

/** Table 1: each combination scored by cross-validation over tracks. */
export function scoreCombinations(
  probabilities: ReadonlyMap<NetworkName, Float32Array>,
  dataset: LabelledFrames,
  options: { step?: number; folds?: number } = {},
): EnsembleRow[] {
  const labels = allLabels(dataset);
  const tracks = trackNumbers(dataset);
  return COMBINATIONS.filter(({ networks }) => networks.every((network) => probabilities.has(network)))
    .map(({ name, networks }) => {
      const search: WeightSearch = searchWeights(
        networks.map((n) => probabilities.get(n)!),
        labels,
        tracks,
        options,
      );
      const { f1, accuracy, score } = search.honest;
      const optimisticScore = search.optimistic.score;
      return {
        name,
        networks,
        weights: search.weights,
        f1,
        accuracy,
        score,
        metrics: search.honest,
        optimisticScore,
        crossValidated: search.crossValidated,
      };
    });
}

/** Each network by itself: what the combinations are made of. */
export function scoreSingles(
  probabilities: ReadonlyMap<NetworkName, Float32Array>,
  dataset: LabelledFrames,
): (ResultRow & { metrics: ExpressionMetrics })[] {
  const labels = allLabels(dataset);
  return [...probabilities].map(([network, values]) => {
    const metrics = scoreProbabilities(values, labels);
    return { name: NETWORK_TITLES[network], ...metrics, metrics };
  });
}

/** What a network must beat on this data. */
export function baselines(
  dataset: LabelledFrames,
): { majority: ExpressionMetrics; uniform: ExpressionMetrics } {
  const labels = allLabels(dataset);
  return { majority: majorityBaseline(labels), uniform: uniformBaseline(labels) };
}

/** Whether all networks learned, and that in a sentence. */
export interface Verdict {
  readonly learned: boolean;
  readonly text: string;
}

/** Compares each network by itself with the majority class: the smallest proof that something was learned. */
export function verdictOn(
  probabilities: ReadonlyMap<NetworkName, Float32Array>,
  dataset: LabelledFrames,
): Verdict {
  const { score } = baselines(dataset).majority;
  const bar = `1.5 times the majority class (${score.toFixed(4)})`;
  const behind = scoreSingles(probabilities, dataset).filter((row) => row.score <= 1.5 * score);
  return behind.length === 0
    ? { learned: true, text: `All networks learned: each scores over ${bar} on people they never saw.` }
    : {
      learned: false,
      text: `Not all networks learned: ${behind.map(({ name }) => name).join(", ")} scored less than ${bar}.`,
    };
}

/** The ensemble's probabilities: [frames, classes]. */
export function ensembleProbabilities(
  row: EnsembleRow,
  probabilities: ReadonlyMap<NetworkName, Float32Array>,
): Float32Array {
  return combine(row.networks.map((network) => probabilities.get(network)!), row.weights);
}

/** All metrics as lines: totals, per class, and the confusion matrix. */
export function metricsLines(metrics: Metrics): string[] {
  const fixed = (value: number) => value.toFixed(4);
  const totals = `F1 ${fixed(metrics.f1)}, accuracy ${fixed(metrics.accuracy)}, score ${
    fixed(metrics.score)
  }`;
  if ("units" in metrics) {
    return [`both: ${totals}`, ...metricsLines(metrics.expressions), ...metricsLines(metrics.units)];
  }
  if ("perUnitF1" in metrics) {
    const units = ACTION_UNITS.map((unit, i) => [unit, fixed(metrics.perUnitF1[i])]);
    return [
      `${totals}, accuracy of all twelve ${fixed(metrics.accuracyAllRight)}`,
      ...textTable(["unit", "F1"], units),
    ];
  }
  const { confusion, perClassF1 } = metrics;
  if (confusion.classes !== EXPRESSIONS.length) return [totals]; // identities: too many for a table
  const rows = EXPRESSIONS.map((name, truth) => [
    name,
    fixed(perClassF1[truth]),
    ...EXPRESSIONS.map((_, given) => String(confusion.counts[truth * confusion.classes + given])),
  ]);
  return [totals, ...textTable(["truth \\ given", "F1", ...EXPRESSIONS], rows)];
}
