/**
 * `deno task reproduce`: every row of the paper's Tables 1 and 2, over several seeds; interrupted, it goes on where it
 * stopped.
 *
 * @module
 */
import { synthesizeIdentities } from "../data/synthetic/mod.ts";
import { PAPER_TABLE_1, PAPER_TABLE_2 } from "../models/metrics.ts";
import { type Context, defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { ON_BAD_IMAGE_FLAG } from "./run/bad_image_flag.ts";
import { baselines } from "./run/evaluation.ts";
import { type Part, PARTS, summarize, TABLE_1, TABLE_2, tableLines } from "./reproduce/tables.ts";
import { decideExisting } from "./run/earlier.ts";
import { type Advice, drawFaces, executeRun } from "./run/execute.ts";
import { writeTextAtomic } from "./run/files.ts";
import { type DataFingerprint, fingerprintData } from "./run/fingerprint.ts";
import { withInitialWeights } from "./run/init.ts";
import type { RunRecord, Scores } from "./run/record.ts";
import { type ResolvedRun, resolveRun } from "./run/run_file.ts";
import { openSplits } from "./run/session.ts";
import { sourceFacts } from "./run/report/facts.ts";
import { renderTablesReport, type TablesFile } from "./run/report/tables_report.ts";
import { TENSORBOARD_FLAG, tensorboardFolder } from "./run/tensorboard_flag.ts";

const command = defineCommand({
  task: "reproduce",
  summary: "Runs every row of the paper's Tables 1 and 2 and prints them beside the paper's.",
  flags: {
    preset: {
      type: "string",
      choices: ["tiny", "paper"],
      default: "tiny",
      description: "tiny: width 16, 48 pixels, minutes; paper: width 64, 224 pixels, days on one GPU",
    },
    data: {
      type: "string",
      placeholder: "DIR",
      description: "Aff-Wild2 (default: synthetic faces are drawn)",
    },
    onBadImage: ON_BAD_IMAGE_FLAG,
    people: { type: "string", placeholder: "DIR", description: "VGGFace2, for pretraining (default: drawn)" },
    init: { type: "string", placeholder: "FILE", description: "VGGFace2 weights, instead of pretraining" },
    seeds: {
      type: "string",
      placeholder: "1,2,3",
      default: "1,2,3",
      description: "one whole set of runs each",
    },
    epochs: { type: "integer", min: 1, description: "of each network, instead of the preset's" },
    tracks: {
      type: "integer",
      min: 6,
      description: "synthetic people, a quarter for validation (default 240)",
    },
    frames: { type: "integer", min: 9, description: "frames of each synthetic track (default 48)" },
    identities: { type: "integer", min: 2, description: "synthetic people for pretraining (default 100)" },
    set: {
      type: "list",
      placeholder: "KEY=VALUE",
      description: "changes a key of every run, e.g. recipe.lr=1e-3",
    },
    overwrite: { type: "boolean", description: "replace finished runs of other settings or data in --out" },
    tensorboard: TENSORBOARD_FLAG,
    out: {
      type: "string",
      placeholder: "DIR",
      default: "out/reproduce",
      description: "data, runs and tables",
    },
  },
  examples: ["deno task reproduce", "deno task reproduce --preset paper --data Aff-Wild2 --people VGGFace2"],
});

type ReproduceOptions = Options<typeof command.flags>;

const ADVICE: Advice = {
  divergence: "expected a smaller --set recipe.lr=... and --overwrite",
  badImage: "make it good, or leave such frames out with --on-bad-image=skip, and run this again",
};

/** Refuses flags that would be of no effect. */
function requireEffect(options: ReproduceOptions): void {
  const { data, people, init, tracks, frames, identities } = options;
  const idle = [
    [tracks, "--tracks", data, "--data"],
    [frames, "--frames", data, "--data"],
    [people, "--people", init, "--init"],
    [identities, "--identities", people, "--people"],
    [identities, "--identities", init, "--init"],
  ].find(([flag, , other]) => flag !== undefined && other !== undefined);
  if (idle === undefined) return;
  throw new UserError(
    `Cannot run reproduce: ${idle[1]} is of no effect with ${idle[3]}; expected one of them`,
  );
}

function seedsOf({ seeds }: ReproduceOptions): number[] {
  const numbers = seeds.split(",").map((text) => Number(text.trim() || NaN));
  if (numbers.some((seed) => !Number.isSafeInteger(seed) || seed < 0)) {
    throw new UserError(
      `Cannot run reproduce: --seeds is ${JSON.stringify(seeds)}; expected numbers, e.g. 1,2,3`,
    );
  }
  return [...new Set(numbers)];
}

/** The run of a part. */
function runOf(part: Part, seed: number, options: ReproduceOptions): ResolvedRun {
  const { out, preset, data, people, epochs, tracks = 240, frames = 48 } = options;
  const labelSet = part === "pretrain"
    ? "identity"
    : part.startsWith("units")
    ? "action_units"
    : "expression";
  const synthetic = data === undefined ? { synthetic: { tracks, frames, balanced: true } } : {};
  const own = part === "pretrain"
    ? { root: people ?? `${out}/people`, labelSet }
    : { root: data ?? `${out}/data`, labelSet, ...synthetic };
  const onBadImage = options.onBadImage ?? "error";
  const networks = part === "pretrained"
    ? ["cnn", "rnn", "transformer"]
    : part.endsWith("baseline")
    ? ["vgg"]
    : ["cnn"];
  const init = { file: options.init ?? `${out}/seed_${seed}/pretrain/cnn.safetensors`, newHead: true };
  const content = {
    name: part,
    seed,
    preset,
    data: { ...own, onBadImage },
    models: Object.fromEntries(networks.map((network) => [network, {}])),
    ...(part.endsWith("pretrained") ? { init } : {}),
    ...(epochs === undefined ? {} : { recipe: { epochs } }),
  };
  return resolveRun(content, `part ${part}`, options.set);
}

/** Where a part of a seed writes. */
function folderOf(part: Part, seed: number, { out }: ReproduceOptions): string {
  return `${out}/seed_${seed}/${part}`;
}

/** Runs a part, or takes the record of a finished one of the same run on the same data. */
async function ensureRun(
  part: Part,
  seed: number,
  options: ReproduceOptions,
  dataOf: DataReader,
  context: Context,
) {
  const out = folderOf(part, seed, options);
  const run = await withInitialWeights(runOf(part, seed, options));
  await drawFaces(run, silent(context));
  const { existing, record } = await decideExisting(out, run, {
    task: "reproduce",
    overwrite: options.overwrite,
    data: () => dataOf(run),
  });
  if (record?.status === "finished") {
    context.log(`seed ${seed}, ${part}: done before, ${out}/record.json`);
    return { record, interrupted: false };
  }
  context.log(`\nseed ${seed}, ${part}`);
  const tensorboard = tensorboardFolder(options, `seed_${seed}/${part}`);
  return await executeRun(run, { out, existing, tensorboard, advice: ADVICE }, context);
}

/** What a run that is done before would say of its data. */
function silent(context: Context): Context {
  return { ...context, log: () => {} };
}

type DataReader = (run: ResolvedRun) => Promise<DataFingerprint>;

/** Fingerprints each data folder once, whatever the number of seeds. */
function dataReader(context: Context): DataReader {
  const read = new Map<string, Promise<DataFingerprint>>();
  return ({ data: { root, labelSet, index } }) => {
    const key = `${labelSet} ${root}`;
    const known = read.get(key) ??
      openSplits(root, labelSet, ["train", "validation"], silent(context), { index }).then((splits) =>
        fingerprintData(Object.values(splits), false)
      );
    read.set(key, known);
    return known;
  };
}

/** Refuses, before hours of training, what would be refused after them; what the weights say is not known yet. */
async function refuseOtherRuns(seeds: readonly number[], parts: readonly Part[], options: ReproduceOptions) {
  for (const seed of seeds) {
    for (const part of parts) {
      await decideExisting(folderOf(part, seed, options), runOf(part, seed, options), {
        task: "reproduce",
        overwrite: options.overwrite,
        ignoring: /^init\.sha256$|^convention$|\.graph$/,
      });
    }
  }
}

async function drawPeople(
  { out, people, init, identities = 100 }: ReproduceOptions,
  context: Context,
): Promise<void> {
  if (people !== undefined || init !== undefined) return;
  const images = 20;
  const progress = context.progress("drawing people", identities * images);
  const onProgress = (done: number) => progress.update(done);
  // Another seed than the tracks': nobody is in both.
  await synthesizeIdentities({
    out: `${out}/people`,
    identities,
    images,
    seed: 1001,
    onProgress,
    signal: context.signal,
  });
  progress.finish();
}

await runTask(command, Deno.args, async (options, context) => {
  const { out, data } = options;
  const seeds = seedsOf(options);
  requireEffect(options);
  const parts = PARTS.filter((part) => part !== "pretrain" || options.init === undefined);
  context.log(JSON.stringify({ ...options, seeds, parts }));
  for (const part of parts) runOf(part, seeds[0], options); // a wrong --set is said at once
  if (options.dryRun) return { dryRun: true };
  await refuseOtherRuns(seeds, parts, options);
  await drawPeople(options, context);
  const dataOf = dataReader(context);
  const runs: Map<Part, RunRecord>[] = [];
  for (const seed of seeds) {
    const records = new Map<Part, RunRecord>();
    runs.push(records);
    for (const part of parts) {
      const { record, interrupted } = await ensureRun(part, seed, options, dataOf, context);
      if (interrupted) return { interrupted: true, out };
      records.set(part, record);
    }
  }
  const root = data ?? `${out}/data`;
  const { validation } = await openSplits(root, "expression", ["validation"], context);
  const { majority, uniform } = baselines(validation);
  const table1 = summarize(TABLE_1, runs, PAPER_TABLE_1);
  const table2 = summarize(TABLE_2, runs, PAPER_TABLE_2);
  const where = `${data ?? "synthetic faces"}, ${validation.tracks.length} validation tracks, seeds ${
    seeds.join(", ")
  }`;
  context.log(`\nTable 1, expressions; ours on ${where}; the paper's on Aff-Wild2's validation set`);
  tableLines(table1).forEach((line) => context.log(line));
  const fixed = ({ f1, accuracy, score }: Scores) =>
    [f1, accuracy, score].map((value) => value.toFixed(4)).join(", ");
  context.log(`majority class: F1, accuracy, score ${fixed(majority)}; uniform random: ${fixed(uniform)}`);
  context.log(`\nTable 2, action units; ours on the same faces`);
  tableLines(table2).forEach((line) => context.log(line));
  const [first] = runs[0].values();
  const result: TablesFile = {
    format: "fervid-tables",
    preset: options.preset,
    data: data ?? "synthetic",
    seeds,
    table_1: table1,
    table_2: table2,
    majority_score: majority.score,
    uniform_score: uniform.score,
    facts: sourceFacts(first),
    reports: seeds.flatMap((seed) => parts.map((part) => `seed_${seed}/${part}/report.html`)),
  };
  await writeTextAtomic(`${out}/tables.json`, JSON.stringify(result, null, 2));
  await writeTextAtomic(`${out}/report.html`, renderTablesReport(result));
  const { format: _, facts: __, reports: ___, ...summary } = result;
  return { ...summary, tables: `${out}/tables.json`, report: `${out}/report.html` };
});
