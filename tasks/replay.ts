/**
 * `deno task replay RECORD`: runs a record's run again and says whether the same came out.
 *
 * @module
 */
import type { NetworkName } from "../models/networks.ts";
import { defineCommand, runTask, UserError } from "./run/cli.ts";
import { executeRun } from "./run/execute.ts";
import { differingKeys, readRecord, type RunRecord } from "./run/record.ts";
import { networksOf, resolveRun } from "./run/run_file.ts";

/** How far scores (absolute) and losses (relative) may be apart on another adapter, where sums round differently. */
const SCORE_TOLERANCE = 0.03;
const LOSS_TOLERANCE = 0.05;

const command = defineCommand({
  task: "replay",
  summary: "Runs a record's run again and reports: identical, or the first difference.",
  positionals: [{ name: "record", description: "a run's record.json", required: true }],
  flags: {
    out: {
      type: "string",
      placeholder: "DIR",
      description: "where the second run writes (default out/<name>-replay)",
    },
  },
  examples: ["deno task replay out/demo/record.json"],
});

/** The first difference between two runs of a network, in words; undefined if there is none. */
function firstDifference(
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

await runTask(command, Deno.args, async (options, context) => {
  const [path] = options.arguments;
  const record = await readRecord(path);
  if (record.status !== "finished") {
    throw new UserError(`Cannot replay ${path}: that run is ${record.status}; expected a finished one`);
  }
  const run = resolveRun(record.run, path);
  const out = options.out ?? `out/${run.name}-replay`;
  context.log(JSON.stringify({ out, run: record.run }, null, 2));
  if (options.dryRun) return { dryRun: true };
  if (record.changedKeys.length > 0) {
    context.log(
      `that run was resumed with another ${
        record.changedKeys.join(", ")
      }; the replay uses the last values throughout`,
    );
  }
  const result = await executeRun(run, { out, existing: "overwrite" }, context);
  if (result.interrupted) return { record: path, interrupted: true };
  const again = result.record;
  const changed = differingKeys(record.data, again.data);
  if (changed.length > 0) {
    throw new UserError(
      `Cannot compare with ${path}: the data's ${changed.join(", ")} changed since that run`,
    );
  }
  for (const key of differingKeys(record.versions, again.versions)) context.log(`another version: ${key}`);
  const exact = record.adapter.description === again.adapter.description &&
    record.variants === again.variants;
  const tolerance = `scores within ${SCORE_TOLERANCE}, losses within ${100 * LOSS_TOLERANCE} %`;
  context.log(
    exact
      ? "same adapter and kernel variants: identical means bit for bit"
      : `another adapter or other kernel variants (${record.adapter.description}): identical means ${tolerance}`,
  );
  if (differingKeys(record.badImages, again.badImages).length > 0) {
    context.log(
      `images that could not be used: ${record.badImages.length} in that run, ${again.badImages.length} now`,
    );
  }
  const difference = networksOf(run).map((network) => firstDifference(network, record, again, exact))
    .find((text) => text !== undefined);
  context.log(difference === undefined ? "identical" : `different: ${difference}`);
  return {
    record: path,
    replay: result.recordPath,
    adapter: again.adapter.description,
    exact,
    identical: difference === undefined,
    difference: difference ?? null,
  };
});
