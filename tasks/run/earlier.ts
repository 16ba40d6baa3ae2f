/**
 * What lies in a run's output folder from before: the record and the checkpoints of a run that is gone on with, or
 * replaced.
 *
 * @module
 */
import type { BadImage } from "../../data/bad_images.ts";
import { NETWORK_NAMES, type NetworkName } from "../../models/networks.ts";
import { type Checkpoint, previousPath } from "./checkpoint.ts";
import { type Context, UserError } from "./cli.ts";
import { exists, isSameFile } from "./files.ts";
import { differingKeys, type Life, readRecord, type RunRecord } from "./record.ts";
import { networksOf, type ResolvedRun, toRunFile } from "./run_file.ts";
import { loadNetworkCheckpoint } from "./session.ts";

/** Keys of a run file that may change when a run is gone on with. */
const FREE_KEYS = /^(name|checkpoint|evaluation)\b|\.recipe\.|^data\.(onBadImage|index)$|^loader\b/;

/** Keys on which nothing that comes out depends, unless an image cannot be used. */
const NEUTRAL_KEYS = /^data\.(onBadImage|index)$|^loader\b/;

/** What to do where the output folder holds a run already: refuse, go on with it, or replace it. */
export type ExistingRun = "refuse" | "resume" | "overwrite";

/** What a run takes over from the one that it goes on with. */
export interface EarlierRun {
  readonly record: Pick<RunRecord, "startedAt" | "networks" | "changedKeys" | "data" | "earlierLives">;
  /** what computed last */
  readonly life: Life;
  /** images that stay out */
  readonly leftOut: readonly BadImage[];
}

/** Where a network's checkpoint lies. */
export function checkpointPath(out: string, network: NetworkName): string {
  return `${out}/${network}.safetensors`;
}

/** Where a network's probabilities of the validation frames lie. */
export function predictionsPath(out: string, network: NetworkName): string {
  return `${out}/${network}.predictions.csv`;
}

/**
 * The record of the run that is gone on with; undefined if the run begins anew.
 *
 * @throws {UserError} if the folder holds what this run may neither go on with nor replace
 */
export async function earlierRun(
  out: string,
  run: ResolvedRun,
  existing: ExistingRun,
  context: Context,
): Promise<EarlierRun | undefined> {
  const path = `${out}/record.json`;
  await keepStart(out, run);
  if (existing === "overwrite") return undefined;
  if (!await exists(path)) {
    await refuseCheckpoints(out, run, existing);
    return undefined;
  }
  const record = await readRecord(path);
  if (existing === "refuse") {
    throw new UserError(
      `Cannot start the run: ${path} is the record of a run (${record.status}, ${record.updatedAt}); ` +
        `expected --resume to go on with it, --overwrite to replace it, or another --out`,
    );
  }
  const differences = differencesOf(record, run);
  const fixed = differences.filter((key) => !FREE_KEYS.test(key));
  if (fixed.length > 0) {
    throw new UserError(
      `Cannot resume ${path}: ${fixed.join(", ")} changed since; expected the same run, but for its recipe`,
    );
  }
  refuseFewerEpochs(path, record, run);
  for (const key of differences) context.log(`resuming with another ${key}`);
  const { startedAt, networks, changedKeys, data, earlierLives, versions, adapter, variants } = record;
  const skipping = (record.run as Partial<ResolvedRun>).data?.onBadImage === "skip";
  return {
    record: {
      startedAt,
      networks,
      data,
      earlierLives,
      changedKeys: [...new Set([...changedKeys, ...differences])],
    },
    life: { versions, adapter, variants },
    leftOut: skipping ? record.badImages : [],
  };
}

/** How a task that goes on by itself decides about what lies in its folder. */
export interface Decision {
  /** named in errors */
  readonly task: string;
  /** whether a run of other settings may be replaced */
  readonly overwrite: boolean;
  /** the data as it is now */
  readonly data?: () => Promise<Pick<RunRecord["data"], "annotations" | "images">>;
  /** keys that are not known yet */
  readonly ignoring?: RegExp;
}

/**
 * What a task without --resume does with what lies in its folder: it goes on with the same run, and replaces one of its
 * own name that was not finished.
 *
 * @returns with the record of the same run, if there is one
 * @throws {UserError} if another run lies there and may not be replaced
 */
