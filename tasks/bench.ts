/**
 * `deno task bench`: our kernels and stock TensorFlow.js side by side, in one process on one device.
 *
 * @module
 */
import { register } from "../kernels/mod.ts";
import type { BenchCase } from "../kernels/runtime/bench.ts";
import { benchCase, type BenchResult } from "../kernels/runtime/bench_case.ts";
import { measurePeaks } from "../kernels/runtime/peak.ts";
import { BENCH_CASES } from "./bench/cases.ts";
import { applyChoices } from "./run/choices.ts";
import { defineCommand, nearest, runTask, UserError } from "./run/cli.ts";
import { startDevice } from "./run/device.ts";
import { requireWritable, writeTextAtomic } from "./run/files.ts";

const OPS = [...new Set(BENCH_CASES.map(({ op }) => op))];

const command = defineCommand({
  task: "bench",
  summary: "Times our kernels and stock TensorFlow.js in turns, once both have been seen to agree.",
  flags: {
    ops: { type: "string", placeholder: "A,B", description: `of ${OPS.join(", ")}; all by default` },
    filter: { type: "string", placeholder: "TEXT", description: "only rows whose op and case contain TEXT" },
    time: { type: "number", min: 0, default: 1, description: "seconds of measuring per case" },
    variants: {
      type: "string",
      placeholder: "FILE",
      description: "use the variants that deno task tune found, in place of the shipped defaults",
    },
    json: {
      type: "string",
      placeholder: "FILE",
      description: "also write adapter, peaks, results and samples",
    },
  },
  examples: [
    "deno task bench --ops conv2d_fwd,conv2d_bwd_filter",
    "deno task bench --filter resnet50 --json out/bench.json",
  ],
});

/** The cases that the flags select. */
function select(ops: string | undefined, filter: string | undefined): BenchCase[] {
  const wanted = ops?.split(",").map((op) => op.trim()).filter((op) => op !== "") ?? OPS;
  for (const op of wanted) {
    if (OPS.includes(op)) continue;
    const meant = nearest(op, OPS);
    throw new UserError(
      `Cannot run bench: --ops has ${JSON.stringify(op)}; expected some of ${OPS.join(", ")}` +
        (meant === undefined ? "" : `; did you mean ${meant}?`),
    );
  }
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

const TITLES = ["ours ms", "stock ms", "ratio", "rate", "% roofline", "dispatches"];
const WIDTH = 13;

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

await runTask(command, Deno.args, async ({ ops, filter, time, variants, json, dryRun }, context) => {
  const cases = select(ops, filter);
  context.log(
    JSON.stringify({
      variants: variants ?? null,
      ops: ops ?? null,
      filter: filter ?? null,
      time,
      json: json ?? null,
      cases: cases.length,
    }),
  );
  if (dryRun) return { dryRun: true };
  if (json !== undefined) await requireWritable(json);
  const adapter = await startDevice(context);
  await applyChoices(variants, adapter, context);
  register();
  const peaks = await measurePeaks();
  context.log(`peak ${peaks.gflops.toFixed(1)} GFLOP/s, copy bandwidth ${peaks.bandwidth.toFixed(1)} GB/s`);
  context.log(line(cases, "op", "case", TITLES));
  const results: BenchResult[] = [];
  const budget = { time: 1000 * time, minRounds: 5, maxRounds: 100, signal: context.signal };
  for (const item of cases) {
    context.signal.throwIfAborted();
    const result = await benchCase(item, peaks, budget);
    results.push(result);
    context.log(line(cases, item.op, item.name, cells(item, result)));
  }
  const { gflops: peak_gflops, bandwidth: bandwidth_gbs } = peaks;
  if (json !== undefined) {
    await writeTextAtomic(
      json,
      JSON.stringify({ adapter, peak_gflops, bandwidth_gbs, results }, null, 2) + "\n",
    );
  }
  const rounded = {
    peak_gflops: Math.round(peak_gflops),
    bandwidth_gbs: Number(bandwidth_gbs.toPrecision(3)),
  };
  return { adapter: adapter.description, ...rounded, cases: results.length, ratios: meanRatios(results) };
});
