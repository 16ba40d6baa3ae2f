/**
 * `deno task demo`: the paper's whole pipeline on a synthetic set, from drawing faces to Table 1.
 *
 * @module
 */
import { defaultLayers } from "../models/layers_default.ts";
import { PAPER_TABLE_1 } from "../models/metrics.ts";
import { defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { baselines, metricsLines, scoreSingles, verdictOn } from "./run/evaluation.ts";
import { decideExisting } from "./run/earlier.ts";
import { type Advice, executeRun, type ExistingRun } from "./run/execute.ts";
import { readRunFile, type ResolvedRun, toRunFile } from "./run/run_file.ts";
import { TENSORBOARD_FLAG, tensorboardFolder } from "./run/tensorboard_flag.ts";
import { comparisonTable, textTable } from "./run/table.ts";
import { isDivergence } from "./run/trainer.ts";

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
      description: "people, a quarter of them for validation (default 150)",
    },
    frames: { type: "integer", min: 9, description: "frames of each track (default 48)" },
    epochs: { type: "integer", min: 1, description: "of each network (default 10)" },
    seed: { type: "integer", min: 0, description: "of the data and of all training (default 1)" },
    overwrite: { type: "boolean", description: "replace the run in --out, whatever it is" },
    tensorboard: TENSORBOARD_FLAG,
  },
  examples: ["deno task demo", "deno task demo --tracks 12 --epochs 2"],
});

const RUN_FILE = new URL("../runs/tiny/demo.json", import.meta.url).pathname;

/** The demo's run file with the flags' values in it. */
async function configure({ out, tracks, frames, seed, epochs }: Options<typeof command.flags>) {
  return await readRunFile(RUN_FILE, [
    `data.root=${JSON.stringify(`${out}/data`)}`,
    ...Object.entries({ tracks, frames, seed }).filter(([, value]) => value !== undefined)
      .map(([key, value]) => `data.synthetic.${key}=${value}`),
    ...(seed === undefined ? [] : [`seed=${seed}`]),
    ...(epochs === undefined ? [] : [`recipe.epochs=${epochs}`]),
  ]);
}

/** A demo has no flags for a recipe. */
const ADVICE: Advice = {
  divergence: "expected another --seed",
  badImage: "expected another --out, where the faces are drawn anew",
};

/** A demo is gone on with, but for one that would only diverge again. */
async function existingRun(
  run: ResolvedRun,
  { out, overwrite }: Options<typeof command.flags>,
): Promise<ExistingRun> {
  if (overwrite) return "overwrite";
  const { existing, record } = await decideExisting(out, run, { task: "demo", overwrite });
  if (record?.status === "failed" && isDivergence(record.error)) {
    throw new UserError(
      `Cannot go on with the demo in ${out}: its loss was not finite, and would not be again (${record.error}); ` +
        `expected another --seed, or --overwrite to begin anew`,
    );
  }
  return existing;
}

await runTask(command, Deno.args, async (options, context) => {
  const startedAt = performance.now();
  const { out } = options;
  const run = await configure(options);
  context.log(JSON.stringify({ out, ...toRunFile(run) as object }));
  if (options.dryRun) return { dryRun: true };
  const existing = await existingRun(run, options);
  const reportPath = `${out}/report.html`;
  context.log(`kernels: ${defaultLayers.name}`);
  const result = await executeRun(run, {
    out,
    existing,
    advice: ADVICE,
    tensorboard: tensorboardFolder(options, run.name),
  }, context);
  const { adapter, splits, probabilities, ensemble: rows } = result;
  if (result.interrupted) return { adapter: adapter.description, interrupted: true };

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
  const where =
    `balanced synthetic faces, ${splits.validation.tracks.length} held-out people (seed ${run.seed})`;
  context.log(`\nTable 1; ours was measured on ${where}, the paper's on Aff-Wild2's validation set`);
  comparisonTable(rows, PAPER_TABLE_1).forEach((line) => context.log(line));
  const { learned, text: conclusion } = verdictOn(probabilities, splits.validation);
  context.log(conclusion);
  const seconds = (performance.now() - startedAt) / 1000;
  context.log(`record: ${result.recordPath}\nreport: ${reportPath}`);
  return {
    seconds: Math.round(seconds * 10) / 10,
    adapter: adapter.description,
    rows: rows.map(({ name, f1, accuracy, score }) => ({ name, f1, accuracy, score })),
    majority_score: majority.score,
    learned,
    record: result.recordPath,
    report: reportPath,
  };
});
