/**
 * The report of a run: `report.html` beside its record.
 *
 * @module
 */
import { PAPER_TABLE_1, PAPER_TABLE_2, type PublishedRow } from "../../../models/metrics.ts";
import { NETWORK_TITLES } from "../../../models/networks.ts";
import { baselines, verdictOn } from "../evaluation.ts";
import type { RunRecord, Scores } from "../record.ts";
import type { ResolvedRun } from "../run_file.ts";
import { type Change, learningCurves, type SplitCounts } from "./charts.ts";
import { dataInWords, type Outcome, outcomesOf, recordedRun, type Run, runFacts } from "./facts.ts";
import { fixed, folded, type Html, renderPage, type Section, table } from "./html.ts";
import type { PredictedFrames } from "./predictors.ts";
import { countsSection, frameSections, refinementSection, reliabilitySection } from "./sections.ts";

/** What a run's report is made of. */
export interface RunReport {
  readonly record: RunRecord;
  /** null while the run goes on, or where the predictions are gone */
  readonly predicted: PredictedFrames | null;
  /** null where the data is gone or has changed */
  readonly counts: readonly SplitCounts[] | null;
  /** what is left out of the report, and why */
  readonly leftOut: readonly string[];
}

/** The run as HTML. */
export async function renderRunReport({ record, predicted, counts, leftOut }: RunReport): Promise<Html> {
  const run = recordedRun(record);
  const outcomes = outcomesOf(record);
  const singles = new Map(
    outcomes.flatMap(([network, { scores }]) =>
      scores === null ? [] : [[NETWORK_TITLES[network], scores] as const]
    ),
  );
  const scores = new Map([...singles].map(([name, { score }]) => [name, score]));
  const curves = outcomes.filter(([, { epochs }]) => epochs.length > 0)
    .map(([network, { epochs }]) => ({ name: NETWORK_TITLES[network], history: epochs }));
  const rates = new Set(curves.flatMap(({ history }) => history.map(({ learningRate }) => learningRate)));
  const curveNote =
    "Each network's loss on the training frames and score on the validation frames after each epoch. A loss that " +
    "falls while the score does not is a sign of overfitting." +
    (rates.size === 1 ? ` The learning rate was ${[...rates][0]} throughout.` : "");
  return renderPage({
    title: `${run.name}: ${TITLES[run.data.labelSet]}`,
    subtitle: `Trained and measured on ${dataInWords(run)}${
      counts === null ? "" : `; ${validationInWords(counts)}`
    }.`,
    warning: warningOf(record),
    conclusion: conclusionOf(record, predicted),
    facts: runFacts(record),
    sections: [
      resultSection(record, run, singles, predicted),
      curves.length === 0
        ? null
        : { title: "Learning curves", note: curveNote, body: learningCurves(curves) },
      ...(predicted === null ? [] : await frameSections(predicted)),
      refinementSection(record.refinement, scores, flipChanges(outcomes)),
      reliabilitySection(record.refinement),
      countsSection(counts),
      leftOut.length === 0 ? null : { title: "Left out", note: leftOut.join(" "), body: "" },
      {
        title: "Configuration",
        note: "The resolved run file; deno task replay RECORD runs it again.",
        body: folded("run file", JSON.stringify(record.run, null, 2)),
      },
    ],
  });
}

const TITLES: Readonly<Record<ResolvedRun["data"]["labelSet"], string>> = {
  expression: "seven expressions",
  action_units: "twelve action units",
  joint: "expressions and action units together",
  identity: "telling people apart",
};

function validationInWords(counts: readonly SplitCounts[]): string {
  const split = counts.find(({ split }) => split === "validation");
  return split === undefined ? "" : `${split.tracks} validation tracks, ${split.frames} frames`;
}

function warningOf({ status, error, updatedAt }: RunRecord): string | undefined {
  if (status === "finished") return undefined;
  if (status === "failed") return `This run failed: ${error}`;
  return `This run is ${
    status === "running" ? "not finished" : status
  }: what follows was so at ${updatedAt}.`;
}

function conclusionOf(record: RunRecord, predicted: PredictedFrames | null): string {
  if (predicted === null || recordedRun(record).data.labelSet !== "expression") return "";
  return verdictOn(predicted.probabilities, predicted.frames).text;
}

function flipChanges(outcomes: readonly Outcome[]): Change[] {
  return outcomes.flatMap(([network, { scores, scoresWithoutFlip }]) =>
    scores === null || !scoresWithoutFlip
      ? []
      : [{ of: `${NETWORK_TITLES[network]} + flip`, from: scoresWithoutFlip.score, to: scores.score }]
  );
}

/** The networks, the ensembles and what they must beat, beside the paper's. */
function resultSection(
  record: RunRecord,
  run: Run,
  singles: ReadonlyMap<string, Scores>,
  predicted: PredictedFrames | null,
): Section | null {
  const { labelSet } = run.data;
  const ensembles = record.ensemble.filter(({ weights }) => weights.length > 1);
  if (singles.size === 0 && ensembles.length === 0) return null;
  const published: readonly PublishedRow[] = labelSet === "expression"
    ? PAPER_TABLE_1
    : labelSet === "action_units"
    ? PAPER_TABLE_2
    : [];
  const paperName = (name: string) => name === "ResNet50" && run.init !== null ? "ResNet50 + VGGFace2" : name;
  const row = (name: string, scores: Scores, weights: readonly number[] | null) => [
    name,
    ...[scores.f1, scores.accuracy, scores.score].map(fixed),
    weights?.map((weight) => weight.toFixed(2)).join(" / ") ?? "",
    ...paperCells(published.find((paper) => paper.name === paperName(name))),
  ];
  const must = predicted !== null && labelSet === "expression" ? baselines(predicted.frames) : null;
  const rows = [
    ...[...singles].map(([name, scores]) => row(name, scores, null)),
    ...ensembles.map((ensemble) => row(ensemble.name, ensemble, ensemble.weights)),
    ...(must === null ? [] : [
      row("always the most frequent class", must.majority, null),
      row("uniformly random", must.uniform, null),
    ]),
  ];
  const measure = labelSet === "action_units" ? ".5 F1 + .5 accuracy" : ".67 F1 + .33 accuracy";
  const note =
    `F1 is the mean over the classes; score = ${
      labelSet === "joint" ? "the mean of both label sets' scores" : measure
    }. ` +
    (ensembles.length === 0
      ? ""
      : "The ensembles' weights, in the order of their names, were chosen on other tracks than those they are scored on. ") +
    (published.length === 0
      ? ""
      : "The paper's numbers (grey) were measured on Aff-Wild2's validation set: other data than ours unless ours is that set.");
  const paper = published.length === 0 ? [] : ["paper F1", "paper accuracy", "paper score"];
  return {
    title: labelSet === "expression"
      ? "Results (the paper's Table 1)"
      : labelSet === "action_units"
      ? "Results (the paper's Table 2)"
      : "Results",
    note,
    body: table(
      [
        ...["model", "F1", "accuracy", "score"].map((title) => ({ title })),
        { title: ensembles.length === 0 ? "" : "weights", text: true, nowrap: true },
        ...paper.map((title) => ({ title, foreign: true })),
      ],
      published.length === 0 ? rows.map((cells) => cells.slice(0, 5)) : rows,
    ),
  };
}

function paperCells(row: PublishedRow | undefined): string[] {
  return [row?.f1, row?.accuracy, row?.score].map(fixed);
}
