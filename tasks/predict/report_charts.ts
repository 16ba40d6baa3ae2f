/**
 * The timeline's charts as inline SVG, by Observable Plot.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { ACTION_UNITS, EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import { draw, EXPRESSION_COLOURS } from "../run/report/plot.ts";
import type { Bin } from "./bins.ts";

const WIDTH = 820;

/** Seconds from frame to frame, where frames have times. */
export type FrameTime = number | undefined;

/** A bin's begin and end on the axis: seconds from 0, or frames from 1. */
function onAxis({ from, to }: Bin, frameTime: FrameTime): { from: number; to: number } {
  return frameTime === undefined ? { from, to } : { from: (from - 1) * frameTime, to: (to - 1) * frameTime };
}

function axis(frameTime: FrameTime): Plot.ScaleOptions {
  return { label: frameTime === undefined ? "frame" : "seconds" };
}

/** Probabilities of the expressions, stacked, over time; white where there is no face. */
export function expressionTimeline(bins: readonly Bin[], frameTime: FrameTime): string {
  const cells = bins.flatMap((bin) => {
    const { means } = bin;
    let below = 0;
    return EXPRESSIONS.map((expression, c) => {
      const share = means?.[c] ?? 0;
      const cell = { ...onAxis(bin, frameTime), expression, low: below, high: below + share };
      below += share;
      return cell;
    });
  });
  return draw("expressions over time", {
    width: WIDTH,
    height: 170,
    x: axis(frameTime),
    y: { label: "probability", domain: [0, 1] },
    color: { legend: true, domain: [...EXPRESSIONS], range: [...EXPRESSION_COLOURS] },
    marks: [
      Plot.rect(cells, {
        x1: "from",
        x2: "to",
        y1: "low",
        y2: "high",
        fill: "expression",
        inset: 0,
        shapeRendering: "crispEdges",
      }),
      Plot.ruleY([0]),
    ],
  });
}

/**
 * Probabilities of the action units over time.
 *
 * @param first where they begin among the values
 */
export function unitTimeline(bins: readonly Bin[], first: number, frameTime: FrameTime): string {
  const cells = bins.flatMap((bin) =>
    bin.means === undefined ? [] : ACTION_UNITS.map((unit, i) => ({
      ...onAxis(bin, frameTime),
      unit,
      probability: bin.means![first + i],
    }))
  );
  return draw("action units over time", {
    width: WIDTH,
    height: 250,
    marginLeft: 50,
    x: axis(frameTime),
    y: { label: null, domain: [...ACTION_UNITS], type: "band" },
    // In steps: the legend of a continuous scale wants a canvas, which there is none of without a browser.
    color: { type: "quantize", n: 10, scheme: "Blues", domain: [0, 1], legend: true, label: "probability" },
    marks: [
      Plot.barX(cells, {
        x1: "from",
        x2: "to",
        y: "unit",
        fill: "probability",
        inset: 0,
        shapeRendering: "crispEdges",
      }),
    ],
  });
}
