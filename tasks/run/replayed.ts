/**
 * Whether a run came out as the one that it replays.
 *
 * @module
 */
import type { NetworkName } from "../../models/networks.ts";
import { UserError } from "./cli.ts";
import { changedKeys, type ExistingRun } from "./earlier.ts";
import { isSameFile } from "./files.ts";
import { differingKeys, readRecord, type RunRecord } from "./record.ts";
import type { ResolvedRun } from "./run_file.ts";

/** How far scores (absolute) and losses (relative) may be apart on another adapter, where sums round differently. */
export const SCORE_TOLERANCE = 0.03;
/** Of the loss, as a share of it. */
export const LOSS_TOLERANCE = 0.05;

/** Whether a part of the run was computed on another adapter, or by other kernel variants, than its end. */
export function computedElsewhere({ earlierLives = [], adapter, variants }: RunRecord): boolean {
  return earlierLives.some((life) =>
    life.adapter.description !== adapter.description || life.variants !== variants
  );
}

/** The first difference between two runs of a network, in words; undefined if there is none. */
export function firstDifference(
  network: NetworkName,
  a: RunRecord,
  b: RunRecord,
  exact: boolean,
): string | undefined {
  const first = a.networks[network]!;
  const second = b.networks[network]!;
  const count = Math.max(first.epochs.length, second.epochs.length);
  for (let i = 0; i < count; i++) {
    const [x, y] = [first.epochs[i], second.epochs[i]];
    if (x === undefined || y === undefined) {
      return `${network} has ${first.epochs.length} epochs in the record and ${second.epochs.length} here`;
    }
    for (const key of ["trainLoss", "validationF1", "validationAccuracy", "validationScore"] as const) {
      const tolerance = exact ? 0 : key === "trainLoss" ? LOSS_TOLERANCE * Math.abs(x[key]) : SCORE_TOLERANCE;
      if (!(Math.abs(x[key] - y[key]) <= tolerance)) {
        return `${network} epoch ${i + 1}: ${key} was ${x[key]} and is ${y[key]}`;
      }
    }
  }
  if (!exact) return undefined;
  for (const key of ["weightsSha256", "predictionsSha256"] as const) {
    if (first[key] !== second[key]) return `${network}: ${key} was ${first[key]} and is ${second[key]}`;
  }
  return undefined;
}

/**
 * What a replay may do with what lies in its folder.
 *
 * @throws {UserError} if the folder holds the record that is replayed, or another run than a replay of it
 */
export async function requireReplayFolder(
  out: string,
  path: string,
  record: RunRecord,
  run: ResolvedRun,
): Promise<ExistingRun> {
  const there = `${out}/record.json`;
  const refuse = (why: string) =>
    new UserError(`Cannot replay ${path} into ${out}: ${why}; expected another --out`);
  if (await isSameFile(there, path)) throw refuse("that is the run itself");
  if (!await Deno.stat(there).then(() => true, () => false)) return "refuse";
  const found = await readRecord(there);
  if (found.startedAt === record.startedAt) throw refuse("that is the run itself");
  if (changedKeys(found, run).length > 0) throw refuse("there is the record of another run");
  return "overwrite";
}

/** @throws {UserError} if the replay read other data */
export function requireReplayedData(path: string, record: RunRecord, again: RunRecord): void {
  const changed = differingKeys(record.data, again.data);
  if (changed.length === 0) return;
  throw new UserError(
    `Cannot compare with ${path}: the data's ${changed.join(", ")} changed since that run`,
  );
}
