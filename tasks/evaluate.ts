/**
 * `deno task evaluate`: scores a checkpoint, or any system's predictions, on a folder in Aff-Wild2's layout.
 *
 * @module
 */
import type { LabelSet } from "../data/aff_wild2/types.ts";
import { BadImages } from "../data/bad_images.ts";
import { ImageWorkers } from "../data/image_workers.ts";
import { PAPER_TABLE_1, PAPER_TABLE_2 } from "../models/metrics.ts";
import { readPredictions, scorePredictions } from "./predict/scoring.ts";
import { badImageLines, ON_BAD_IMAGE_FLAG } from "./run/bad_image_flag.ts";
import { type Context, defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { loadCheckpoint } from "./run/checkpoint.ts";
import { metricsLines, predictCheckpoint } from "./run/evaluation.ts";
import { writeTextAtomic } from "./run/files.ts";
import { type Metrics, scoreFrames } from "./run/inference.ts";
import { startDevice } from "./run/device.ts";
import { openSplits, requireWritable } from "./run/session.ts";
import { renderEvaluationReport } from "./run/report/evaluation_report.ts";
import { textTable } from "./run/table.ts";
import { writePredictions } from "./run/predictions.ts";
import { WORKERS_FLAG } from "./run/workers_flag.ts";

const command = defineCommand({
  task: "evaluate",
  summary: "Scores a checkpoint, or predictions: F1, accuracy, score, per-class F1 and the confusion matrix.",
  flags: {
    weights: { type: "string", placeholder: "FILE", description: "a checkpoint of `train`" },
    predictions: {
      type: "string",
      placeholder: "FILE|DIR",
      description:
        "instead: any system's CSV in `predict`'s columns, or a folder of the challenge's text files",
    },
    data: { type: "string", placeholder: "DIR", required: true, description: "the data's root folder" },
    onBadImage: ON_BAD_IMAGE_FLAG,
    workers: WORKERS_FLAG,
    split: {
      type: "string",
      choices: ["train", "validation"],
      default: "validation",
      description: "which frames",
    },
    labelSet: {
      type: "string",
      choices: ["expression", "action_units"],
      description: "which annotations --predictions are scored on (default expression)",
    },
    missing: {
      type: "string",
      choices: ["error", "nearest", "leave-out"],
      description:
        "what an annotated frame without one of the --predictions gets: the nearest one, or it is not counted (default error)",
    },
    csv: {
      type: "string",
      placeholder: "FILE",
      description: "also write each frame's probabilities by the checkpoint",
    },
    report: {
      type: "string",
      placeholder: "FILE.html",
      description: "also write a page that shows how well, where and when it is right",
    },
  },
  examples: [
    "deno task evaluate --weights out/train/cnn.safetensors --data Aff-Wild2",
    "deno task evaluate --predictions submission/ --data Aff-Wild2 --missing nearest",
  ],
});

type EvaluateOptions = Options<typeof command.flags>;

/** Scores a checkpoint's network. */
async function scoreCheckpoint(
  weights: string,
  { data, split, csv, report, onBadImage = "error", workers: count }: EvaluateOptions,
  context: Context,
): Promise<{ metrics: Metrics; labelSet: string; facts: Record<string, unknown> }> {
  for (const path of [csv, report]) if (path !== undefined) await requireWritable(path);
  const checkpoint = await loadCheckpoint(weights);
  const { labelSet } = checkpoint;
  const badImages = new BadImages(onBadImage);
  const { [split]: dataset } = await openSplits(data, labelSet, [split], context, { badImages });
  const adapter = await startDevice(context);
  using workers = new ImageWorkers(count);
  const probabilities = await predictCheckpoint(checkpoint, dataset, context, { badImages, workers });
  badImageLines(badImages).forEach((line) => context.log(line));
  if (csv !== undefined) await writePredictions(csv, dataset, probabilities);
  if (report !== undefined) {
    await writeTextAtomic(
      report,
      await renderEvaluationReport({ checkpoint, dataset, probabilities, adapter }),
    );
    context.log(`report: ${report}`);
  }
  const facts = { adapter: adapter.description, weights, badImages: badImages.count };
  return { metrics: scoreFrames(probabilities, dataset), labelSet, facts };
}

/** Scores predictions from a file or folder. */
async function scoreFiles(
  path: string,
  { data, split, labelSet = "expression", missing: policy = "error" }: EvaluateOptions,
  context: Context,
): Promise<{ metrics: Metrics; labelSet: LabelSet; facts: Record<string, unknown> }> {
  const { [split]: dataset } = await openSplits(data, labelSet, [split], context);
  const { metrics, frames, missing } = scorePredictions(
    await readPredictions(path, dataset),
    dataset,
    policy,
  );
  if (missing > 0) {
    const fate = policy === "nearest" ? "take the nearest frame's" : "are not counted";
    context.log(`${missing} of ${frames} annotated frames have no prediction and ${fate}`);
  }
  return { metrics, labelSet, facts: { predictions: path, frames, missing, policy } };
}

/** Refuses flags that would be of no effect on what is scored. */
function requireEffect({ weights, ...options }: EvaluateOptions): void {
  const idle = weights === undefined
    ? {
      "--csv": options.csv,
      "--report": options.report,
      "--workers": options.workers,
      "--on-bad-image": options.onBadImage,
    }
    : { "--label-set": options.labelSet, "--missing": options.missing };
  for (const [flag, value] of Object.entries(idle)) {
    if (value === undefined) continue;
    throw new UserError(
      weights === undefined
        ? `Cannot run evaluate: ${flag} is of no effect on --predictions; expected it with --weights`
        : `Cannot run evaluate: ${flag} is of no effect on --weights, which say it themselves; expected it with --predictions`,
    );
  }
}

await runTask(command, Deno.args, async (options, context) => {
  const { weights, predictions, data, split, dryRun } = options;
  context.log(JSON.stringify({ weights: weights ?? null, predictions: predictions ?? null, data, split }));
  if ((weights === undefined) === (predictions === undefined)) {
    throw new UserError(
      `Cannot run evaluate: ${
        weights === undefined ? "neither" : "both"
      } --weights and --predictions are given; ` +
        "expected one of them",
    );
  }
  requireEffect(options);
  if (dryRun) return { dryRun: true };
  const { metrics, labelSet, facts } = weights !== undefined
    ? await scoreCheckpoint(weights, options, context)
    : await scoreFiles(predictions!, options, context);
  metricsLines(metrics).forEach((line) => context.log(line));
  const published = labelSet === "expression" ? PAPER_TABLE_1 : PAPER_TABLE_2;
  const rows = published.map(({ name, f1, accuracy, score }) => [name, ...[f1, accuracy, score].map(String)]);
  context.log(`\nours was measured on ${data}, ${split}; the paper's, on Aff-Wild2's validation set:`);
  textTable(["paper", "F1", "accuracy", "score"], rows).forEach((line) => context.log(line));
  const { f1, accuracy, score } = metrics;
  return { ...facts, data, split, f1, accuracy, score };
});
