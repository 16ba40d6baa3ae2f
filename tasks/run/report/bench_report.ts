/**
 * The report of `deno task bench --json FILE`: ours beside stock TensorFlow.js, case by case.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import type { BenchResult } from "../../../kernels/runtime/bench_case.ts";
import { type Change, changeText, LEAST_CHANGE, tally } from "../../bench/compare.ts";
import type { BenchContent, FileResult } from "../../bench/file.ts";
import { type Html, renderPage, type Section, table, titled } from "./html.ts";
import { draw } from "./plot.ts";

/** A case's ratio of medians, and the quartiles of the rounds' ratios. */
interface Ratio {
  readonly name: string;
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
  /** the ratio is within the noise of 1 */
  readonly even: boolean;
}

function quantile(sorted: readonly number[], q: number): number {
  const at = q * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  return below + (at - Math.floor(at)) * (sorted[Math.ceil(at)] - below);
}

function ratioOf({ case: name, ratio, samples: { ours, stock } }: BenchResult): Ratio {
  const rounds = ours.map((ms, i) => stock[i] / ms).sort((a, b) => a - b);
  const [low, high] = [quantile(rounds, 0.25), quantile(rounds, 0.75)];
  return { name, ratio, low, high, even: low <= 1 && high >= 1 };
}

/** The bench as HTML. */
export function renderBenchReport(file: BenchContent): Html {
  const { adapter, peak_gflops, bandwidth_gbs, versions, date, finished, results } = file;
  const byOp = Map.groupBy(results, ({ op }) => op);
  const faster = results.filter(({ ratio }) => ratio > 1).length;
  const changes = file.compared_with && tally(results.map(({ change }) => change));
  return renderPage({
    title: "Bench: Fervid's kernels and stock TensorFlow.js",
    subtitle: `Measured in turns in one process on ${adapter.description}.`,
    conclusion:
      `Ours is faster in ${faster} of ${results.length} cases; geometric mean of the ratios ${
        geometricMean(results.map(({ ratio }) => ratio)).toPrecision(3)
      }.` +
      (changes
        ? ` Since ${file.compared_with!.file}: ${changes.regression} slower, ${changes.gain} faster.`
        : ""),
    ...(finished === false ? { warning: "The bench was stopped before its end: cases are missing." } : {}),
    facts: [
      ["adapter", adapter.description + (adapter.software ? " (software: no GPU)" : "")],
      ["peak", `${peak_gflops.toPrecision(3)} GFLOP/s, measured`],
      ["copy bandwidth", `${bandwidth_gbs.toPrecision(3)} GB/s, measured`],
      ...(versions ? [["versions", `Deno ${versions.deno}, TensorFlow.js ${versions.tfjs}`] as const] : []),
      ...(date === undefined ? [] : [["begun", date] as const]),
    ],
    sections: [
      changeSection(file),
      {
        title: "How many times faster",
        note:
          "Stock's time over ours, on a logarithmic axis: right of 1 ours is faster. Dots: ratio of the medians; lines: the middle " +
          "half of the rounds' ratios. Hollow: the middle half holds 1, so the two are equal within the noise.",
        body: [...byOp].map(([op, rows]) => titled(op, ratioChart(op, rows.map(ratioOf), results))).join(
          "\n",
        ),
      },
      {
        title: "All cases",
        note:
          "Medians. % of roofline: the least time that the adapter's measured peak and bandwidth allow, as a share of ours. Before " +
          "anything is timed, both sides are seen to agree.",
        body: table(
          [
            { title: "op" },
            { title: "case", text: true, nowrap: changes === undefined },
            ...[
              "ours ms",
              "stock ms",
              "ratio",
              ...(changes ? ["since"] : []),
              "GFLOP/s",
              "% of roofline",
              "dispatches / stock's",
              "rounds",
            ].map((title) => ({ title })),
          ],
          results.map((result) => benchCells(result, changes !== undefined)),
          { dense: true },
        ),
      },
    ],
  });
}

type Changed = FileResult & { readonly change: Change };

/** What is slower or faster than in an earlier run. */
function changeSection({ compared_with: earlier, results }: BenchContent): Section | null {
  if (earlier === undefined) return null;
  const known = results.filter((result): result is Changed => result.change !== undefined);
  const changed = known.filter(({ change }) => change.verdict !== "same")
    .sort((a, b) => b.change.change - a.change.change);
  const { same, new: added } = tally(results.map(({ change }) => change));
  return {
    title: "Since an earlier run",
    note:
      `Compared with ${earlier.file}${
        earlier.date === null ? "" : `, begun ${earlier.date}`
      }: ours's time in ` +
      "units of stock's of the same round, so that what else the machine does cancels out. A change counts beyond " +
      `${
        100 * LEAST_CHANGE
      } % and beyond twice the spread of the rounds of both runs, if ours's own milliseconds moved that way too; the grey ` +
      `bar is what it had to exceed. ${same} cases are the same within that, ${added} are new.`,
    body: changed.length === 0
      ? "<p>Nothing has changed beyond the noise.</p>"
      : changeChart(changed) + table(
        ["op", "case", "change", "was, ms", "is, ms"].map((title, c) => ({ title, text: c === 1 })),
        changed.map(({ op, case: name, change, ours_ms }) => [
          op,
          name,
          changeText(change),
          change.old_ms.toPrecision(3),
          ours_ms.toPrecision(3),
        ]),
      ),
  };
}

