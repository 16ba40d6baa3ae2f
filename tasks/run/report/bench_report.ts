/**
 * The report of `deno task bench --json FILE`: ours beside stock TensorFlow.js, case by case.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import type { BenchResult } from "../../../kernels/runtime/bench_case.ts";
import type { AdapterRecord } from "../../../kernels/runtime/device.ts";
import { type Html, renderPage, table, titled } from "./html.ts";
import { draw } from "./plot.ts";

/** The file that the bench writes. */
export interface BenchFile {
  readonly adapter: AdapterRecord;
  readonly peak_gflops: number;
  readonly bandwidth_gbs: number;
  readonly results: readonly BenchResult[];
}

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
export function renderBenchReport({ adapter, peak_gflops, bandwidth_gbs, results }: BenchFile): Html {
  const byOp = Map.groupBy(results, ({ op }) => op);
  const faster = results.filter(({ ratio }) => ratio > 1).length;
  return renderPage({
    title: "Bench: Fervid's kernels and stock TensorFlow.js",
    subtitle: `Measured in turns in one process on ${adapter.description}.`,
    conclusion: `Ours is faster in ${faster} of ${results.length} cases; geometric mean of the ratios ${
      geometricMean(results.map(({ ratio }) => ratio)).toPrecision(3)
    }.`,
    facts: [
      ["adapter", adapter.description + (adapter.software ? " (software: no GPU)" : "")],
      ["peak", `${peak_gflops.toPrecision(3)} GFLOP/s, measured`],
      ["copy bandwidth", `${bandwidth_gbs.toPrecision(3)} GB/s, measured`],
    ],
    sections: [
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
            { title: "case", text: true },
            ...["ours ms", "stock ms", "ratio", "GFLOP/s", "% of roofline", "dispatches", "stock's", "rounds"]
              .map((title) => ({ title })),
          ],
          results.map(cellsOf),
        ),
      },
    ],
  });
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function cellsOf(result: BenchResult): string[] {
  const { op, ours_ms, stock_ms, ratio, gflops, percent_of_roofline, dispatches, samples } = result;
  return [
    op,
    result.case,
    ours_ms.toPrecision(3),
    stock_ms.toPrecision(3),
    `${ratio.toPrecision(3)}x`,
    gflops === null ? "–" : gflops.toPrecision(3),
    percent_of_roofline === null ? "–" : percent_of_roofline.toFixed(1),
    String(dispatches.ours),
    String(dispatches.stock),
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
    height: 50 + 22 * ratios.length,
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
