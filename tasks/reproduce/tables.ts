/**
 * The parts of a reproduction, and the rows of the paper's tables that their records fill.
 *
 * @module
 */
import type { RunRecord, Scores } from "../run/record.ts";
import type { Spread, TableRow } from "../run/report/tables_report.ts";
import { textTable } from "../run/table.ts";

/** The parts of a seed's runs, in order; `pretrain` is left out where weights are given. */
export const PARTS = [
  "pretrain",
  "baseline",
  "scratch",
  "pretrained",
  "units_baseline",
  "units_pretrained",
] as const;
/** One of them. */
export type Part = typeof PARTS[number];

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

/** Expressions. */
export const TABLE_1: readonly RowSource[] = [
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

/** Action units. */
export const TABLE_2: readonly RowSource[] = [
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

/** The rows that the runs of all seeds have. */
export function summarize(
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

/** A table as text. */
export function tableLines(rows: readonly TableRow[]): string[] {
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
