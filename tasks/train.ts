/**
 * `deno task train cnn|rnn|transformer`: trains one network on Aff-Wild2's layout.
 *
 * @module
 */
import { ACTION_UNITS, EXPRESSIONS } from "../data/aff_wild2/types.ts";
import { EXPR_CONVENTION } from "../data/input_convention.ts";
import { type Architecture, architectureFor, type NetworkName } from "../models/networks.ts";
import { defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { type Recipe, recipeFor } from "./run/recipe.ts";
import {
  loadNetworkCheckpoint,
  openSplits,
  type RunConfiguration,
  runTraining,
  startDevice,
} from "./run/session.ts";

const command = defineCommand({
  task: "train",
  summary: "Trains one network on a folder in Aff-Wild2's layout and keeps its checkpoint.",
  positionals: [{
    name: "network",
    description: "cnn: ResNet50; rnn: CNN-RNN; transformer: CNN-Transformer",
    choices: ["cnn", "rnn", "transformer"],
    required: true,
  }],
  flags: {
    data: { type: "string", placeholder: "DIR", required: true, description: "the data's root folder" },
    out: { type: "string", placeholder: "DIR", default: "out/train", description: "where checkpoints go" },
    preset: {
      type: "string",
      choices: ["paper", "tiny"],
      default: "paper",
      description: "paper: width 64, 224 pixels; tiny: width 16, 48 pixels",
    },
    labelSet: {
      type: "string",
      choices: ["expression", "action_units"],
      default: "expression",
      description: "which annotations are learned",
    },
    backbone: {
      type: "string",
      placeholder: "FILE",
      description: "CNN checkpoint: the frozen backbone of rnn, transformer",
    },
    resume: { type: "boolean", description: "go on from the checkpoint in --out" },
    seed: { type: "integer", min: 0, default: 1, description: "of weights, order, augmentation and dropout" },
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
    window: { type: "integer", min: 1, description: "frames per window (odd), instead of 9" },
  },
  examples: [
    "deno task train cnn --data Aff-Wild2",
    "deno task train rnn --data Aff-Wild2 --backbone out/train/cnn.safetensors",
  ],
});

type TrainOptions = Options<typeof command.flags>;

/** The values of `changes` that are given, over `base`. */
function override<T extends object>(base: T, changes: Partial<T>): T {
  return {
    ...base,
    ...Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)),
  };
}

function configure(network: NetworkName, options: TrainOptions): RunConfiguration {
  const { labelSet, preset, epochs, batchSize, learningRate, width, size, stride, window, seed } = options;
  if (window !== undefined && window % 2 === 0) {
    throw new UserError(
      `Cannot run train: --window is ${window}; expected an odd number, which has a middle frame`,
    );
  }
  const classes = labelSet === "expression" ? EXPRESSIONS.length : ACTION_UNITS.length;
  const architecture = override<Architecture>(architectureFor(network, preset, classes), { width, size });
  const temporal = network === "cnn" ? {} : { stride, window };
  const recipe = override<Recipe>(recipeFor(network, preset, labelSet), {
    epochs,
    batchSize,
    learningRate,
    ...temporal,
  });
  return { architecture, recipe, convention: EXPR_CONVENTION, seed, labelSet };
}

await runTask(command, Deno.args, async (options, context) => {
  const network = options.arguments[0] as NetworkName;
  const configuration = configure(network, options);
  const path = `${options.out}/${network}.safetensors`;
  context.log(JSON.stringify({ data: options.data, checkpoint: path, ...configuration }, null, 2));
  if (options.dryRun) return { dryRun: true };
  if (network !== "cnn" && options.backbone === undefined && !options.resume) {
    throw new UserError(
      `Cannot run train ${network}: --backbone is missing; expected the checkpoint of a trained cnn`,
    );
  }
  const resume = options.resume ? await loadNetworkCheckpoint(path, [network]) : undefined;
  const backbone = options.backbone === undefined
    ? undefined
    : await loadNetworkCheckpoint(options.backbone, ["cnn"]);
  const splits = await openSplits(options.data, options.labelSet, ["train", "validation"], context);
  const adapter = await startDevice(context);
  const result = await runTraining(configuration, splits, path, { resume, backbone }, context);
  const last = result.history.at(-1);
  return {
    adapter: adapter.description,
    checkpoint: path,
    epochs: result.history.length,
    validation: last &&
      { f1: last.validationF1, accuracy: last.validationAccuracy, score: last.validationScore },
    ...(result.interrupted ? { interrupted: true } : {}),
  };
});
