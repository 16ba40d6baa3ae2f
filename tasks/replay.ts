/**
 * `deno task replay RECORD`: runs a record's run again and says whether the same came out.
 *
 * @module
 */
import { defineCommand, runTask, UserError } from "./run/cli.ts";
import { type Advice, executeRun } from "./run/execute.ts";
import { differingKeys, readRecord } from "./run/record.ts";
import {
  computedElsewhere,
  firstDifference,
  LOSS_TOLERANCE,
  requireReplayedData,
  requireReplayFolder,
  SCORE_TOLERANCE,
} from "./run/replayed.ts";
import { networksOf, resolveRun } from "./run/run_file.ts";

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

/** A replay changes nothing of the run. */
const ADVICE: Advice = {
  divergence: "that run's loss was finite",
  badImage: "make it as it was in that run, and replay it again",
};

await runTask(command, Deno.args, async (options, context) => {
  const [path] = options.arguments;
  const record = await readRecord(path);
  if (record.status !== "finished") {
    throw new UserError(`Cannot replay ${path}: that run is ${record.status}; expected a finished one`);
  }
  const run = resolveRun(record.run, path);
  const out = options.out ?? `out/${run.name}-replay`;
  context.log(JSON.stringify({ out, run: record.run }, null, 2));
  const existing = await requireReplayFolder(out, path, record, run);
  if (options.dryRun) return { dryRun: true };
  if (record.changedKeys.length > 0) {
    context.log(
      `that run was resumed with another ${
        record.changedKeys.join(", ")
      }; the replay uses the last values throughout`,
    );
  }
  const result = await executeRun(run, { out, existing, advice: ADVICE }, context);
  if (result.interrupted) return { record: path, interrupted: true };
  const again = result.record;
  requireReplayedData(path, record, again);
  for (const key of differingKeys(record.versions, again.versions)) context.log(`another version: ${key}`);
  const exact = record.adapter.description === again.adapter.description &&
    record.variants === again.variants && !computedElsewhere(record);
  const tolerance = `scores within ${SCORE_TOLERANCE}, losses within ${100 * LOSS_TOLERANCE} %`;
  context.log(
    exact
      ? "same adapter and kernel variants: identical means bit for bit"
      : `another adapter (also of a part of that run) or other kernel variants (${record.adapter.description}): identical means ${tolerance}`,
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
