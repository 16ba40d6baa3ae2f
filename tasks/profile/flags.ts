/**
 * The flags that say which network a profile is of.
 *
 * @module
 */
import { NETWORK_NAMES, type NetworkName } from "../../models/networks.ts";
import type { Flag } from "../run/cli.ts";
import { UserError } from "../run/cli.ts";
import { networksOf, readRunFile, resolveRun } from "../run/run_file.ts";
import type { Mode, WorkloadOptions } from "./workload.ts";

/** For `flags` of a command. */
export const WORKLOAD_FLAGS = {
  run: { type: "string", placeholder: "FILE", description: "a run file: its network, sizes and batch" },
  set: { type: "list", placeholder: "KEY=VALUE", description: "changes a key, e.g. recipe.finetune=true" },
  model: {
    type: "string",
    choices: NETWORK_NAMES,
    description: "which network (default cnn, or the run file's first)",
  },
  preset: {
    type: "string",
    choices: ["paper", "tiny"],
    description: "its scale without --run (default tiny)",
  },
  batch: { type: "integer", min: 2, description: "images or windows of a step, instead of the preset's" },
  width: { type: "integer", min: 4, description: "channels after the stem, instead of the preset's" },
  size: { type: "integer", min: 32, description: "input side in pixels, instead of the preset's" },
  mode: {
    type: "string",
    choices: ["train", "inference"],
    description: "training steps, or forward passes without gradients (default train)",
  },
  steps: { type: "integer", min: 1, description: "steps to measure (default: about a second of them)" },
} as const satisfies Readonly<Record<string, Flag>>;

/** The values of {@link WORKLOAD_FLAGS}. */
export interface WorkloadFlags {
  readonly run: string | undefined;
  readonly set: readonly string[];
  readonly model: NetworkName | undefined;
  readonly preset: "paper" | "tiny" | undefined;
  readonly batch: number | undefined;
  readonly width: number | undefined;
  readonly size: number | undefined;
  readonly mode: Mode | undefined;
}

/**
 * The network and its recipe.
 *
 * @throws {UserError} for flags that exclude each other, and what a run file refuses
 */
export async function workloadOptions(task: string, flags: WorkloadFlags): Promise<WorkloadOptions> {
  const { run: file, set, preset = "tiny", batch, width, size, mode = "train" } = flags;
  if (file !== undefined && flags.preset !== undefined) {
    throw new UserError(`Cannot run ${task}: --preset goes without --run; expected --set preset=${preset}`);
  }
  const content = (network: NetworkName) => ({ preset, data: { root: "none" }, models: { [network]: {} } });
  const read = file === undefined
    ? resolveRun(content(flags.model ?? "cnn"), "the flags", set)
    : await readRunFile(file, set);
  const network = flags.model ?? networksOf(read)[0];
  const found = read.models[network];
  if (found === undefined) {
    throw new UserError(
      `Cannot run ${task}: ${file} has no ${network}; expected one of ${networksOf(read).join(", ")}`,
    );
  }
  const { architecture, recipe } = found;
  return {
    architecture: { ...architecture, ...(width ? { width } : {}), ...(size ? { size } : {}) },
    recipe: { ...recipe, ...(batch ? { batchSize: batch } : {}) },
    labelSet: read.data.labelSet,
    mode,
  };
}
