/**
 * `deno task demo`: the paper's whole pipeline on a synthetic set, from drawing faces to Table 1.
 *
 * @module
 */
import { EXPR_CONVENTION } from "../data/input_convention.ts";
import { ImageCache } from "../data/loader.ts";
import { synthesize } from "../data/synthetic/mod.ts";
import { EXPRESSIONS, imagePath } from "../data/aff_wild2/types.ts";
import { defaultLayers } from "../models/layers_default.ts";
import { PAPER_TABLE_1 } from "../models/metrics.ts";
import { architectureFor, NETWORK_TITLES, type NetworkName } from "../models/networks.ts";
import { type Checkpoint, loadCheckpoint } from "./run/checkpoint.ts";
import { type Context, defineCommand, type Options, runTask } from "./run/cli.ts";
import {
  baselines,
  ensembleProbabilities,
  metricsLines,
  predictCheckpoint,
  scoreCombinations,
  scoreSingles,
} from "./run/evaluation.ts";
import { allLabels, frameSamples } from "./run/frames.ts";
import { type Recipe, recipeFor } from "./run/recipe.ts";
import { type SampleFrame, writeReport } from "./run/report.ts";
import { openSplits, requireWritable, runTraining, startDevice } from "./run/session.ts";
import { comparisonTable, textTable } from "./run/table.ts";
import type { Splits } from "./run/training.ts";

const command = defineCommand({
  task: "demo",
  summary:
    "The paper's whole pipeline on a synthetic set: three networks trained, the ensemble evaluated, Table 1.",
  flags: {
    out: {
      type: "string",
      placeholder: "DIR",
      default: "out/demo",
      description: "data, checkpoints and report",
    },
    tracks: {
      type: "integer",
      min: 6,
      default: 200,
      description: "people; a quarter of them for validation",
    },
    frames: { type: "integer", min: 9, default: 36, description: "frames of each track" },
    epochs: { type: "integer", min: 1, description: "of each network, instead of 10" },
    seed: { type: "integer", min: 0, default: 1, description: "of the data and of all training" },
  },
  examples: ["deno task demo", "deno task demo --tracks 12 --epochs 2"],
});

const NETWORKS: readonly NetworkName[] = ["cnn", "rnn", "transformer"];

async function trainAll(
  splits: Splits,
  recipes: Readonly<Record<NetworkName, Recipe>>,
  { out, seed }: Options<typeof command.flags>,
  context: Context,
): Promise<Map<NetworkName, Checkpoint> | undefined> {
  const checkpoints = new Map<NetworkName, Checkpoint>();
  for (const network of NETWORKS) {
    const architecture = architectureFor(network, "tiny", EXPRESSIONS.length);
    const configuration = {
      architecture,
      recipe: recipes[network],
      convention: EXPR_CONVENTION,
      seed,
      labelSet: "expression",
    } as const;
    const start = { backbone: checkpoints.get("cnn") };
    const result = await runTraining(configuration, splits, `${out}/${network}.safetensors`, start, context);
    result.network.dispose();
    if (result.interrupted) return undefined;
    checkpoints.set(network, await loadCheckpoint(result.checkpoint));
  }
  return checkpoints;
}

/** Frames of all validation tracks, evenly spaced, with the ensemble's probabilities. */
async function sampleFrames(
  validation: Splits["validation"],
  probabilities: Float32Array,
): Promise<SampleFrame[]> {
  const samples = frameSamples(validation);
  const labels = allLabels(validation);
  const classes = EXPRESSIONS.length;
  const count = Math.min(24, samples.count);
  return await Promise.all(Array.from({ length: count }, async (_, s) => {
    const i = Math.floor((s + 0.5) * samples.count / count);
    const { track, frames } = samples.get(i);
    return {
      jpeg: await Deno.readFile(imagePath(track, frames[0])),
      track: track.name,
      frame: track.frames[frames[0]],
      truth: labels[i],
      probabilities: probabilities.subarray(i * classes, (i + 1) * classes),
    };
  }));
}

