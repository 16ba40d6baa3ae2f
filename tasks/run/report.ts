/**
 * The report of a run as one HTML file that needs no network and no script: tables, learning curves, confusion
 * matrix, sample frames with their predictions.
 *
 * @module
 */
import { EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import type { ConfusionMatrix } from "../../models/metrics.ts";
import { writeTextAtomic } from "./files.ts";
import type { EpochRecord } from "./history.ts";
import { barChart, confusionChart, curveChart } from "./report_charts.ts";
import type { ResultRow } from "./table.ts";

/** A frame with what the networks made of it. */
export interface SampleFrame {
  readonly jpeg: Uint8Array;
  readonly track: string;
  readonly frame: number;
  /** the annotated class */
  readonly truth: number;
  /** [classes] of the ensemble */
  readonly probabilities: Float32Array;
}

/** What a report shows. */
export interface Report {
  readonly title: string;
  /** lines on adapter, kernels and data: the first thing on the page */
  readonly facts: readonly (readonly [string, string])[];
  readonly conclusion: string;
  readonly rows: readonly ResultRow[];
  /** what each network reaches by itself, and the baselines */
  readonly singles: readonly ResultRow[];
  readonly published: readonly ResultRow[];
  readonly curves: readonly { readonly name: string; readonly history: readonly EpochRecord[] }[];
  readonly confusion: ConfusionMatrix;
  readonly perClassF1: readonly number[];
  readonly samples: readonly SampleFrame[];
}

/** Makes a text safe between tags and in attributes. */
export function escapeHtml(text: string): string {
  const names: Record<string, string> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => names[character]);
}

/** How reports look. */
export const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; margin-bottom: .2em; } h2 { font-size: 1.2em; margin-top: 2em; }
table { border-collapse: collapse; margin: .6em 0; } td, th { padding: .25em .8em; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; } .paper { color: #777; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; } dt { color: #777; } dd { margin: 0; }
.note { color: #555; max-width: 46em; } .conclusion { background: #eef5ee; padding: .6em 1em; border-left: 4px solid #4a8; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: 1em; }
figure { margin: 0; break-inside: avoid; } .sample { display: grid; grid-template-columns: 84px 1fr; gap: .6em; font-size: 12px; }
.sample img { width: 84px; height: 84px; border-radius: 4px; } .right { color: #27753f; } .wrong { color: #b3261e; }
.bar { background: #e4e7ea; height: 7px; } .bar span { display: block; height: 7px; background: #4269d0; }
@media print { body { margin: 0; } h2 { break-after: avoid; } }`;

function fixed(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(4);
}

function resultTable({ rows, published }: Report): string {
  const body = rows.map(({ name, f1, accuracy, score }) => {
    const paper = published.find((row) => row.name === name);
    const theirs = [paper?.f1, paper?.accuracy, paper?.score].map((value) =>
      `<td class="paper">${fixed(value)}</td>`
    );
    const ours = [f1, accuracy, score].map((value) => `<td>${fixed(value)}</td>`);
    return `<tr><td>${escapeHtml(name)}</td>${ours.join("")}${theirs.join("")}</tr>`;
  });
  const heads = ["F1", "accuracy", "score"];
  return `<table><thead><tr><th>model</th>${heads.map((head) => `<th>${head}</th>`).join("")}` +
    `${heads.map((head) => `<th class="paper">paper ${head}</th>`).join("")}</tr></thead><tbody>${
      body.join("")
    }</tbody></table>`;
}

function simpleTable(rows: readonly ResultRow[]): string {
  const body = rows.map(({ name, ...values }) =>
    `<tr><td>${escapeHtml(name)}</td><td>${fixed(values.f1)}</td><td>${fixed(values.accuracy)}</td><td>${
      fixed(values.score)
    }</td></tr>`
  );
  return `<table><thead><tr><th>predictor</th><th>F1</th><th>accuracy</th><th>score</th></tr></thead><tbody>${
    body.join("")
  }</tbody></table>`;
}

function sampleFigure({ jpeg, track, frame, truth, probabilities }: SampleFrame): string {
  const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 3);
  const right = order[0] === truth;
  const bars = order.map((c) =>
    `<div>${EXPRESSIONS[c]} ${(100 * probabilities[c]).toFixed(0)} %<div class="bar"><span style="width:${
      (100 * probabilities[c]).toFixed(1)
    }%"></span></div></div>`
  );
  let binary = "";
  for (const byte of jpeg) binary += String.fromCharCode(byte);
  return `<figure class="sample"><img alt="${
    escapeHtml(`${track} frame ${frame}`)
  }" src="data:image/jpeg;base64,${btoa(binary)}"><div><b class="${right ? "right" : "wrong"}">${
    EXPRESSIONS[truth]
  }</b> ${right ? "" : "(annotated)"}${bars.join("")}` +
    `<small>${escapeHtml(track)}, frame ${frame}</small></div></figure>`;
}

/** The report as HTML. */
export function renderReport(report: Report): string {
  const { title, facts, conclusion, curves, confusion, perClassF1, samples } = report;
  const factRows = facts.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`);
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${
    escapeHtml(title)
  }</title>
<style>${STYLE}</style></head><body>
<h1>${escapeHtml(title)}</h1>
<dl>${factRows.join("")}</dl>
<p class="conclusion">${escapeHtml(conclusion)}</p>
<h2>Table 1</h2>
${resultTable(report)}
<p class="note">F1 is the mean over the seven expressions, score = .67 F1 + .33 accuracy. The ensembles' weights were chosen on
other tracks than those they are scored on. The paper's columns were measured on Aff-Wild2's validation set and are not
comparable with ours unless ours were measured there too.</p>
<h2>Each network by itself, and what it must beat</h2>
${simpleTable(report.singles)}
<h2>Learning curves</h2>
<p class="note">Left: mean training loss of each epoch. Right: score on the validation split after each epoch.</p>
${curveChart(curves)}
<h2>Confusion matrix of the full ensemble</h2>
<p class="note">Rows: annotated; columns: predicted. Each cell: number of frames and share of its row.</p>
${confusionChart(confusion)}
<h2>F1 of each expression</h2>
${barChart(perClassF1)}
<h2>Frames and what the ensemble made of them</h2>
<p class="note">The annotated expression in bold, green where the ensemble agrees; below it the three most probable ones.</p>
<div class="samples">${samples.map(sampleFigure).join("\n")}</div>
</body></html>
`;
}

/** Writes the report. */
export async function writeReport(path: string, report: Report): Promise<void> {
  await writeTextAtomic(path, renderReport(report));
}
