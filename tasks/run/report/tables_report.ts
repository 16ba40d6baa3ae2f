/**
 * The report of `deno task reproduce`: the paper's tables, ours beside the paper's.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { z } from "zod";
import { escapeHtml, fixed, type Html, renderPage, type Section, table } from "./html.ts";
import { draw } from "./plot.ts";

const spread = z.object({ mean: z.number(), deviation: z.number() });
const scores = z.object({ f1: z.number(), accuracy: z.number(), score: z.number() });

/** Ours over several seeds, and the paper's. */
const rows = z.array(
  z.object({
    name: z.string(),
    seeds: z.number(),
    f1: spread,
    accuracy: spread,
    score: spread,
    paper: scores.nullable(),
  }).readonly(),
).readonly();

/** The file that `reproduce` writes. */
export const tablesSchema = z.object({
  format: z.literal("fervid-tables"),
  preset: z.string(),
  /** the data's folder, or `synthetic` */
  data: z.string(),
  seeds: z.array(z.number()).readonly(),
  table_1: rows,
  table_2: rows,
  majority_score: z.number(),
  uniform_score: z.number(),
  /** what ran, by the record of the first run */
  facts: z.array(z.tuple([z.string(), z.string()]).readonly()).readonly(),
  /** the reports of the runs, relative to the file */
  reports: z.array(z.string()).readonly(),
}).readonly();

/** Its content. */
export type TablesFile = z.infer<typeof tablesSchema>;
/** A row of a table. */
export type TableRow = TablesFile["table_1"][number];
/** Mean and standard deviation over the seeds. */
export type Spread = TableRow["f1"];

/** The tables as HTML. */
export function renderTablesReport(file: TablesFile): Html {
  const { preset, data, seeds, table_1, table_2 } = file;
  const where = data === "synthetic" ? "synthetic faces" : data;
  const seedText = seeds.length === 1 ? `seed ${seeds[0]}` : `seeds ${seeds.join(", ")}`;
  return renderPage({
    title: "The paper's tables, reproduced",
    subtitle:
      `Ours was measured on ${where}, at the ${preset} preset, ${seedText}; the paper's on Aff-Wild2's validation set.`,
    conclusion: conclusionOf(file),
    facts: [["data", where], ["preset", preset], ["seeds", seeds.join(", ")], ...file.facts],
    sections: [
      tableSection("Table 1: seven expressions", table_1, ".67 F1 + .33 accuracy", file),
      tableSection("Table 2: twelve action units", table_2, ".5 F1 + .5 accuracy", null),
      linkSection(file.reports),
    ],
  });
}

/** Does the order of ours agree with the paper's? Pairs of rows that the paper has, too. */
function conclusionOf({ table_1, table_2, seeds }: TablesFile): string {
  const parts = [["Table 1", table_1], ["Table 2", table_2]] as const;
  const said = parts.flatMap(([name, rows]) => {
    const known = rows.filter(({ paper }) => paper !== null);
    const pairs = known.flatMap((a, i) => known.slice(i + 1).map((b) => [a, b] as const))
      .filter(([a, b]) => a.paper!.score !== b.paper!.score);
    const same = pairs.filter(([a, b]) =>
      (a.score.mean - b.score.mean) * (a.paper!.score - b.paper!.score) > 0
    );
    return pairs.length === 0 ? [] : [`${name}: ${same.length} of ${pairs.length} pairs of rows`];
  });
  return said.length === 0
    ? ""
    : `Pairs of rows that come in the paper's order, by the score's mean over ${
      seeds.length === 1 ? "one seed" : `${seeds.length} seeds`
    }. ${said.join("; ")}.`;
}

function tableSection(
  title: string,
  rows: readonly TableRow[],
  measure: string,
  baselines: TablesFile | null,
): Section | null {
  if (rows.length === 0) return null;
  const ours = ({ mean, deviation }: Spread) => `${fixed(mean)} ± ${fixed(deviation)}`;
  const cells = rows.map(({ name, f1, accuracy, score, paper }) => [
    name,
    ...[f1, accuracy, score].map(ours),
    ...[paper?.f1, paper?.accuracy, paper?.score].map(fixed),
  ]);
  const columns = [
    ...["model", "F1", "accuracy", "score"].map((name) => ({ title: name })),
    ...["paper F1", "paper accuracy", "paper score"].map((name) => ({ title: name, foreign: true })),
  ];
  const must = baselines === null
    ? ""
    : ` Always the most frequent class scores ${fixed(baselines.majority_score)}, uniformly random ${
      fixed(baselines.uniform_score)
    }.`;
  return {
    title,
    note:
      `Score = ${measure}; mean ± standard deviation over the seeds. The paper's numbers (grey) are on other data than ours ` +
      `unless ours is Aff-Wild2: compare the order of the rows, not the numbers.${must}`,
    body: table(columns, cells) + spreadChart(title, rows),
  };
}

/** Ours with its spread, and the paper's, row by row. */
function spreadChart(title: string, rows: readonly TableRow[]): Html {
  const points = rows.map(({ name, score: { mean, deviation } }) => ({
    name,
    mean,
    low: mean - deviation,
    high: mean + deviation,
  }));
  const paper = rows.flatMap(({ name, paper }) => paper === null ? [] : [{ name, score: paper.score }]);
  const longest = Math.max(...rows.map(({ name }) => name.length));
  return draw(`Scores of ${title}`, {
    width: 860,
    height: 85 + 26 * rows.length,
    marginLeft: 20 + 7 * longest,
    x: { label: "score", domain: [0, 1], grid: true },
    y: { label: null, domain: rows.map(({ name }) => name), tickSize: 0 },
    symbol: {
      domain: ["ours (line: ± standard deviation)", "paper, on Aff-Wild2"],
      range: ["diamond", "circle"],
      legend: true,
    },
    marks: [
      Plot.ruleY(points, { x1: "low", x2: "high", y: "name", stroke: "#0072b2", strokeWidth: 2 }),
      Plot.dot(points, {
        x: "mean",
        y: "name",
        symbol: () => "ours (line: ± standard deviation)",
        r: 5,
        fill: "#0072b2",
        stroke: "#0072b2",
      }),
      Plot.dot(paper, {
        x: "score",
        y: "name",
        symbol: () => "paper, on Aff-Wild2",
        r: 4.5,
        fill: "white",
        stroke: "#6a6a6a",
      }),
    ],
  });
}

function linkSection(reports: readonly string[]): Section | null {
  if (reports.length === 0) return null;
  const links = reports.map((path) =>
    `<li><a href="${escapeHtml(encodeURI(path))}">${escapeHtml(path)}</a></li>`
  );
  return {
    title: "The runs",
    note: "Each run's own report, beside this file.",
    body: `<ul>${links.join("")}</ul>`,
  };
}
