/**
 * The report of `deno task evaluate`: one checkpoint on one split.
 *
 * @module
 */
import type { Dataset } from "../../../data/aff_wild2/types.ts";
import type { AdapterRecord } from "../../../kernels/runtime/device.ts";
import { DEFAULT_STEP } from "../../../models/ensemble.ts";
import { defaultLayers } from "../../../models/layers_default.ts";
import { NETWORK_TITLES } from "../../../models/networks.ts";
import { DEFAULT_FOLDS } from "../../../models/selection.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { verdictOn } from "../evaluation.ts";
import { scoreFrames } from "../inference.ts";
import { refine } from "../refine.ts";
import { learningCurves } from "./charts.ts";
import { fixed, type Html, renderPage, table } from "./html.ts";
import type { PredictedFrames } from "./predictors.ts";
import { imagesOf } from "./read_run.ts";
import { countsOf, countsSection, frameSections, refinementSection, reliabilitySection } from "./sections.ts";

/** How the refinements are searched, as in a run file that says nothing of it. */
const SETTINGS = { step: DEFAULT_STEP, folds: DEFAULT_FOLDS, smoothing: true, interpolation: true };

/** What was evaluated. */
export interface Evaluation {
  readonly checkpoint: Checkpoint;
  readonly dataset: Dataset;
  /** [frames, classes] */
  readonly probabilities: Float32Array;
  readonly adapter: AdapterRecord;
}

/** The evaluation as HTML. */
export async function renderEvaluationReport(
  { checkpoint, dataset, probabilities, adapter }: Evaluation,
): Promise<Html> {
  const { architecture: { network, width, size }, history, path, labelSet, convention, seed } = checkpoint;
  const name = NETWORK_TITLES[network];
  const { f1, accuracy, score } = scoreFrames(probabilities, dataset);
  const all = new Map([[network, probabilities]]);
  const refinement = labelSet === "expression" || labelSet === "action_units"
    ? refine(all, dataset, SETTINGS)
    : null;
  const predicted: PredictedFrames = {
    frames: dataset,
    probabilities: all,
    settings: SETTINGS,
    refinement,
    imagePath: imagesOf(dataset, dataset),
  };
  const counts = [countsOf(dataset)];
  return renderPage({
    title: `${name} on ${dataset.root}`,
    subtitle: `${path}, evaluated on the ${dataset.split} split: ${counts[0].tracks} tracks, ${
      counts[0].frames
    } frames.`,
    conclusion: labelSet === "expression" ? verdictOn(all, dataset).text : "",
    facts: [
      ["adapter", adapter.description + (adapter.software ? " (software: no GPU)" : "")],
      ["kernels", defaultLayers.name === "fervid" ? "Fervid's WGSL kernels" : defaultLayers.name],
      ["checkpoint", `${path}, trained for ${history.length} epochs with seed ${seed}`],
      ["scale", `width ${width}, ${size}x${size} pixels, input convention ${convention.name}`],
      ["data", `${dataset.root}, ${dataset.split}`],
    ],
    sections: [
      {
        title: "Scores",
        note:
          "F1 is the mean over the classes. The paper's numbers are on Aff-Wild2's validation set: they compare with these only if " +
          "these were measured there too.",
        body: table(["model", "F1", "accuracy", "score"].map((title) => ({ title })), [[
          name,
          ...[f1, accuracy, score].map(fixed),
        ]]),
      },
      ...await frameSections(predicted),
      refinementSection(refinement, new Map([[name, score]]), []),
      reliabilitySection(refinement),
      countsSection(counts),
      history.length === 0 ? null : {
        title: "How it was trained",
        note:
          "From the checkpoint: loss on the training frames and score on the validation frames after each epoch.",
        body: learningCurves([{ name, history }]),
      },
    ],
  });
}
