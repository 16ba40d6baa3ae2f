/**
 * One training run from configuration to checkpoint: what `train` and `demo` share.
 *
 * @module
 */
import {
  type DatasetIndex,
  readDataset,
  readJoint,
  reportDataset,
  summaryLines,
} from "../../data/aff_wild2/mod.ts";
import type { Dataset, Split, Target } from "../../data/aff_wild2/types.ts";
import type { InputConvention } from "../../data/input_convention.ts";
import { ImageCache } from "../../data/loader.ts";
import { readIdentities } from "../../data/vggface2.ts";
import {
  type Architecture,
  createNetwork,
  isBackboneParameter,
  type Network,
  NETWORK_TITLES,
  TemporalNetwork,
} from "../../models/networks.ts";
import { loadPretrained } from "../../models/weights/load.ts";
import { type Checkpoint, loadCheckpoint, requireSameArchitecture, saveCheckpoint } from "./checkpoint.ts";
import { type Context, UserError } from "./cli.ts";
import { indexLine, openIndex, type OpenOptions, refuseBadImages } from "./data_index.ts";
import { type FeatureStore, openFeatures } from "./features.ts";
import { hashTensors } from "./fingerprint.ts";
import type { InitialWeights } from "./init.ts";
import { type FrameOptions, frameSamples, type Reading } from "./frames.ts";
import type { EpochRecord } from "./history.ts";
import type { Recipe } from "./recipe.ts";
import { train, type TrainingObserver, type TrainingResult } from "./trainer.ts";
import { finetuneRun, frameRun, type NetworkRun, type Splits, temporalRun } from "./training.ts";

export { requireWritable } from "./files.ts";

/** Decoded images up to this size are kept in memory between epochs. */
const CACHE_BYTES = 1 << 30;
/** Images per forward pass where no gradient is wanted. */
export const INFERENCE_BATCH = 64;

/** Lines of a split's summary: identities can be thousands. */
const MOST_LINES = 24;

/** Everything that a run's result depends on. */
export interface RunConfiguration {
  readonly architecture: Architecture;
  readonly recipe: Recipe;
  readonly convention: InputConvention;
  readonly seed: number;
  readonly labelSet: Target;
  /** steps between checkpoints */
  readonly checkpointEvery: number;
}

/** A finished or interrupted run. */
export interface RunResult extends TrainingResult {
  readonly checkpoint: string;
  readonly weightsSha256: string;
}

/**
 * Reads splits, by the index where there is one, and prints what was kept and dropped.
 *
 * @throws {UserError} if the index knows of images that cannot be used, and `badImages` does not leave them out
 */
export async function openSplits<S extends Split>(
  root: string,
  labelSet: Target,
  splits: readonly S[],
  context: Context,
  { index: named, badImages }: OpenOptions = {},
): Promise<Record<S, Dataset>> {
  const log = (line: string) => context.log(line);
  const index = labelSet === "identity" ? undefined : await openIndex(root, named, log);
  const read = await readSplits(root, labelSet, splits, log, index);
  if (index !== undefined) log(indexLine(index));
  for (const dataset of read) {
    const lines = summaryLines(reportDataset(dataset));
    lines.slice(0, MOST_LINES).forEach((line) => context.log(line));
    if (lines.length > MOST_LINES) context.log(`  and ${lines.length - MOST_LINES} more classes`);
  }
  if (index !== undefined && badImages !== undefined) refuseBadImages(index, read, badImages, log);
  return Object.fromEntries(splits.map((split, i) => [split, read[i]])) as Record<S, Dataset>;
}

/** Reads splits; `log` hears which videos joint training leaves out. */
export async function readSplits(
  root: string,
  labelSet: Target,
  splits: readonly Split[],
  log: (line: string) => void = () => {},
  index?: DatasetIndex,
): Promise<Dataset[]> {
  if (labelSet === "identity") return await Promise.all(splits.map((split) => readIdentities(root, split)));
  if (labelSet !== "joint") {
    return await Promise.all(splits.map((split) => readDataset(root, { labelSet, split, index })));
  }
  const { excludedVideos, ...both } = await readJoint(root, { index });
  const excluded = excludedVideos.length === 0 ? "none" : excludedVideos.join(", ");
  log(`videos left out of training because the other label set validates on them: ${excluded}`);
  return splits.map((split) => both[split]);
}