export async function decideExisting(
  out: string,
  run: ResolvedRun,
  { task, overwrite, data, ignoring }: Decision,
): Promise<{ existing: ExistingRun; record?: RunRecord }> {
  const path = `${out}/record.json`;
  if (!await exists(path)) return { existing: overwrite ? "overwrite" : "refuse" };
  const record = overwrite ? await readRecord(path).catch(() => undefined) : await readRecord(path);
  if (record === undefined) return { existing: "overwrite" };
  const changes = changedKeys(record, run).filter((key) => !ignoring?.test(key));
  if (changes.length === 0 && data !== undefined) {
    const now = await data();
    const changed = (["annotations", "images"] as const).filter((key) => now[key] !== record.data[key]);
    changes.push(...changed.map((key) => `the data's ${key}`));
  }
  if (changes.length === 0) {
    return { existing: record.status === "finished" ? "overwrite" : "resume", record };
  }
  const { name } = record.run as { name: string };
  if (overwrite || (record.status !== "finished" && name === run.name)) return { existing: "overwrite" };
  throw new UserError(
    `Cannot run ${task}: ${path} is the record of another run (${name}, ${record.status}): ${
      changes.join(", ")
    } differ; expected --overwrite to replace it, or another --out`,
  );
}

/** The keys of the run file in which a recorded run is another one. */
export function changedKeys(record: RunRecord, run: ResolvedRun): string[] {
  return differencesOf(record, run).filter((key) => !NEUTRAL_KEYS.test(key));
}

function differencesOf({ run: recorded }: RunRecord, run: ResolvedRun): string[] {
  const unknown = (recorded as Partial<ResolvedRun>).backboneSha256 === undefined; // in an older record
  return differingKeys(recorded, toRunFile(run)).filter((key) => !(unknown && key === "backboneSha256"));
}

/** The record would say less than what was trained. */
function refuseFewerEpochs(path: string, { networks }: RunRecord, run: ResolvedRun): void {
  for (const network of networksOf(run)) {
    const { epochs } = run.models[network]!.recipe;
    const done = networks[network]?.epochs.length ?? 0;
    if (done <= epochs) continue;
    throw new UserError(
      `Cannot resume ${path}: ${network} was trained for ${done} epochs but the recipe has ${epochs}; ` +
        `expected at least ${done}, or --overwrite`,
    );
  }
}

/** What computes now; what computed before is kept where it was something else, and said. */
export function withLives(
  now: Life,
  earlier: EarlierRun | undefined,
  context: Context,
): Life & Pick<RunRecord, "earlierLives"> {
  if (earlier === undefined) return now;
  const changed = differingKeys(earlier.life, now);
  if (changed.length === 0) return now;
  context.log(`resuming with another ${changed.join(", ")}: the record keeps both`);
  return { ...now, earlierLives: [...earlier.record.earlierLives ?? [], earlier.life] };
}

/** @throws {UserError} if the run would write over the weights that it begins with */
async function keepStart(out: string, run: ResolvedRun): Promise<void> {
  for (const start of startsOf(run)) {
    for (const network of networksOf(run)) {
      if (!await isSameFile(start, checkpointPath(out, network))) continue;
      throw new UserError(
        `Cannot start the run: it begins with ${start} and would write over it; expected another --out`,
      );
    }
  }
}

/** Checkpoints without a record say too little to go on from, and nobody asked to replace them. */
async function refuseCheckpoints(out: string, run: ResolvedRun, existing: ExistingRun): Promise<void> {
  for (const network of networksOf(run)) {
    const path = checkpointPath(out, network);
    if (!await exists(path)) continue;
    throw new UserError(
      `Cannot ${
        existing === "resume" ? "resume" : "start the run"
      }: ${path} is a checkpoint without a record.json beside it; expected --overwrite to replace it, or another --out`,
    );
  }
}

/** The files that a run begins with. */
function startsOf({ init, backbone }: ResolvedRun): string[] {
  return [init?.file, backbone].filter((path) => typeof path === "string");
}

/** Removes what an earlier run left, so that nothing of it can be taken for this one's. */
export async function clearOutputs(out: string, run: ResolvedRun): Promise<void> {
  for (const network of NETWORK_NAMES) {
    const checkpoint = checkpointPath(out, network);
    for (const path of [checkpoint, previousPath(checkpoint), predictionsPath(out, network)]) {
      const needed = await Promise.all(startsOf(run).map((start) => isSameFile(start, path)));
      if (!needed.includes(true) && await exists(path)) await Deno.remove(path);
    }
  }
}

/** @throws {UserError} if the run began with other data */
export function requireSameData(
  { record: earlier }: EarlierRun,
  data: RunRecord["data"],
  path: string,
): void {
  const changed = differingKeys(earlier.data, data);
  if (changed.length === 0) return;
  throw new UserError(
    `Cannot resume ${path}: the data's ${changed.join(", ")} changed since; expected the data it began with`,
  );
}

/** The checkpoint to go on from; undefined if the network was not begun. */
export async function checkpointAt(path: string, network: NetworkName): Promise<Checkpoint | undefined> {
  return await exists(path) ? await loadNetworkCheckpoint(path, [network]) : undefined;
}
