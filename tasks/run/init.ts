/**
 * A run's pretrained weights: which file, what it is, and what follows for the run (graph, input convention).
 *
 * @module
 */
import { createHash } from "node:crypto";
import { JOINT_CLASSES } from "../../data/aff_wild2/mod.ts";
import { ACTION_UNITS, EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import { CONVENTIONS, type InputConvention } from "../../data/input_convention.ts";
import type { NetworkName } from "../../models/networks.ts";
import { type PretrainedResNet50, pretrainedResNet50 } from "../../models/weights/backbone.ts";
import type { WeightsFile } from "../../models/weights/file.ts";
import { type Hints, identify, type ResNetGraph } from "../../models/weights/identify.ts";
import { requireFits } from "../../models/weights/load.ts";
import { openWeights } from "../../models/weights/open.ts";
import { UserError } from "./cli.ts";
import type { ResolvedRun } from "./run_file.ts";

const CHUNK_BYTES = 1 << 20;
/** Classes where they are known before the data is read. */
const CLASSES = {
  expression: EXPRESSIONS.length,
  action_units: ACTION_UNITS.length,
  joint: JOINT_CLASSES.length,
  identity: undefined,
};

/** An open file of pretrained weights. */
export interface InitialWeights extends Disposable {
  readonly pretrained: PretrainedResNet50;
  readonly newHead: boolean;
}

/** SHA-256 of a file, a part at a time. */
async function hashFile(path: string): Promise<string> {
  using file = await Deno.open(path);
  const hash = createHash("sha256");
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (let count = await file.read(chunk); count !== null; count = await file.read(chunk)) {
    hash.update(chunk.subarray(0, count));
  }
  return hash.digest("hex");
}

/** Opens a ResNet50; the file stays open. */
async function openPretrained(path: string, hints: Hints): Promise<[WeightsFile, PretrainedResNet50]> {
  const file = await openWeights(path);
  try {
    return [file, pretrainedResNet50(file, hints)];
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
}

/**
 * The run with the graph and the input convention of the weights that it begins with, `init` or `backbone`, so that
 * no network ever sees input that its weights were not trained on.
 *
 * @throws {UserError} if the file is another than the run was made with, or does not fit the networks
 */
export async function withInitialWeights(run: ResolvedRun): Promise<ResolvedRun> {
  const { init, backbone, backboneSha256 } = run;
  if (init !== null && backbone !== null) {
    throw new UserError("Cannot begin with both --init and --backbone; expected one of them");
  }
  if (init !== null) {
    const sha256 = await hashOf(init.file, init.sha256);
    const [file, pretrained] = await openPretrained(init.file, init);
    using _file = file;
    const { graph, convention } = pretrained;
    const begun = { ...withInput(run, graph, convention), init: { ...init, sha256 } };
    const { newHead } = init;
    const classes = CLASSES[run.data.labelSet];
    for (const { architecture } of Object.values(begun.models)) {
      requireFits({ ...architecture, classes }, pretrained, newHead);
    }
    return begun;
  }
  if (backbone === null) return run;
  const begun = { ...run, backboneSha256: await hashOf(backbone, backboneSha256) };
  using file = await openWeights(backbone);
  const { graph, convention } = identify(file) ?? {};
  return graph === undefined || convention === undefined ? begun : withInput(begun, graph, convention);
}

/** @throws {UserError} if the file cannot be read, or is another than the run was made with */
async function hashOf(path: string, wanted: string | undefined): Promise<string> {
  const sha256 = await hashFile(path).catch((error) => {
    throw new UserError(`Cannot read weights ${path}: ${(error as Error).message}`);
  });
  if (wanted === undefined || wanted === sha256) return sha256;
  throw new UserError(`Cannot use ${path}: it has SHA-256 ${sha256} but the run was made with ${wanted}`);
}

function withInput(run: ResolvedRun, graph: ResNetGraph, { name }: InputConvention): ResolvedRun {
  if (!Object.hasOwn(CONVENTIONS, name)) {
    throw new UserError(
      `Cannot train on input convention ${name}; expected ${Object.keys(CONVENTIONS).join(", ")}`,
    );
  }
  const models = Object.fromEntries(
    Object.entries(run.models).map(([network, { architecture, recipe }]) => {
      const { graph: _, ...rest } = architecture;
      const whole = graph === "caffe" ? rest : { ...rest, graph };
      return [network, { architecture: whole, recipe }];
    }),
  ) as Partial<Record<NetworkName, ResolvedRun["models"]["cnn"]>> as ResolvedRun["models"];
  return { ...run, models, convention: name as ResolvedRun["convention"] };
}

/** Opens the weights that a run begins with; undefined if it begins with random ones. */
export async function openInitialWeights({ init }: ResolvedRun): Promise<InitialWeights | undefined> {
  if (init === null) return undefined;
  const [file, pretrained] = await openPretrained(init.file, init);
  return { pretrained, newHead: init.newHead, [Symbol.dispose]: () => file[Symbol.dispose]() };
}