/** How images are read for a network. */
export function frameOptions(
  { architecture, convention }: Pick<RunConfiguration, "architecture" | "convention">,
  context: Context,
  { cache = new ImageCache(CACHE_BYTES), badImages, workers, prefetchBytes }: Reading = {},
): FrameOptions & { cache: ImageCache } {
  const { size } = architecture;
  const { signal } = context;
  return { size, convention, batchSize: INFERENCE_BATCH, cache, badImages, workers, prefetchBytes, signal };
}

/**
 * Loads the backbone of a trained CNN into a temporal network.
 *
 * @throws {UserError} if the checkpoint is of another scale or input convention
 */
export function loadBackbone(network: Network, cnn: Checkpoint, convention: InputConvention): void {
  requireBackbone(network.architecture, convention, cnn);
  const weights = [...cnn.weights].filter(([name]) => isBackboneParameter(name));
  network.parameters.load(new Map(weights), isBackboneParameter);
}

/** @throws {UserError} if a CNN's checkpoint is of another scale or input convention than a temporal network */
export function requireBackbone(
  architecture: Omit<Architecture, "classes">,
  convention: InputConvention,
  cnn: Checkpoint,
): void {
  const describe = ({ width, graph = "caffe" }: Omit<Architecture, "classes">, { name }: InputConvention) =>
    `width ${width}, graph ${graph} and input convention ${name}`;
  const given = describe(cnn.architecture, cnn.convention);
  const wanted = describe(architecture, convention);
  if (given !== wanted) {
    throw new UserError(`Cannot use ${cnn.path} as the backbone: it has ${given}; this run wants ${wanted}`);
  }
}

/** The folder of cached features beside a checkpoint. */
export function featureFolder(checkpoint: string): string {
  return `${checkpoint.replace(/[^/]*$/, "")}features`;
}

/**
 * Trains one network and keeps its checkpoint at `path`.
 *
 * @param start a trained CNN for a temporal network's backbone, pretrained weights, and a checkpoint to go on from
 * @param observer hears of losses, validations and checkpoints
 * @throws {UserError} if the checkpoint is of another model; {DivergenceError} if the loss is not finite
 */
export async function runTraining(
  configuration: RunConfiguration,
  splits: Splits,
  path: string,
  start: { backbone?: Checkpoint; init?: InitialWeights; resume?: Checkpoint },
  context: Context,
  options: FrameOptions,
  observer: TrainingObserver,
): Promise<RunResult> {
  const { architecture, recipe, convention, seed } = configuration;
  const { backbone, init, resume } = start;
  if (resume !== undefined) requireSameRun(resume, configuration);
  const network = createNetwork(architecture, seed);
  const stores: FeatureStore[] = [];
  let run: NetworkRun | undefined;
  try {
    if (resume !== undefined) network.parameters.load(resume.weights);
    else if (backbone !== undefined) loadBackbone(network, backbone, convention);
    else if (init) {
      loadPretrained(network, init.pretrained, init.newHead).forEach((line) => context.log(line));
    }
    if (!(network instanceof TemporalNetwork)) {
      run = frameRun(network, splits, recipe, seed, options);
    } else if (recipe.finetune) {
      run = finetuneRun(network, splits, recipe, seed, options);
    } else {
      for (const split of ["train", "validation"] as const) {
        stores.push(await featuresOf(network, splits[split], featureFolder(path), options, context));
      }
      run = temporalRun(network, splits, { train: stores[0], validation: stores[1] }, recipe, seed);
    }
    if (resume !== undefined) run.optimizer.load(resume.momenta);
    const result = await loop(run, configuration, network, path, resume, context, observer);
    const weightsSha256 = hashTensors(await network.parameters.toHost());
    return { checkpoint: path, weightsSha256, ...result };
  } finally {
    network.dispose();
    run?.dispose();
    stores.forEach((store) => store.close());
  }
}

