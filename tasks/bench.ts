/**
 * `deno task bench`: our kernels and stock TensorFlow.js side by side, in one process on one device.
 *
 * @module
 */
import { register } from "../kernels/mod.ts";
import type { BenchCase } from "../kernels/runtime/bench.ts";
import { benchCase, type BenchResult } from "../kernels/runtime/bench_case.ts";
import type { AdapterRecord } from "../kernels/runtime/device.ts";
import { measurePeaks, type Peaks } from "../kernels/runtime/peak.ts";
import { BENCH_CASES } from "./bench/cases.ts";
import { changeText, compareCase, LEAST_CHANGE, missingFrom, tally } from "./bench/compare.ts";
import {
  type BenchContent,
  type BenchFile,
  fileHead,
  type FileResult,
  fileText,
  readOldBench,
  requireSameAdapter,
} from "./bench/file.ts";
import { applyChoices } from "./run/choices.ts";
import { type Context, defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { startDevice } from "./run/device.ts";
import { exists, isSameFile, requireWritable, writeTextAtomic } from "./run/files.ts";
import { parseOps } from "./run/ops_flag.ts";

/** Where the last run of each named adapter is kept; version control keeps the earlier ones. */
const HISTORY = "bench";

const OPS = [...new Set(BENCH_CASES.map(({ op }) => op))];

const command = defineCommand({
  task: "bench",
  summary: "Times our kernels and stock TensorFlow.js in turns, once both have been seen to agree.",
  flags: {
    ops: { type: "string", placeholder: "A,B", description: `of ${OPS.join(", ")}; all by default` },
    filter: { type: "string", placeholder: "TEXT", description: "only rows whose op and case contain TEXT" },
    large: {
      type: "boolean",
      description: "also the cases of the paper's size on a software adapter, where they take hours",
    },
    time: { type: "number", min: 0, default: 1, description: "seconds of measuring per case" },
    variants: {
      type: "string",
      placeholder: "FILE",
      description: "use the variants that deno task tune found, in place of the shipped defaults",
    },
    json: {
      type: "string",
      placeholder: "FILE",
      description: "also write adapter, peaks, results and samples, case by case as they are measured",
    },
    compare: {
      type: "string",
      placeholder: "FILE",
      description: "mark what is slower or faster than in this file of --json, beyond the noise of both",
    },
    otherAdapter: { type: "boolean", description: "compare with a file of another adapter" },
    failOnRegression: { type: "boolean", description: "exit code 1 if a case is slower than in --compare" },
    history: {
      type: "string",
      placeholder: "NAME",
      description:
        `compare with ${HISTORY}/NAME.json if it is there, and put this run, of all cases, in its place`,
    },
  },
  examples: [
    "deno task bench --ops conv2d_fwd,conv2d_bwd_filter",
    "deno task bench --filter resnet50 --json out/bench.json",
    "deno task bench --ops gru --compare bench/lavapipe.json --fail-on-regression",
    "deno task bench --history lavapipe",
  ],
});

type BenchOptions = Options<typeof command.flags>;

/** The cases that the flags select. */
function select(ops: string | undefined, filter: string | undefined): BenchCase[] {
  const wanted = parseOps("bench", ops, OPS);
  const cases = BENCH_CASES.filter(({ op, name }) =>
    wanted.includes(op) && (filter === undefined || `${op} ${name}`.includes(filter))
  );
  if (cases.length === 0) {
    throw new UserError(
      `Cannot run bench: no case of ${wanted.join(", ")} contains ${JSON.stringify(filter)}`,
    );
  }
  return cases;
}

/** Names of cases in a line at most. */
const MOST_MISSING = 8;

const TITLES = ["ours ms", "stock ms", "ratio", "rate", "% roofline", "dispatches"];
const WIDTH = 13;
const CHANGE_WIDTH = 24;

/** A line of the table, op and case aligned left. */
function line(cases: readonly BenchCase[], op: string, name: string, cells: readonly string[]): string {
  const opWidth = Math.max(...cases.map((item) => item.op.length), 2);
  const nameWidth = Math.max(...cases.map((item) => item.name.length), 4);
  return `${op.padEnd(opWidth)}  ${name.padEnd(nameWidth)}${
    cells.map((cell) => cell.padStart(WIDTH + 1)).join("")
  }`;
}

function cells({ bytes }: BenchCase, result: BenchResult): string[] {
  const { ours_ms, stock_ms, ratio, gflops, percent_of_roofline, dispatches } = result;
  const bandwidth = bytes === undefined ? "-" : `${(bytes / ours_ms / 1e6).toPrecision(3)} GB/s`;
  return [
    ours_ms.toPrecision(3),
    stock_ms.toPrecision(3),
    `${ratio.toPrecision(3)}x`,
    gflops === null ? bandwidth : `${gflops.toPrecision(3)} GF/s`,
    percent_of_roofline === null ? "-" : percent_of_roofline.toFixed(1),
    `${dispatches.ours}/${dispatches.stock}`,
  ];
}

/** The geometric mean of each op's ratios. */
function meanRatios(results: readonly BenchResult[]): Record<string, number> {
  const byOp = Map.groupBy(results, ({ op }) => op);
  return Object.fromEntries([...byOp].map(([op, rows]) => {
    const logarithm = rows.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / rows.length;
    return [op, Number(Math.exp(logarithm).toPrecision(3))];
  }));
}

/** What the flags say of the run to compare with. */
interface Comparison {
  readonly file: string;
  readonly old: BenchContent;
}

/** Reads the run to compare with, if there is one; the flags must go together. */
async function comparison(
  { compare, history, json, ops, filter, failOnRegression, otherAdapter }: BenchOptions,
): Promise<Comparison | undefined> {
  const refuse = (why: string) => {
    throw new UserError(`Cannot run bench: ${why}`);
  };
  if (history !== undefined) {
    if (!/^[\w.-]+$/.test(history)) refuse(`--history is ${JSON.stringify(history)}; expected a file's name`);
    if (compare !== undefined) refuse("--compare goes without --history; expected one of them");
    if (ops !== undefined || filter !== undefined) {
      refuse("--history goes without --ops and --filter; expected all cases, or --compare");
    }
  }
  const file = compare ?? (history === undefined ? undefined : historyFile(history));
  if (file === undefined) {
    if (failOnRegression) refuse("--fail-on-regression is without --compare; expected --compare FILE");
    if (otherAdapter) refuse("--other-adapter is without --compare; expected --compare FILE");
    return undefined;
  }
  if (json !== undefined && await isSameFile(json, file)) {
    refuse(`--json is the file to compare with, ${file}; expected another`);
  }
  const first = compare === undefined && !await exists(file);
  return first ? undefined : { file, old: await readOldBench(file) };
}

const historyFile = (name: string) => `${HISTORY}/${name}.json`;

/** Measures the cases, prints a line of each, and calls back when there is one more. */
async function measure(
  cases: readonly BenchCase[],
  { time, old, peaks, context }: {
    time: number;
    old: BenchContent | undefined;
    peaks: Peaks;
    context: Context;
  },
  keep: (results: readonly FileResult[]) => Promise<void>,
): Promise<FileResult[]> {
  const since = (text: string) => old === undefined ? "" : text.padStart(CHANGE_WIDTH + 1);
  context.log(line(cases, "op", "case", TITLES) + since("since"));
  const results: FileResult[] = [];
  const budget = { time: 1000 * time, minRounds: 5, maxRounds: 100, signal: context.signal };
  for (const item of cases) {
    context.signal.throwIfAborted();
    const measured = await benchCase(item, peaks, budget);
    const change = old && compareCase(measured, old);
    const result = change === undefined ? measured : { ...measured, change };
    results.push(result);
    context.log(line(cases, item.op, item.name, cells(item, result)) + since(changeText(change)));
    await keep(results);
  }
  return results;
}

/** What changed, in lines; the numbers for the last line. `all`: no case was left out by a flag. */
function compareAll(
  results: readonly FileResult[],
  { file, old }: Comparison,
  all: boolean,
  context: Context,
) {
  const { regression, gain, same, new: added } = tally(results.map(({ change }) => change));
  context.log(
    `since ${file}${
      old.date === undefined ? "" : ` of ${old.date}`
    }: ${regression} slower, ${gain} faster, ` +
      `${same} the same, ${added} new. Compared is ours's time in units of stock's of the same round; a change counts ` +
      `beyond ${
        100 * LEAST_CHANGE
      } % and beyond twice the spread of both runs' rounds, if ours's own milliseconds moved that way too`,
  );
  const missing = all ? missingFrom(results, old) : [];
  if (missing.length > 0) {
    const listed = missing.slice(0, MOST_MISSING).map(({ op, case: name }) => `${op} ${name}`).join("; ");
    const more = missing.length > MOST_MISSING ? `; and ${missing.length - MOST_MISSING} more` : "";
    context.log(`not measured any more, of the cases in ${file}: ${listed}${more}`);
  }
  for (const { op, case: name, change } of results) {
    if (change?.verdict !== "regression") continue;
    context.log(`SLOWER: ${op} ${name}: ${changeText(change)}`);
  }
  return {
    compared_with: file,
    regressions: regression,
    gains: gain,
    same,
    new: added,
    missing: missing.length,
  };
}

/** Says what makes two runs differ beside our code. */
function warnOfVersions({ file, old }: Comparison, { versions }: Omit<BenchFile, "results">): void {
  for (const name of ["deno", "tfjs"] as const) {
    const [was, is] = [old.versions?.[name] ?? "not known", versions?.[name]];
    if (was !== is) console.error(`warning: ${name} was ${was} in ${file} and is ${is}`);
  }
}

async function startBench(variants: string | undefined, context: Context): Promise<[AdapterRecord, Peaks]> {
  const adapter = await startDevice(context);
  await applyChoices(variants, adapter, context);
  register();
  const peaks = await measurePeaks();
  context.log(`peak ${peaks.gflops.toFixed(1)} GFLOP/s, copy bandwidth ${peaks.bandwidth.toFixed(1)} GB/s`);
  return [adapter, peaks];
}

await runTask(command, Deno.args, async (options, context) => {
  const { ops, filter, large, time, variants, json, compare, history, dryRun } = options;
  const selected = select(ops, filter);
  const shown = { variants, ops, filter, large, time, json, compare, history };
  context.log(JSON.stringify(
    Object.fromEntries(Object.entries(shown).map(([name, value]) => [name, value ?? null])),
  ));
  const against = await comparison(options);
  if (dryRun) return { dryRun: true };
  for (const path of [json, history && historyFile(history)]) if (path) await requireWritable(path);
  const [adapter, peaks] = await startBench(variants, context);
  const cases = selected.filter((item) => !item.large || large || !adapter.software);
  if (cases.length === 0) throw new UserError("Cannot run bench: all these cases are --large ones");
  if (against && !options.otherAdapter) requireSameAdapter(against.file, against.old, adapter);
  const head = {
    ...fileHead(adapter, peaks),
    ...(against && { compared_with: { file: against.file, date: against.old.date ?? null } }),
  };
  if (against) warnOfVersions(against, head);
  const text = (results: readonly FileResult[]) =>
    fileText({ ...head, finished: results.length === cases.length, results });
  const keep = async (results: readonly FileResult[]) => {
    if (json !== undefined) await writeTextAtomic(json, text(results));
  };
  const results = await measure(cases, { time, old: against?.old, peaks, context }, keep);
  if (history !== undefined) await writeTextAtomic(historyFile(history), text(results));
  const changes = against && compareAll(results, against, (ops ?? filter) === undefined, context);
  if (options.failOnRegression && changes && changes.regressions > 0) {
    throw new UserError(
      `${changes.regressions} of ${results.length} cases are slower than in ${against.file}`,
    );
  }
  const { gflops, bandwidth } = peaks;
  const rounded = { peak_gflops: Math.round(gflops), bandwidth_gbs: Number(bandwidth.toPrecision(3)) };
  return {
    adapter: adapter.description,
    ...rounded,
    cases: results.length,
    ratios: meanRatios(results),
    ...changes,
  };
});
