/**
 * What `deno task bench --json FILE` measured as a Markdown page: how kernels/MEASURED.md is made.
 *
 * @module
 */
import type { BenchContent } from "../../bench/file.ts";
import { benchCells } from "./bench_report.ts";

const COLUMNS = [
  "op",
  "case",
  "ours ms",
  "stock ms",
  "ratio",
  "GFLOP/s",
  "% of roofline",
  "dispatches / stock's",
  "rounds",
];
/** op and case are text. */
const TEXTS = 2;

/** Rows of a Markdown table, padded to the columns' widths as `deno fmt` has them. */
function markdownTable(rows: readonly (readonly string[])[]): string[] {
  const widths = COLUMNS.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i].length)));
  const pad = (text: string, i: number) => i < TEXTS ? text.padEnd(widths[i]) : text.padStart(widths[i]);
  const line = (cells: readonly string[]) => `| ${cells.map(pad).join(" | ")} |`;
  const rule = widths.map((width, i) => i < TEXTS ? "-".repeat(width) : `${"-".repeat(width - 1)}:`);
  return [line(COLUMNS), `| ${rule.join(" | ")} |`, ...rows.map(line)];
}

/** The bench as Markdown. */
export function renderBenchMarkdown(
  { adapter, versions, peak_gflops, bandwidth_gbs, results }: BenchContent,
): string {
  return [
    "# Measured",
    "",
    "Ours and stock TensorFlow.js in turns in one process, medians; both are seen to agree before they are timed.",
    "",
    "    deno task bench --json bench.json",
    "    deno task report bench.json --out kernels/MEASURED.md",
    "",
    `- adapter: ${adapter.description}${adapter.software ? " (software: no GPU)" : ""}`,
    ...(versions ? [`- Deno ${versions.deno}, TensorFlow.js ${versions.tfjs}`] : []),
    `- peak: ${peak_gflops.toPrecision(3)} GFLOP/s, copy bandwidth: ${
      bandwidth_gbs.toPrecision(3)
    } GB/s, both measured`,
    "- ratio: stock's time over ours",
    "- % of roofline: the least time that peak and bandwidth allow, as a share of ours",
    "",
    ...markdownTable(results.map((result) => benchCells(result, false))),
    "",
  ].join("\n");
}
