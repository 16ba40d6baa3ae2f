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
import { executeRun } from "./run/execute.ts";
import { writeTextAtomic } from "./run/files.ts";
import { differingKeys, readRecord, type RunRecord, type Scores } from "./run/record.ts";
import { type ResolvedRun, resolveRun, toRunFile } from "./run/run_file.ts";
import { openSplits } from "./run/session.ts";
import { sourceFacts } from "./run/report/facts.ts";
import {
  renderTablesReport,
  type Spread,
  type TableRow,
  type TablesFile,
} from "./run/report/tables_report.ts";
import { textTable } from "./run/table.ts";
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
      default: 240,
      description: "synthetic people, a quarter for validation",
    },
    frames: { type: "integer", min: 9, default: 48, description: "frames of each synthetic track" },
    identities: { type: "integer", min: 2, default: 100, description: "synthetic people for pretraining" },
    set: {
      type: "list",
      placeholder: "KEY=VALUE",
      description: "changes a key of every run, e.g. recipe.lr=1e-3",
    },
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

/** The parts of a seed's runs, in order; `pretrain` is left out where weights are given. */
const PARTS = [
  "pretrain",
  "baseline",
  "scratch",
  "pretrained",
  "units_baseline",
  "units_pretrained",
] as const;
type Part = typeof PARTS[number];

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
  const { out, preset, data, people, epochs, tracks, frames } = options;
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

/** Runs a part, or takes the record of a finished one. */
async function ensureRun(part: Part, seed: number, options: ReproduceOptions, context: Context) {
  const out = `${options.out}/seed_${seed}/${part}`;
  const run = runOf(part, seed, options);
  const earlier = await recordAt(`${out}/record.json`);
  if (earlier?.status === "finished" && sameRun(earlier, run)) {
    context.log(`seed ${seed}, ${part}: done before, ${out}/record.json`);
    return { record: earlier, interrupted: false };
  }
  context.log(`\nseed ${seed}, ${part}`);
  const existing = earlier !== undefined && sameRun(earlier, run) ? "resume" : "overwrite";
  const tensorboard = tensorboardFolder(options, `seed_${seed}/${part}`);
  return await executeRun(run, { out, existing, tensorboard }, context);
}

/** The hash of the initial weights is filled in by the run. */
function sameRun(record: RunRecord, run: ResolvedRun): boolean {
  return differingKeys(record.run, toRunFile(run)).every((key) =>
    /^init\.sha256$|^convention$|\.graph$|^data\.(onBadImage|index)$|^loader\b/.test(key)
  );
}

async function recordAt(path: string): Promise<RunRecord | undefined> {
  try {
    await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return await readRecord(path);
}

/** A row of a table from the records of one seed. */
type RowSource = readonly [
  name: string,
  paper: string,
  of: (records: ReadonlyMap<Part, RunRecord>) => Scores | undefined,
];

function ensembleRow(name: string): RowSource {
  return [name, name, (records) => records.get("pretrained")?.ensemble.find((row) => row.name === name)];
}

function refinementRow(suffix: string, title: string): RowSource {
  return [
    title,
    "",
    (records) =>
      records.get("pretrained")?.refinement?.effects.find(({ name }) => name === `ensemble${suffix}`),
  ];
}

const TABLE_1: readonly RowSource[] = [
  [
    "VGG-Face topology (baseline)",
    "VGG-Face (baseline)",
    (r) => r.get("baseline")?.networks.vgg?.scores ?? undefined,
  ],
  ["ResNet50", "ResNet50", (r) => r.get("scratch")?.networks.cnn?.scores ?? undefined],
  [
    "ResNet50 + face pretraining",
    "ResNet50 + VGGFace2",
    (r) => r.get("pretrained")?.networks.cnn?.scores ?? undefined,
  ],
  ["CNN-RNN by itself", "", (r) => r.get("pretrained")?.networks.rnn?.scores ?? undefined],
  ["CNN-Transformer by itself", "", (r) => r.get("pretrained")?.networks.transformer?.scores ?? undefined],
  ensembleRow("CNN+CNN-RNN"),
  ensembleRow("CNN+CNN-Transformer"),
  ensembleRow("CNN+CNN-RNN+CNN-Transformer"),
  refinementRow(" + smoothing", "all three + smoothing"),
];

const TABLE_2: readonly RowSource[] = [
  [
    "VGG-Face topology (baseline)",
    "VGG-Face (baseline)",
    (r) => r.get("units_baseline")?.networks.vgg?.scores ?? undefined,
  ],
  [
    "ResNet50 + face pretraining",
    "ResNet50 + VGGFace2",
    (r) => r.get("units_pretrained")?.networks.cnn?.scores ?? undefined,
  ],
  [
    "ResNet50 + face pretraining + thresholds",
    "",
    (r) => r.get("units_pretrained")?.refinement?.effects.find(({ name }) => name.endsWith("thresholds")),
  ],
];

function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, deviation: Math.sqrt(squares / Math.max(1, values.length - 1)) };
}

function summarize(
  sources: readonly RowSource[],
  runs: readonly ReadonlyMap<Part, RunRecord>[],
  published: readonly (Scores & { name: string })[],
): TableRow[] {
  return sources.flatMap(([name, paper, of]) => {
    const scores = runs.map(of).filter((value) => value !== undefined);
    if (scores.length === 0) return [];
    const spread = (key: keyof Scores) => spreadOf(scores.map((value) => value[key]));
    const theirs = published.find((row) => row.name === paper);
    return [{
      name,
      seeds: scores.length,
      f1: spread("f1"),
      accuracy: spread("accuracy"),
      score: spread("score"),
      paper: theirs ? { f1: theirs.f1, accuracy: theirs.accuracy, score: theirs.score } : null,
    }];
  });
}

function tableLines(rows: readonly TableRow[]): string[] {
  const ours = ({ mean, deviation }: Spread) => `${mean.toFixed(4)} ±${deviation.toFixed(4)}`;
  const theirs = (value: number | undefined) => value === undefined ? "-" : value.toFixed(4);
  return textTable(
    ["model", "F1", "accuracy", "score", "paper F1", "paper accuracy", "paper score"],
    rows.map(({ name, f1, accuracy, score, paper }) => [
      name,
      ours(f1),
      ours(accuracy),
      ours(score),
      theirs(paper?.f1),
      theirs(paper?.accuracy),
      theirs(paper?.score),
    ]),
  );
}

async function drawPeople(
  { out, people, init, identities }: ReproduceOptions,
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
  const parts = PARTS.filter((part) => part !== "pretrain" || options.init === undefined);
  context.log(JSON.stringify({ ...options, seeds, parts }));
  for (const part of parts) runOf(part, seeds[0], options); // a wrong --set is said at once
  if (options.dryRun) return { dryRun: true };
  await drawPeople(options, context);
  const runs: Map<Part, RunRecord>[] = [];
  for (const seed of seeds) {
    const records = new Map<Part, RunRecord>();
    runs.push(records);
    for (const part of parts) {
      const { record, interrupted } = await ensureRun(part, seed, options, context);
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
