/**
 * `deno task prepare`: checks a folder in Aff-Wild2's layout and writes the index that later runs open instead of
 * reading it again.
 *
 * @module
 */
import { DatasetIndex, INDEX_NAME } from "../data/aff_wild2/mod.ts";
import { findLayout } from "../data/aff_wild2/layout.ts";
import { type IndexContent, readIndex, writeIndex } from "../data/aff_wild2/index_file.ts";
import { type Preparation, prepareIndex } from "../data/aff_wild2/prepare.ts";
import { type Context, defineCommand, runTask, UserError } from "./run/cli.ts";
import { requireWritable } from "./run/files.ts";
import { leakLines, leaksOf, readSets, setLines, summaryOf, unreadableLines } from "./run/preparation.ts";

const command = defineCommand({
  task: "prepare",
  summary:
    "Checks a folder in Aff-Wild2's layout, decodes every crop once, and writes an index that later runs open at once.",
  flags: {
    data: { type: "string", placeholder: "DIR", required: true, description: "the data's root folder" },
    index: {
      type: "string",
      placeholder: "FILE",
      description:
        `where the index goes (default DIR/${INDEX_NAME}); elsewhere, runs want --set data.index=FILE`,
    },
    fresh: { type: "boolean", description: "do everything anew, whatever an earlier index says" },
  },
  examples: [
    "deno task prepare --data Aff-Wild2",
    "deno task prepare --data /read-only/Aff-Wild2 --index aff_wild2.index",
  ],
});

/** The earlier index; undefined if there is none, or none that can be used. */
async function earlierIndex(path: string, context: Context): Promise<IndexContent | undefined> {
  try {
    return await readIndex(path, { images: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) {
      context.log(`${(error as Error).message}; everything is done anew`);
    }
    return undefined;
  }
}

async function prepare(
  root: string,
  previous: IndexContent | undefined,
  context: Context,
): Promise<Preparation> {
  type Bar = ReturnType<Context["progress"]>;
  let listing: Bar | undefined;
  let decoding: Bar | undefined;
  const { signal } = context;
  const preparation = await prepareIndex(root, {
    previous,
    signal,
    onFolder(done, total) {
      listing ??= context.progress("crop folders", total);
      listing.update(done);
    },
    onImage(done, total) {
      decoding ??= context.progress("decoding crops", total);
      decoding.update(done);
    },
  });
  listing?.finish();
  decoding?.finish();
  return preparation;
}

await runTask(command, Deno.args, async (options, context) => {
  const { data, fresh, dryRun } = options;
  const index = options.index ?? `${data.replace(/(?<=.)\/+$/, "")}/${INDEX_NAME}`;
  context.log(JSON.stringify({ data, index, fresh }));
  if (dryRun) return { dryRun: true };
  await findLayout(data); // a folder that holds no data is told before anything is written into it
  await requireWritable(index).catch((error) => {
    throw new UserError(`${error.message}; --index FILE puts the index elsewhere`);
  });
  const startedAt = performance.now();
  const previous = fresh ? undefined : await earlierIndex(index, context);
  const preparation = await prepare(data, previous, context);
  await writeIndex(index, preparation.content);
  const { effort, problems, interrupted } = preparation;
  const opened = new DatasetIndex(index, preparation.root, preparation.content);
  const sets = await readSets(preparation, opened);
  setLines(sets).forEach((line) => context.log(line));
  const leaks = leaksOf(sets);
  leakLines(leaks).forEach((line) => context.log(line));
  unreadableLines(preparation).forEach((line) => context.log(line));
  const { size } = await Deno.stat(index);
  context.log(
    `index: ${index}, ${(size / 1e6).toFixed(1)} MB; ${effort.annotations} annotation files read, ` +
      `${effort.folders} folders listed, ${effort.decoded} of ${effort.crops} crops decoded`,
  );
  const failures = [...problems, ...sets.flatMap(({ problem }) => problem === undefined ? [] : [problem])];
  failures.forEach((problem) => context.log(`problem: ${problem}`));
  if (interrupted) {
    context.log("stopped before all crops were decoded; the same command goes on");
    return { data, index, interrupted: true };
  }
  if (failures.length > 0) {
    throw new UserError(
      `Cannot use ${data} as it is: ${failures.length} problems, listed above; expected none`,
    );
  }
  return {
    data,
    index,
    seconds: Math.round((performance.now() - startedAt) / 100) / 10,
    effort,
    ...summaryOf(preparation, sets, leaks),
  };
});