await runTask(command, Deno.args, async (options, context) => {
  const startedAt = performance.now();
  const { out, tracks, frames, seed, epochs, dryRun } = options;
  const recipes = Object.fromEntries(NETWORKS.map((network) => {
    const recipe = recipeFor(network, "tiny");
    return [network, { ...recipe, epochs: epochs ?? recipe.epochs }];
  })) as Record<NetworkName, Recipe>;
  context.log(JSON.stringify({ out, tracks, frames, seed, recipes }));
  if (dryRun) return { dryRun: true };
  const reportPath = `${out}/report.html`;
  await requireWritable(reportPath);
  const adapter = await startDevice(context);
  context.log(`kernels: ${defaultLayers.name}`);

  const drawing = context.progress("drawing faces", tracks * frames);
  const data = `${out}/data`;
  const onProgress = (done: number) => drawing.update(done);
  const set = await synthesize({
    out: data,
    tracks,
    frames,
    seed,
    balanced: true,
    onProgress,
    signal: context.signal,
  });
  drawing.finish();
  context.log(`${set.reused ? "kept" : "drew"} ${set.images} face crops in ${data}`);
  const splits = await openSplits(data, "expression", ["train", "validation"], context);
  const checkpoints = await trainAll(splits, recipes, options, context);
  if (checkpoints === undefined) return { adapter: adapter.description, interrupted: true };

  const probabilities = new Map<NetworkName, Float32Array>();
  const cache = new ImageCache(1 << 28);
  for (const [network, checkpoint] of checkpoints) {
    probabilities.set(network, await predictCheckpoint(checkpoint, splits.validation, context, cache));
  }
  const rows = scoreCombinations(probabilities, splits.validation);
  const full = rows[rows.length - 1];
  const { majority, uniform } = baselines(splits.validation);
  const singles = [
    ...scoreSingles(probabilities, splits.validation),
    { name: "majority class", ...majority },
    { name: "uniform random", ...uniform },
  ];
  metricsLines(full.metrics).forEach((line) => context.log(line));
  context.log("");
  textTable(
    ["predictor", "F1", "accuracy", "score"],
    singles.map((
      { name, f1, accuracy, score },
    ) => [name, ...[f1, accuracy, score].map((value) => value.toFixed(4))]),
  ).forEach((line) => context.log(line));
  const where = `balanced synthetic faces, ${splits.validation.tracks.length} held-out people (seed ${seed})`;
  context.log(`\nTable 1; ours was measured on ${where}, the paper's on Aff-Wild2's validation set`);
  comparisonTable(rows, PAPER_TABLE_1).forEach((line) => context.log(line));
  const learned = singles.slice(0, NETWORKS.length).every(({ score }) => score > 1.5 * majority.score);
  const conclusion = learned
    ? `All networks learned: each scores over 1.5 times the majority class (${
      majority.score.toFixed(4)
    }) on people they never saw.`
    : `Not all networks learned: one scores less than 1.5 times the majority class (${
      majority.score.toFixed(4)
    }).`;
  context.log(conclusion);
  const seconds = (performance.now() - startedAt) / 1000;
  await writeReport(reportPath, {
    title: "Fervid: Table 1 on synthetic faces",
    facts: [
      ["adapter", adapter.description],
      ["kernels", defaultLayers.name === "fervid" ? "Fervid's WGSL kernels" : "stock TensorFlow.js"],
      ["measured on", where],
      ["scale", "ResNet50 of width 16 on 48x48 pixels (the paper: width 64, 224x224)"],
      ["time", `${(seconds / 60).toFixed(1)} minutes`],
    ],
    conclusion,
    rows,
    singles,
    published: PAPER_TABLE_1,
    curves: [...checkpoints].map(([network, { history }]) => ({ name: NETWORK_TITLES[network], history })),
    confusion: full.metrics.confusion,
    perClassF1: full.metrics.perClassF1,
    samples: await sampleFrames(splits.validation, ensembleProbabilities(full, probabilities)),
  });
  context.log(`report: ${reportPath}`);
  return {
    seconds: Math.round(seconds * 10) / 10,
    adapter: adapter.description,
    rows: rows.map(({ name, f1, accuracy, score }) => ({ name, f1, accuracy, score })),
    majority_score: majority.score,
    learned,
    report: reportPath,
  };
});