/** The changes that count, the slower ones first. */
function changeChart(changed: readonly Changed[]): Html {
  const rows = changed.map(({ op, case: name, change }) => ({
    name: `${op} ${name}`,
    times: 1 + change.change,
    low: 1 / (1 + change.noise),
    high: 1 + change.noise,
    slower: change.verdict === "regression",
    text: changeText(change),
  }));
  const ends = rows.flatMap(({ times, low, high }) => [times, low, high]);
  type Row = typeof rows[number];
  return draw("Changes of ours's time since the earlier run", {
    width: 960,
    height: 85 + 22 * rows.length,
    marginLeft: 20 + 7 * Math.max(...rows.map(({ name }) => name.length)),
    marginRight: 180,
    x: {
      type: "log",
      domain: [0.95 * Math.min(...ends), 1.05 * Math.max(...ends)],
      label: "time, new / old (right of 1: slower)",
      grid: true,
      tickFormat: "~g",
    },
    y: { label: null, domain: rows.map(({ name }) => name), tickSize: 0 },
    marks: [
      Plot.barX(rows, { x1: "low", x2: "high", y: "name", fill: "#ddd", insetTop: 6, insetBottom: 6 }),
      Plot.ruleX([1], { stroke: "#1a1a1a" }),
      Plot.dot(rows, {
        x: "times",
        y: "name",
        r: 4.5,
        symbol: ({ slower }: Row) => slower ? "triangle" : "circle",
        fill: ({ slower }: Row) => slower ? "#d55e00" : "#0072b2",
      }),
      Plot.text(rows, { frameAnchor: "right", y: "name", dx: 175, textAnchor: "end", text: "text" }),
    ],
  });
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** A case as the cells of a table: op, case, times, ratio, change since an earlier run if `since`, rates, dispatches, rounds. */
export function benchCells(result: FileResult, since: boolean): string[] {
  const { op, ours_ms, stock_ms, ratio, gflops, percent_of_roofline, dispatches, samples } = result;
  return [
    op,
    result.case,
    ours_ms.toPrecision(3),
    stock_ms.toPrecision(3),
    `${ratio.toPrecision(3)}x`,
    ...(since ? [changeText(result.change)] : []),
    gflops === null ? "–" : gflops.toPrecision(3),
    percent_of_roofline === null ? "–" : percent_of_roofline.toFixed(1),
    `${dispatches.ours} / ${dispatches.stock}`,
    String(samples.ours.length),
  ];
}

/** One op's cases; all ops have the same axis, so that they compare. */
function ratioChart(op: string, ratios: readonly Ratio[], all: readonly BenchResult[]): Html {
  const ends = [
    1,
    ...all.flatMap((result) => Object.values(ratioOf(result)).filter((value) => typeof value === "number")),
  ];
  const longest = Math.max(...all.map((result) => result.case.length));
  return draw(`Ratio of stock's time to ours: ${op}`, {
    width: 960,
    height: 85 + 22 * ratios.length,
    marginLeft: 20 + 7 * longest,
    marginRight: 60,
    x: {
      type: "log",
      domain: [0.9 * Math.min(...ends), 1.1 * Math.max(...ends)],
      label: "times faster",
      grid: true,
      tickFormat: "~g",
    },
    y: { label: null, domain: ratios.map(({ name }) => name), tickSize: 0 },
    marks: [
      Plot.ruleX([1], { stroke: "#1a1a1a" }),
      Plot.ruleY(ratios, { x1: "low", x2: "high", y: "name", stroke: "#555" }),
      Plot.dot(ratios, {
        x: "ratio",
        y: "name",
        r: 4.5,
        stroke: ({ ratio }: Ratio) => ratio >= 1 ? "#0072b2" : "#d55e00",
        fill: ({ even, ratio }: Ratio) => even ? "white" : ratio >= 1 ? "#0072b2" : "#d55e00",
      }),
      Plot.text(ratios, {
        frameAnchor: "right",
        y: "name",
        dx: 55,
        textAnchor: "end",
        text: ({ ratio }: Ratio) => `${ratio.toPrecision(3)}x`,
      }),
    ],
  });
}
