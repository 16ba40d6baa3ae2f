/**
 * Runs a run file from data to record: every network trained, scored on the validation split, joined to the ensemble.
 *
 * @module
 */
import { BadImages } from "../../data/bad_images.ts";
import { ImageWorkers } from "../../data/image_workers.ts";
import { ImageError } from "../../data/images.ts";
import { synthesize } from "../../data/synthetic/mod.ts";
import type { AdapterRecord } from "../../kernels/runtime/device.ts";
import { type Architecture, isTemporal, type NetworkName } from "../../models/networks.ts";
import { badImageLines } from "./bad_image_flag.ts";
import { type Checkpoint, loadCheckpoint } from "./checkpoint.ts";
import { type Context, UserError } from "./cli.ts";
import { type EnsembleRow, oneTrackLine, predictCheckpoint, scoreCombinations } from "./evaluation.ts";
import { fingerprintData, hashValues } from "./fingerprint.ts";
import { applyChoices } from "./choices.ts";
import { startDevice } from "./device.ts";
import {
  checkpointAt,
  checkpointPath,
  clearOutputs,
  earlierRun,
  type ExistingRun,
  predictionsPath,
  requireSameData,
  withLives,
} from "./earlier.ts";
import type { Reading } from "./frames.ts";
import { openInitialWeights, withInitialWeights } from "./init.ts";
import { scoreFrames } from "./inference.ts";
import { lockFolder } from "./lock.ts";
import { writePredictions } from "./predictions.ts";
import { readVersions, RecordFile, type RunRecord, type Scores } from "./record.ts";
import { refine } from "./refine.ts";
import { requireBackbones } from "./requirements.ts";
import { conventionOf, networksOf, type ResolvedRun, toRunFile } from "./run_file.ts";
import {
  frameOptions,
  loadNetworkCheckpoint,
  openSplits,
  requireBackbone,
  requireWritable,
  runTraining,
} from "./session.ts";
import type { Splits } from "./training.ts";
import { DivergenceError, type TrainingObserver } from "./trainer.ts";
import { RunWatch } from "./watch.ts";

export type { ExistingRun } from "./earlier.ts";

/** Where a run writes, and over what. */
export interface ExecuteOptions {
  readonly out: string;
  readonly existing: ExistingRun;
  /** a folder for TensorBoard's event files, each network's in a folder of it */
  readonly tensorboard?: string;
  /** default: of `train` */
  readonly advice?: Advice;
}

/** What a person can do about a run that failed, by the flags that the task has. */
export interface Advice {
  readonly divergence: string;
  readonly badImage: string;
}

/** Of `train`. */
export const TRAIN_ADVICE: Advice = {
  divergence: "the last checkpoint is kept: --resume goes on from it, with a smaller --learning-rate",
  badImage: "make it good, or leave such frames out with --on-bad-image=skip, and go on with --resume",
};

/** What came of a run. */
export interface ExecuteResult {
  readonly record: RunRecord;
  readonly recordPath: string;
  readonly adapter: AdapterRecord;
  readonly splits: Splits;
  readonly interrupted: boolean;
  /** [frames, classes] of each network's validation frames; empty if interrupted */
  readonly probabilities: ReadonlyMap<NetworkName, Float32Array>;
  readonly ensemble: readonly EnsembleRow[];
}

/**
 * Executes a run.
 *
 * @throws {UserError} if the output folder holds another run, or input cannot be used; {DivergenceError} if a loss
 * is not finite; {ImageError} if an image cannot be used and is not left out. The record says so as well.
 */
export async function executeRun(
  given: ResolvedRun,
  { out, existing, tensorboard, advice = TRAIN_ADVICE }: ExecuteOptions,
  context: Context,
): Promise<ExecuteResult> {
  const recordPath = `${out}/record.json`;
  requireBackbones(given);
  const run = await withInitialWeights(given);
  await requireWritable(recordPath);
  using _lock = await lockFolder(out);
  const earlier = await earlierRun(out, run, existing, context);
  const backbone = await openBackbone(run);
  const adapter = await startDevice(context);
  const variants = await applyChoices(run.tuning.variants ?? undefined, adapter, context);
  await drawFaces(run, context);
  const badImages = new BadImages(run.data.onBadImage, earlier?.leftOut);
  const { root, labelSet, index } = run.data;
  const splits = await openSplits(root, labelSet, ["train", "validation"], context, { index, badImages });
  const data = await fingerprint(run, splits, badImages, context);
  if (earlier === undefined) await clearOutputs(out, run);
  else requireSameData(earlier, data, recordPath);
  const file = new RecordFile(recordPath, {
    run: toRunFile(run),
    ...earlier?.record,
    ...withLives({ versions: await readVersions(), adapter, variants }, earlier, context),
    data,
  });
  await file.update({ badImages: badImages.list() });
  using watch = new RunWatch(file, splits, { out, tensorboard, settings: run.evaluation }, context);
  await watch.begin();
  const probabilities = new Map<NetworkName, Float32Array>();
  using workers = new ImageWorkers(run.loader.workers ?? undefined);
  const reading = { badImages, workers, prefetchBytes: run.loader.prefetchMegabytes * 2 ** 20 };
  try {
    const interrupted = await trainNetworks(
      run,
      backbone,
      { out, existing },
      splits,
      reading,
      file,
      probabilities,
      watch,
      context,
    );
    const ensemble = !interrupted && run.data.labelSet === "expression" && probabilities.size > 1 &&
        probabilities.has("cnn")
      ? scoreCombinations(probabilities, splits.validation, run.evaluation)
      : [];
    const refinement = interrupted || run.data.labelSet === "identity" || run.data.labelSet === "joint"
      ? null
      : refine(probabilities, splits.validation, run.evaluation);
    await file.update({
      refinement,
      status: interrupted ? "interrupted" : "finished",
      ensemble: ensemble.map(({ name, weights, f1, accuracy, score }) => ({
        name,
        weights,
        f1,
        accuracy,
        score,
      })),
    });
    badImageLines(badImages).forEach((line) => context.log(line));
    const doubt = refinement === null ? undefined : oneTrackLine(splits.validation);
    if (doubt !== undefined) context.log(doubt);
    await watch.report(probabilities);
    if (!interrupted) await watch.finish(ensemble.at(-1));
    return { record: file.record, recordPath, adapter, splits, interrupted, probabilities, ensemble };
  } catch (error) {
    const interrupted = context.signal.aborted;
    await file.update({
      status: interrupted ? "interrupted" : "failed",
      error: interrupted ? null : (error as Error).message,
      badImages: badImages.list(),
    }).catch((second) => context.log((second as Error).message)); // the first error is the one to report
    await watch.report(probabilities);
    if (error instanceof DivergenceError) throw new DivergenceError(`${error.message}; ${advice.divergence}`);
    if (error instanceof ImageError) throw new UserError(`${error.message}; ${advice.badImage}`);
    throw error;
  }
}

