/**
 * `deno task train`: one network from flags, or a whole run from a run file, on Aff-Wild2's layout.
 *
 * @module
 */
import { ON_BAD_IMAGE_FLAG } from "./run/bad_image_flag.ts";
import { HINT_FLAGS } from "./run/hint_flags.ts";
import { withInitialWeights } from "./run/init.ts";
import { networksOf, readRunFile, type ResolvedRun, resolveRun, toRunFile } from "./run/run_file.ts";
import { isTemporal, NETWORK_NAMES } from "../models/networks.ts";
import { defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { executeRun, type ExistingRun } from "./run/execute.ts";
import { TENSORBOARD_FLAG, tensorboardFolder } from "./run/tensorboard_flag.ts";
import { WORKERS_FLAG } from "./run/workers_flag.ts";

const command = defineCommand({
  task: "train",
  summary:
    "Trains one network, or all of a run file, on a folder in Aff-Wild2's layout; keeps checkpoints and a record.",
  positionals: [{
    name: "network",
    description:
      "cnn: ResNet50; rnn: CNN-RNN; transformer: CNN-Transformer; vgg: the baseline; or --run FILE",
    choices: NETWORK_NAMES,
  }],
  flags: {
    run: { type: "string", placeholder: "FILE", description: "a run file, e.g. runs/tiny/demo.json" },
    set: {
      type: "list",
      placeholder: "KEY=VALUE",
      description: "changes a run file's key, e.g. recipe.lr=1e-3",
    },
    data: { type: "string", placeholder: "DIR", description: "the data's root folder" },
    onBadImage: ON_BAD_IMAGE_FLAG,
    workers: WORKERS_FLAG,
    out: {
      type: "string",
      placeholder: "DIR",
      description: "for checkpoints and record (default out/<name>)",
    },
    variants: {
      type: "string",
      placeholder: "FILE",
      description: "kernel variants that deno task tune found, in place of the shipped defaults",
    },
    resume: { type: "boolean", description: "go on with the run in --out" },
    overwrite: { type: "boolean", description: "replace the run in --out" },
    preset: {
      type: "string",
      choices: ["paper", "tiny"],
      description: "paper (default): width 64, 224 pixels; tiny: width 16, 48 pixels",
    },
    labelSet: {
      type: "string",
      choices: ["expression", "action_units", "joint"],
      description: "which annotations are learned; joint: both (default expression)",
    },
    backbone: {
      type: "string",
      placeholder: "FILE",
      description: "CNN checkpoint: the frozen backbone of rnn, transformer",
    },
    init: {
      type: "string",
      placeholder: "FILE",
      description: "pretrained backbone: .pth, .pkl, .h5, .npz or .safetensors",
    },
    ...HINT_FLAGS,
    newHead: { type: "boolean", description: "replace the classifier of --init by a random one" },
    seed: { type: "integer", min: 0, description: "of weights, order, augmentation and dropout (default 1)" },
    epochs: { type: "integer", min: 1, description: "instead of the preset's" },
    batchSize: {
      type: "integer",
      min: 2,
      description: "images or windows per step, instead of the preset's",
    },
    learningRate: { type: "number", min: 0, description: "instead of the preset's" },
    width: { type: "integer", min: 4, description: "channels after the stem, instead of the preset's" },
    size: { type: "integer", min: 32, description: "input side in pixels, instead of the preset's" },
    stride: { type: "integer", min: 1, description: "frames between training windows, instead of 4" },
    finetune: {
      type: "boolean",
      description: "train the backbone of rnn, transformer too, on windows of images",
    },
    window: { type: "integer", min: 1, description: "frames per window (odd), instead of 9" },
    tensorboard: TENSORBOARD_FLAG,
  },
  examples: [
    "deno task train cnn --data Aff-Wild2",
    "deno task train rnn --data Aff-Wild2 --backbone out/cnn/cnn.safetensors",
    "deno task train cnn --data Aff-Wild2 --init resnet50_ft_dag.pth --new-head",
    "deno task train --run runs/paper/all_three.json --set recipe.lr=1e-3 --seed 2",
  ],
});

type TrainOptions = Options<typeof command.flags>;

/** The flags that stand for keys of a run file, as overrides. */
function overridesOf(options: TrainOptions, network: string | undefined): string[] {
  const {
    data,
    labelSet,
    preset,
    backbone,
    init,
    graph,
    convention,
    seed,
    epochs,
    batchSize,
    learningRate,
    width,
    size,
    stride,
    window,
  } = options;
  const architecture = (key: string) => `models.${network}.architecture.${key}`;
  const flags: [string, string | number | boolean | undefined][] = [
    ["data.root", data],
    ["data.onBadImage", options.onBadImage],
    ["loader.workers", options.workers],
    ["data.labelSet", labelSet],
    ["preset", preset],
    ["backbone", backbone],
    ["init.file", init],
    ["init.graph", graph],
    ["init.convention", convention],
    ["init.newHead", options.newHead || undefined],
    ["seed", seed],
    ["tuning.variants", options.variants],
    ["recipe.epochs", epochs],
    ["recipe.batchSize", batchSize],
    ["recipe.lr", learningRate],
    ["recipe.stride", stride],
    ["recipe.window", window],
    ["recipe.finetune", options.finetune || undefined],
    [architecture("width"), width],
    [architecture("size"), size],
  ];
  const given = flags.filter(([, value]) => value !== undefined);
  return [...given.map(([key, value]) => `${key}=${JSON.stringify(value)}`), ...options.set];
}

/** The keys of the recipe that flags give: they win over a network's own recipe in a run file. */
function givenRecipeKeys(options: TrainOptions): string[] {
  const flags = {
    epochs: "epochs",
    batchSize: "batchSize",
    learningRate: "lr",
    stride: "stride",
    window: "window",
  };
  const keys = Object.entries(flags).filter(([flag]) => options[flag as keyof typeof flags] !== undefined);
  return [...keys.map(([, key]) => key), ...(options.finetune ? ["finetune"] : [])];
}

/** Refuses flags that no network of the run would heed. */
function requireEffect({ window, stride, finetune }: TrainOptions, run: ResolvedRun): void {
  if (networksOf(run).some(isTemporal)) return;
  const idle = [
    window !== undefined && "--window",
    stride !== undefined && "--stride",
    finetune && "--finetune",
  ]
    .find((flag) => typeof flag === "string");
  if (idle === undefined) return;
  throw new UserError(
    `Cannot run train: ${idle} is of no effect on ${
      networksOf(run).join(", ")
    }; expected it with rnn or transformer`,
  );
}

async function configure(options: TrainOptions): Promise<ResolvedRun> {
  const network: string | undefined = options.arguments[0];
  if ((options.run === undefined) === (network === undefined)) {
    throw new UserError(
      "Cannot run train: expected either a network (cnn, rnn, transformer, vgg) or --run FILE" +
        (network === undefined ? "" : ", not both"),
    );
  }
  if (options.run !== undefined) {
    if (options.width !== undefined || options.size !== undefined) {
      throw new UserError(
        "Cannot run train: --width and --size go with a network's name; expected --set models.cnn.architecture.width=N",
      );
    }
    return await readRunFile(options.run, overridesOf(options, network), givenRecipeKeys(options));
  }
  if (options.data === undefined) {
    throw new UserError("Cannot run train: --data is missing; expected --data DIR");
  }
  return resolveRun({ name: network, models: { [network]: {} } }, "the flags", overridesOf(options, network));
}

await runTask(command, Deno.args, async (options, context) => {
  const configured = await configure(options);
  requireEffect(options, configured);
  const run = await withInitialWeights(configured);
  const out = options.out ?? `out/${run.name}`;
  if (options.resume && options.overwrite) {
    throw new UserError(
      "Cannot run train: --resume and --overwrite exclude each other; expected one of them",
    );
  }
  const existing: ExistingRun = options.resume ? "resume" : options.overwrite ? "overwrite" : "refuse";
  context.log(JSON.stringify({ out, ...toRunFile(run) as object }, null, 2));
  if (options.dryRun) return { dryRun: true };
  const tensorboard = tensorboardFolder(options, run.name);
  const result = await executeRun(run, { out, existing, tensorboard }, context);
  const { record, recordPath, adapter, interrupted } = result;
  context.log(`report: ${out}/report.html`);
  return {
    adapter: adapter.description,
    record: recordPath,
    report: `${out}/report.html`,
    networks: Object.fromEntries(
      networksOf(run).map((network) => {
        const outcome = record.networks[network];
        return [
          network,
          outcome && { checkpoint: outcome.checkpoint, epochs: outcome.epochs.length, ...outcome.scores },
        ];
      }),
    ),
    ...(record.ensemble.length > 0 ? { ensemble: record.ensemble } : {}),
    ...(interrupted ? { interrupted: true } : {}),
  };
});
