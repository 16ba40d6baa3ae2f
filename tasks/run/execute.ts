/**
 * Runs a run file from data to record: every network trained, scored on the validation split, joined to the ensemble.
 *
 * @module
 */
import { type BadImage, BadImages } from "../../data/bad_images.ts";
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
import type { Reading } from "./frames.ts";
import { openInitialWeights, withInitialWeights } from "./init.ts";
import { scoreFrames } from "./inference.ts";
import { writePredictions } from "./predictions.ts";
import {
  differingKeys,
  readRecord,
  readVersions,
  RecordFile,
  type RunRecord,
  type Scores,
} from "./record.ts";
import { refine } from "./refine.ts";
import { conventionOf, networksOf, type ResolvedRun, toRunFile } from "./run_file.ts";
import { frameOptions, loadNetworkCheckpoint, openSplits, requireWritable, runTraining } from "./session.ts";
import type { Splits } from "./training.ts";
import type { TrainingObserver } from "./trainer.ts";
import { RunWatch } from "./watch.ts";

/** Keys of a run file that may change when a run is gone on with. */
const FREE_KEYS = /^(name|checkpoint|evaluation)\b|\.recipe\.|^data\.(onBadImage|index)$|^loader\b/;

/** What to do where the output folder holds a run already: refuse, go on with it, or replace it. */
export type ExistingRun = "refuse" | "resume" | "overwrite";

/** Where a run writes, and over what. */
export interface ExecuteOptions {
  readonly out: string;
  readonly existing: ExistingRun;
  /** a folder for TensorBoard's event files, each network's in a folder of it */
  readonly tensorboard?: string;
}

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
  { out, existing, tensorboard }: ExecuteOptions,
  context: Context,
): Promise<ExecuteResult> {
  const recordPath = `${out}/record.json`;
  const run = await withInitialWeights(given);
  await requireWritable(recordPath);
  const earlier = await earlierRun(recordPath, run, existing, context);
  const adapter = await startDevice(context);
  const variants = await applyChoices(run.tuning.variants ?? undefined, adapter, context);
  await drawFaces(run, context);
  const badImages = new BadImages(run.data.onBadImage, earlier?.leftOut);
  const { root, labelSet, index } = run.data;
  const splits = await openSplits(root, labelSet, ["train", "validation"], context, { index, badImages });
  const data = await fingerprint(run, splits, badImages, context);
  if (earlier !== undefined) requireSameData(earlier, data, recordPath);
  const file = new RecordFile(recordPath, {
    run: toRunFile(run),
    versions: await readVersions(),
    adapter,
    variants,
    ...earlier?.record,
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
    });
    await watch.report(probabilities);
    if (!(error instanceof ImageError)) throw error;
    throw new UserError(
      `${error.message}; make it good, or leave such frames out with --on-bad-image=skip, and go on with --resume`,
    );
  }
}

/** What a run takes over from the one that it goes on with. */
interface EarlierRun {
  readonly record: Pick<RunRecord, "startedAt" | "networks" | "changedKeys" | "data">;
  /** images that stay out */
  readonly leftOut: readonly BadImage[];
}

/** The record of the run that is gone on with. */
async function earlierRun(
  path: string,
  run: ResolvedRun,
  existing: ExistingRun,
  context: Context,
): Promise<EarlierRun | undefined> {
  try {
    await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  if (existing === "overwrite") return undefined;
  const record = await readRecord(path);
  if (existing === "refuse") {
    throw new UserError(
      `Cannot start the run: ${path} is the record of a run (${record.status}, ${record.updatedAt}); ` +
        `expected --resume to go on with it, --overwrite to replace it, or another --out`,
    );
  }
  const differences = differingKeys(record.run, toRunFile(run));
  const fixed = differences.filter((key) => !FREE_KEYS.test(key));
  if (fixed.length > 0) {
    throw new UserError(
      `Cannot resume ${path}: ${fixed.join(", ")} changed since; expected the same run, but for its recipe`,
    );
  }
  for (const key of differences) context.log(`resuming with another ${key}`);
  const { startedAt, networks, changedKeys, data } = record;
  const skipping = (record.run as Partial<ResolvedRun>).data?.onBadImage === "skip";
  return {
    record: { startedAt, networks, data, changedKeys: [...new Set([...changedKeys, ...differences])] },
    leftOut: skipping ? record.badImages : [],
  };
}

function requireSameData({ record: earlier }: EarlierRun, data: RunRecord["data"], path: string): void {
  const changed = differingKeys(earlier.data, data);
  if (changed.length === 0) return;
  throw new UserError(
    `Cannot resume ${path}: the data's ${changed.join(", ")} changed since; expected the data it began with`,
  );
}

async function drawFaces(run: ResolvedRun, context: Context): Promise<void> {
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
  let backbone = run.backbone === null ? undefined : await loadNetworkCheckpoint(run.backbone, ["cnn"]);
  for (const network of networksOf(run)) {
    const { architecture: sizes, recipe } = run.models[network]!;
    const architecture: Architecture = { ...sizes, classes: splits.train.classNames.length };
    const path = `${out}/${network}.safetensors`;
    const resume = existing === "resume" ? await checkpointAt(path, network) : undefined;
    if (isTemporal(network) && backbone === undefined && init === undefined && resume === undefined) {
      throw new UserError(
        `Cannot train ${network}: it has no backbone; expected --backbone FILE, a trained cnn's checkpoint, or --init FILE`,
      );
    }
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
    const start = { resume, backbone, init };
    const result = await runTraining(configuration, splits, path, start, context, options, observer);
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
      await writePredictions(`${out}/${network}.predictions.csv`, splits.validation, values);
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

/** The checkpoint to go on from; undefined if the network was not begun. */
async function checkpointAt(path: string, network: NetworkName): Promise<Checkpoint | undefined> {
  try {
    await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return await loadNetworkCheckpoint(path, [network]);
}
