/**
 * `deno task evaluate`: scores a checkpoint on a folder in Aff-Wild2's layout.
 *
 * @module
 */
import { PAPER_TABLE_1, PAPER_TABLE_2 } from "../models/metrics.ts";
import { defineCommand, runTask } from "./run/cli.ts";
import { loadCheckpoint } from "./run/checkpoint.ts";
import { metricsLines, predictCheckpoint } from "./run/evaluation.ts";
import { scoreFrames } from "./run/inference.ts";
import { startDevice } from "./run/device.ts";
import { openSplits, requireWritable } from "./run/session.ts";
import { textTable } from "./run/table.ts";
import { writePredictions } from "./run/predictions.ts";

const command = defineCommand({
  task: "evaluate",
  summary: "Scores a checkpoint: F1, accuracy, score, per-class F1 and the confusion matrix.",
  flags: {
    weights: { type: "string", placeholder: "FILE", required: true, description: "a checkpoint of `train`" },
    data: { type: "string", placeholder: "DIR", required: true, description: "the data's root folder" },
    split: {
      type: "string",
      choices: ["train", "validation"],
      default: "validation",
      description: "which frames",
    },
    predictions: {
      type: "string",
      placeholder: "FILE.csv",
      description: "also write each frame's probabilities",
    },
  },
  examples: ["deno task evaluate --weights out/train/cnn.safetensors --data Aff-Wild2"],
});

await runTask(command, Deno.args, async (options, context) => {
  const { weights, data, split, predictions, dryRun } = options;
  context.log(JSON.stringify({ weights, data, split, predictions: predictions ?? null }));
  if (dryRun) return { dryRun: true };
  if (predictions !== undefined) await requireWritable(predictions);
  const checkpoint = await loadCheckpoint(weights);
  const { [split]: dataset } = await openSplits(data, checkpoint.labelSet, [split], context);
  const adapter = await startDevice(context);
  const probabilities = await predictCheckpoint(checkpoint, dataset, context);
  if (predictions !== undefined) await writePredictions(predictions, dataset, probabilities);
  const metrics = scoreFrames(probabilities, dataset);
  metricsLines(metrics).forEach((line) => context.log(line));
  const published = checkpoint.labelSet === "expression" ? PAPER_TABLE_1 : PAPER_TABLE_2;
  const rows = published.map(({ name, f1, accuracy, score }) => [name, ...[f1, accuracy, score].map(String)]);
  context.log(`\nours was measured on ${data}, ${split}; the paper's, on Aff-Wild2's validation set:`);
  textTable(["paper", "F1", "accuracy", "score"], rows).forEach((line) => context.log(line));
  const { f1, accuracy, score } = metrics;
  return { adapter: adapter.description, weights, data, split, f1, accuracy, score };
});