/** Refuses to go on from another run's checkpoint: the weights would be of both. */
function requireSameRun(checkpoint: Checkpoint, configuration: RunConfiguration): void {
  requireSameArchitecture(checkpoint, configuration.architecture);
  for (const key of ["seed", "labelSet", "convention"] as const) {
    const [given, wanted] = [checkpoint[key], configuration[key]].map((value) => JSON.stringify(value));
    if (given === wanted) continue;
    throw new UserError(
      `Cannot resume from ${checkpoint.path}: it is another run's, with ${key} ${given}; this run has ${wanted}`,
    );
  }
  const { length: done } = checkpoint.history;
  if (done > configuration.recipe.epochs) {
    throw new UserError(
      `Cannot resume from ${checkpoint.path}: it has ${done} epochs but the recipe ${configuration.recipe.epochs}; ` +
        `expected at least ${done}`,
    );
  }
}

/** Opens or computes features, showing how far it is. */
async function featuresOf(
  network: TemporalNetwork,
  dataset: Dataset,
  folder: string,
  options: FrameOptions,
  context: Context,
): Promise<FeatureStore> {
  const progress = context.progress(`${dataset.split} features`, frameSamples(dataset).count);
  const onProgress = (done: number) => progress.update(done);
  try {
    return await openFeatures(network, dataset, folder, { ...options, onProgress });
  } finally {
    progress.finish();
  }
}

async function loop(
  run: NetworkRun,
  configuration: RunConfiguration,
  network: Network,
  path: string,
  resume: Checkpoint | undefined,
  context: Context,
  observer: TrainingObserver,
): Promise<TrainingResult> {
  const { recipe, checkpointEvery } = configuration;
  const title = NETWORK_TITLES[configuration.architecture.network];
  const progress = context.progress(title, recipe.epochs * run.stepsPerEpoch);
  const result = await train(
    {
      ...run,
      checkpointEvery,
      async checkpoint(position, history) {
        const { checkpointEvery: _, ...header } = configuration;
        await saveCheckpoint(path, { ...header, position, history }, network, run.optimizer);
        context.lastWords(
          `the last checkpoint (epoch ${
            position.epoch + 1
          }, step ${position.step}) is ${path}: --resume goes on from it`,
        );
        await observer.onCheckpoint(history);
      },
      onStep: (done, note) => progress.update(done, note),
      onLosses: (losses) => observer.onLosses(losses),
      async onEpoch(record, validation) {
        context.log(epochLine(title, record, recipe.epochs));
        await observer.onValidated(record, validation);
      },
      signal: context.signal,
    },
    resume?.position,
    resume?.history,
  );
  progress.finish();
  return result;
}

function epochLine(title: string, record: EpochRecord, epochs: number): string {
  return `${title} epoch ${record.epoch}/${epochs}: loss ${record.trainLoss.toFixed(4)}, ` +
    `validation F1 ${record.validationF1.toFixed(4)}, accuracy ${record.validationAccuracy.toFixed(4)}, ` +
    `score ${record.validationScore.toFixed(4)}, ${record.seconds.toFixed(1)} s`;
}

/**
 * Reads a checkpoint of one of the wanted networks.
 *
 * @throws {UserError} if it is of another network
 */
export async function loadNetworkCheckpoint(path: string, wanted: readonly string[]): Promise<Checkpoint> {
  const checkpoint = await loadCheckpoint(path);
  if (!wanted.includes(checkpoint.architecture.network)) {
    throw new UserError(
      `Cannot use ${path}: it is a checkpoint of ${checkpoint.architecture.network}; expected ${
        wanted.join(" or ")
      }`,
    );
  }
  return checkpoint;
}
