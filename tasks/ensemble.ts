/**
 * `deno task ensemble FILE...`: searches the ensemble's weights and prints Table 1.
 *
 * @module
 */
import { BadImages } from "../data/bad_images.ts";
import { ImageWorkers } from "../data/image_workers.ts";
import { PAPER_TABLE_1 } from "../models/metrics.ts";
import type { NetworkName } from "../models/networks.ts";
import { badImageLines, ON_BAD_IMAGE_FLAG } from "./run/bad_image_flag.ts";
import { loadCheckpoint } from "./run/checkpoint.ts";
import { defineCommand, runTask, UserError } from "./run/cli.ts";
import {
  baselines,
  ensembleProbabilities,
  metricsLines,
  oneTrackLine,
  predictCheckpoint,
  scoreCombinations,
  scoreSingles,
} from "./run/evaluation.ts";
import { writeTextAtomic } from "./run/files.ts";
import { writePredictions } from "./run/predictions.ts";
import { startDevice } from "./run/device.ts";
import { openSplits, requireWritable } from "./run/session.ts";
import { comparisonTable } from "./run/table.ts";
import { WORKERS_FLAG } from "./run/workers_flag.ts";

const command = defineCommand({
  task: "ensemble",
  summary: "Searches the weights of the networks' weighted sum on the validation split and prints Table 1.",
  positionals: [{
    name: "checkpoints",
    description: "one of each network: cnn, and rnn, transformer or both",
    required: true,
    variadic: true,
  }],
  flags: {
    data: { type: "string", placeholder: "DIR", required: true, description: "the data's root folder" },
    onBadImage: ON_BAD_IMAGE_FLAG,
    workers: WORKERS_FLAG,
    out: {
      type: "string",
      placeholder: "DIR",
      default: "out/ensemble",
      description: "weights and predictions go here",
    },
  },
  examples: [
    "deno task ensemble out/train/cnn.safetensors out/train/rnn.safetensors out/train/transformer.safetensors --data Aff-Wild2",
  ],
});

await runTask(command, Deno.args, async (options, context) => {
  const { data, out, dryRun, arguments: paths } = options;
  const badImages = new BadImages(options.onBadImage ?? "error");
  context.log(JSON.stringify({ checkpoints: paths, data, out }));
  if (dryRun) return { dryRun: true };
  await requireWritable(`${out}/ensemble.json`);
  const checkpoints = await Promise.all(paths.map(loadCheckpoint));
  const networks = checkpoints.map(({ architecture }) => architecture.network);
  const wrong = networks.includes("vgg") || !networks.includes("cnn") || networks.length < 2 ||
    new Set(networks).size < networks.length;
  if (wrong) {
    throw new UserError(
      `Cannot run ensemble: the checkpoints are of ${
        networks.join(", ")
      }; expected cnn once, and rnn, transformer or both`,
    );
  }
  if (checkpoints.some(({ labelSet }) => labelSet !== "expression")) {
    throw new UserError(
      `Cannot run ensemble: the checkpoints were trained on ${
        checkpoints.map(({ labelSet }) => labelSet).join(", ")
      }; expected expression`,
    );
  }
  const { validation } = await openSplits(data, "expression", ["validation"], context, { badImages });
  const adapter = await startDevice(context);
  const probabilities = new Map<NetworkName, Float32Array>();
  using workers = new ImageWorkers(options.workers);
  for (const checkpoint of checkpoints) {
    probabilities.set(
      checkpoint.architecture.network,
      await predictCheckpoint(checkpoint, validation, context, { badImages, workers }),
    );
  }
  badImageLines(badImages).forEach((line) => context.log(line));
  const rows = scoreCombinations(probabilities, validation);
  const best = rows[rows.length - 1];
  metricsLines(best.metrics).forEach((line) => context.log(line));
  const doubt = oneTrackLine(validation);
  context.log(
    `\nTable 1; ours was measured on ${data}, validation; ${
      doubt ?? "ensemble weights cross-validated over tracks"
    }`,
  );
  comparisonTable(rows, PAPER_TABLE_1).forEach((line) => context.log(line));
  const majority = baselines(validation).majority;
  context.log(
    `majority class: F1 ${majority.f1.toFixed(4)}, accuracy ${majority.accuracy.toFixed(4)}, score ${
      majority.score.toFixed(4)
    }`,
  );
  const weights = Object.fromEntries(best.networks.map((network, i) => [network, best.weights[i]]));
  await writePredictions(`${out}/predictions.csv`, validation, ensembleProbabilities(best, probabilities));
  await writeTextAtomic(
    `${out}/ensemble.json`,
    JSON.stringify({ weights, checkpoints: paths, score: best.score }, null, 2),
  );
  return {
    adapter: adapter.description,
    weights,
    rows: rows.map(({ name, f1, accuracy, score, optimisticScore }) => ({
      name,
      f1,
      accuracy,
      score,
      optimisticScore,
    })),
    crossValidated: best.crossValidated,
    singles: scoreSingles(probabilities, validation).map(({ name, f1, accuracy, score }) => ({
      name,
      f1,
      accuracy,
      score,
    })),
    majority_score: majority.score,
    badImages: badImages.count,
  };
});
