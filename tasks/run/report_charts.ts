/**
 * The report's charts as inline SVG, by Observable Plot.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import type { ConfusionMatrix } from "../../models/metrics.ts";
import type { EpochRecord } from "./history.ts";

const { document } = parseHTML("<!DOCTYPE html><html><body></body></html>") as unknown as {
  document: NonNullable<Plot.PlotOptions["document"]>;
};

/** Plots to markup; a plot with a legend is a figure, one without an svg. */
export function draw(options: Plot.PlotOptions): string {
  const node = Plot.plot({ ...options, document });
  return (node as unknown as { outerHTML: string }).outerHTML;
}

/** Training loss and validation score of each network over the epochs, side by side. */
export function curveChart(curves: readonly { name: string; history: readonly EpochRecord[] }[]): string {
  const points = curves.flatMap(({ name, history }) => history.map((record) => ({ name, ...record })));
  const chart = (y: "trainLoss" | "validationScore", label: string) =>
    draw({
      width: 480,
      height: 280,
      x: { label: "epoch", tickFormat: (epoch: number) => Number.isInteger(epoch) ? String(epoch) : "" },
      y: { label, grid: true, zero: y === "validationScore" },
      color: { legend: true, domain: curves.map(({ name }) => name) },
      marks: [
        Plot.lineY(points, { x: "epoch", y, stroke: "name" }),
        Plot.dot(points, { x: "epoch", y, fill: "name", r: 2.5 }),
      ],
    });
  return `<div style="display:flex;flex-wrap:wrap;gap:1em">${chart("trainLoss", "training loss")}${
    chart("validationScore", "validation score")
  }</div>`;
}

/** Counts and rates; the colour is the rate. */
export function confusionChart({ classes, counts }: ConfusionMatrix): string {
  const cells = Array.from(counts, (count, i) => {
    const truth = Math.floor(i / classes);
    const row = counts.slice(truth * classes, (truth + 1) * classes).reduce((sum, n) => sum + n, 0);
    const rate = row === 0 ? 0 : count / row;
    return { truth: EXPRESSIONS[truth], given: EXPRESSIONS[i % classes], count, rate };
  });
  return draw({
    width: 720,
    height: 420,
    marginLeft: 80,
    padding: 0.04,
    x: { label: "predicted", domain: EXPRESSIONS, axis: "top" },
    y: { label: "annotated", domain: EXPRESSIONS },
    color: { scheme: "Blues", domain: [0, 1] },
    marks: [
      Plot.cell(cells, { x: "given", y: "truth", fill: "rate" }),
      Plot.text(cells, {
        x: "given",
        y: "truth",
        text: (cell: typeof cells[number]) => `${cell.count}\n${(100 * cell.rate).toFixed(0)} %`,
        fill: (cell: typeof cells[number]) => cell.rate > 0.55 ? "white" : "#222",
      }),
    ],
  });
}

/** F1 per expression. */
export function barChart(perClassF1: readonly number[]): string {
  const bars = perClassF1.map((f1, c) => ({ expression: EXPRESSIONS[c], f1 }));
  return draw({
    width: 720,
    height: 220,
    x: { label: null, domain: EXPRESSIONS },
    y: { label: "F1", domain: [0, 1], grid: true },
    marks: [
      Plot.barY(bars, { x: "expression", y: "f1", fill: "#4269d0" }),
      Plot.text(bars, {
        x: "expression",
        y: "f1",
        text: (bar: typeof bars[number]) => bar.f1.toFixed(2),
        dy: -8,
      }),
    ],
  });
}
