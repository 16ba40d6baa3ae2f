/**
 * The timeline's charts as inline SVG, by Observable Plot.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { ACTION_UNITS, EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import { draw } from "../run/report_charts.ts";
import type { Bin } from "./bins.ts";

const WIDTH = 820;

/** Probabilities of the expressions, stacked, over the frames; white where there is no face. */
export function expressionTimeline(bins: readonly Bin[]): string {
  const cells = bins.flatMap(({ from, to, means }) => {
    let below = 0;
    return EXPRESSIONS.map((expression, c) => {
      const share = means?.[c] ?? 0;
      const cell = { from, to, expression, low: below, high: below + share };
      below += share;
      return cell;
    });
  });
  return draw({
    width: WIDTH,
    height: 170,
    x: { label: "frame" },
    y: { label: "probability", domain: [0, 1] },
    color: { legend: true, domain: [...EXPRESSIONS], scheme: "Tableau10" },
    marks: [
      Plot.rect(cells, { x1: "from", x2: "to", y1: "low", y2: "high", fill: "expression", inset: 0 }),
      Plot.ruleY([0]),
    ],
  });
}

/**
 * Probabilities of the action units over the frames.
 *
 * @param first where they begin among the values
 */
export function unitTimeline(bins: readonly Bin[], first: number): string {
  const cells = bins.flatMap(({ from, to, means }) =>
    means === undefined
      ? []
      : ACTION_UNITS.map((unit, i) => ({ from, to, unit, probability: means[first + i] }))
  );
  return draw({
    width: WIDTH,
    height: 250,
    marginLeft: 50,
    x: { label: "frame" },
    y: { label: null, domain: [...ACTION_UNITS], type: "band" },
    color: { scheme: "Blues", domain: [0, 1], legend: true, label: "probability" },
    marks: [Plot.barX(cells, { x1: "from", x2: "to", y: "unit", fill: "probability", inset: 0 })],
  });
}
