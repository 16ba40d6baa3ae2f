/**
 * `deno task pretrain`: a ResNet50 that tells people apart, the start of the expression networks (paper, Section 2.1).
 *
 * @module
 */
import { ON_BAD_IMAGE_FLAG } from "./run/bad_image_flag.ts";
import { defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { type Advice, executeRun, type ExistingRun, TRAIN_ADVICE } from "./run/execute.ts";
import { type ResolvedRun, resolveRun, toRunFile } from "./run/run_file.ts";
import { WORKERS_FLAG } from "./run/workers_flag.ts";

const command = defineCommand({
  task: "pretrain",
  summary:
    "Trains the ResNet50 to tell people apart on a folder in VGGFace2's layout; `train --init` starts from it.",
  flags: {
    data: {
      type: "string",
      placeholder: "DIR",
      required: true,
      description: "holds train/n000001/0001_01.jpg, ...",
    },
    onBadImage: ON_BAD_IMAGE_FLAG,
    workers: WORKERS_FLAG,
    out: {
      type: "string",
      placeholder: "DIR",
      default: "out/pretrain",
      description: "for checkpoint and record",
    },
    resume: { type: "boolean", description: "go on with the run in --out" },
    overwrite: { type: "boolean", description: "replace the run in --out" },
    preset: {
      type: "string",
      choices: ["paper", "tiny"],
      default: "paper",
      description: "paper: width 64, 224 pixels; tiny: width 16, 48 pixels",
    },
    set: {
      type: "list",
      placeholder: "KEY=VALUE",
      description: "changes a run file's key, e.g. recipe.lr=1e-2",
    },
    seed: { type: "integer", min: 0, default: 1, description: "of weights, order and augmentation" },
    epochs: { type: "integer", min: 1, description: "instead of the preset's" },
  },
  examples: [
    "deno task pretrain --data VGGFace2",
    "deno task pretrain --data out/people --preset tiny",
  ],
});

const ADVICE: Advice = {
  ...TRAIN_ADVICE,
  divergence: "the last checkpoint is kept: --resume goes on from it, with a smaller --set recipe.lr=...",
};

function configure(
  { data, onBadImage = "error", workers, preset, seed, epochs, set }: Options<typeof command.flags>,
): ResolvedRun {
  const content = {
    name: "pretrain",
    seed,
    preset,
    data: { root: data, labelSet: "identity", onBadImage },
    loader: workers === undefined ? {} : { workers },
    models: { cnn: {} },
    ...(epochs === undefined ? {} : { recipe: { epochs } }),
  };
  return resolveRun(content, "the flags", set);
}

await runTask(command, Deno.args, async (options, context) => {
  const { out, resume, overwrite, dryRun } = options;
  const run = configure(options);
  if (resume && overwrite) {
    throw new UserError(
      "Cannot run pretrain: --resume and --overwrite exclude each other; expected one of them",
    );
  }
  const existing: ExistingRun = resume ? "resume" : overwrite ? "overwrite" : "refuse";
  context.log(JSON.stringify({ out, ...toRunFile(run) as object }, null, 2));
  if (dryRun) return { dryRun: true };
  const { adapter, recordPath, record, interrupted } = await executeRun(
    run,
    { out, existing, advice: ADVICE },
    context,
  );
  const { checkpoint, scores } = record.networks.cnn!;
  context.log(`start an expression network from it: deno task train cnn --data DIR --init ${checkpoint}`);
  return {
    adapter: adapter.description,
    record: recordPath,
    checkpoint,
    ...scores,
    ...(interrupted ? { interrupted: true } : {}),
  };
});