/** The cnn that a run is given for its temporal networks, once it is known to fit. */
async function openBackbone(run: ResolvedRun): Promise<Checkpoint | undefined> {
  if (run.backbone === null) return undefined;
  const cnn = await loadNetworkCheckpoint(run.backbone, ["cnn"]);
  for (const network of networksOf(run).filter(isTemporal)) {
    requireBackbone(run.models[network]!.architecture, conventionOf(run), cnn);
  }
  return cnn;
}

/** Draws the faces that a run asks for, if they are not there. */
export async function drawFaces(run: ResolvedRun, context: Context): Promise<void> {
  const { synthetic, root } = run.data;
  if (synthetic === undefined) return;
  const progress = context.progress("drawing faces", synthetic.tracks * synthetic.frames);
  const onProgress = (done: number) => progress.update(done);
  const set = await synthesize({ out: root, ...synthetic, onProgress, signal: context.signal });
  progress.finish();
  context.log(`${set.reused ? "kept" : "drew"} ${set.images} face crops in ${root}`);
}

async function fingerprint(
  run: ResolvedRun,
  splits: Splits,
  badImages: BadImages,
  context: Context,
): Promise<RunRecord["data"]> {
  const datasets = [splits.train, splits.validation];
  if (!run.data.hashImages) return await fingerprintData(datasets, false);
  const frames = datasets.flatMap(({ tracks }) => tracks).reduce(
    (sum, track) => sum + track.frames.length,
    0,
  );
  const progress = context.progress("hashing images", frames);
  let done = 0;
  const result = await fingerprintData(datasets, true, badImages, () => progress.update(++done));
  progress.finish();
  return result;
}

/** Trains the networks and puts the probabilities of each into the map; returns whether that was interrupted. */
async function trainNetworks(
  run: ResolvedRun,
  given: Checkpoint | undefined,
  { out, existing }: ExecuteOptions,
  splits: Splits,
  reading: Reading & { readonly badImages: BadImages },
  file: RecordFile,
  probabilities: Map<NetworkName, Float32Array>,
  watch: RunWatch,
  context: Context,
): Promise<boolean> {
  const { seed, data: { labelSet }, checkpoint: { everySteps } } = run;
  const { badImages } = reading;
  const convention = conventionOf(run);
  using init = await openInitialWeights(run);
  let backbone = given;
  for (const network of networksOf(run)) {
    const { architecture: sizes, recipe } = run.models[network]!;
    const architecture: Architecture = { ...sizes, classes: splits.train.classNames.length };
    const path = checkpointPath(out, network);
    const resume = existing === "resume" ? await checkpointAt(path, network) : undefined;
    const options = frameOptions({ architecture, convention }, context, reading);
    const configuration = { architecture, recipe, convention, seed, labelSet, checkpointEvery: everySteps };
    const watcher = watch.network(network);
    const observer: TrainingObserver = {
      ...watcher,
      async onCheckpoint(epochs) {
        await file.updateNetwork(network, { checkpoint: path, epochs }, badImages.list());
        await watcher.onCheckpoint(epochs);
      },
    };
    const from = { resume, backbone: isTemporal(network) ? backbone : undefined, init };
    const result = await runTraining(configuration, splits, path, from, context, options, observer);
    if (result.interrupted) return true;
    const trained = await loadCheckpoint(path);
    const plain = result.validation?.probabilities ??
      await predictCheckpoint(trained, splits.validation, context, options);
    const values = run.evaluation.flip
      ? meanOf(
        plain,
        await predictCheckpoint(trained, splits.validation, context, { ...options, flip: true }),
      )
      : plain;
    // A column for each of thousands of people would be of no use.
    if (labelSet !== "identity") {
      await writePredictions(predictionsPath(out, network), splits.validation, values);
    }
    await file.updateNetwork(network, {
      checkpoint: path,
      epochs: result.history,
      weightsSha256: result.weightsSha256,
      predictionsSha256: hashValues(values),
      scores: scoresOf(values, splits),
      scoresWithoutFlip: run.evaluation.flip ? scoresOf(plain, splits) : null,
    }, badImages.list());
    probabilities.set(network, values);
    if (network === "cnn") backbone = trained;
  }
  return false;
}

function scoresOf(probabilities: Float32Array, { validation }: Splits): Scores {
  const { f1, accuracy, score } = scoreFrames(probabilities, validation);
  return { f1, accuracy, score };
}

function meanOf(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => (value + b[i]) / 2);
}
