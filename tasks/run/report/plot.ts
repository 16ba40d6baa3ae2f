/**
 * Observable Plot without a browser, and the colours of all charts: Okabe and Ito's palette (2008), which people who
 * are colour-blind can tell apart.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { ACTION_UNITS, EXPRESSIONS } from "../../../data/aff_wild2/types.ts";
import type { Html } from "./html.ts";

const { document } = parseHTML("<!DOCTYPE html><html><body></body></html>") as unknown as {
  document: NonNullable<Plot.PlotOptions["document"]>;
};

/**
 * Plots to markup; a plot with a legend is a figure, one without an svg.
 *
 * @param label what the chart shows, for those who do not see it
 */
export function draw(label: string, options: Plot.PlotOptions): Html {
  const style = { fontSize: "12px", background: "white", overflow: "visible" };
  // Room between the ticks and the axis's label, which Plot puts at the edge.
  const margins = { marginTop: 34, marginBottom: 46 };
  const node = Plot.plot({ style, ariaLabel: label, ...margins, ...options, document });
  return (node as unknown as { outerHTML: string }).outerHTML;
}

/** How a predictor is drawn wherever it appears. */
export interface Look {
  readonly colour: string;
  readonly symbol: "circle" | "square" | "triangle" | "diamond" | "star" | "cross";
}

/** Of networks by their titles, and of what is made of them. */
const LOOKS: Readonly<Record<string, Look>> = {
  "VGG-Face (baseline)": { colour: "#8c8c8c", symbol: "cross" },
  "ResNet50": { colour: "#0072b2", symbol: "circle" },
  "CNN-RNN": { colour: "#e69f00", symbol: "square" },
  "CNN-Transformer": { colour: "#009e73", symbol: "triangle" },
  "ensemble": { colour: "#1a1a1a", symbol: "diamond" },
  "ensemble, smoothed": { colour: "#cc79a7", symbol: "star" },
};

/** Colours and symbols of predictors. */
export function looksOf(names: readonly string[]): { colours: string[]; symbols: Look["symbol"][] } {
  const looks = names.map((name) => LOOKS[name] ?? { colour: "#56b4e9", symbol: "circle" });
  return { colours: looks.map(({ colour }) => colour), symbols: looks.map(({ symbol }) => symbol) };
}

/** Colours of the seven expressions, in label order. */
export const EXPRESSION_COLOURS: readonly string[] = [
  "#c4c4c4",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#f0e442",
  "#0072b2",
  "#56b4e9",
];

/** Two letters for each expression, where there is no room for the name. */
export const EXPRESSION_LETTERS: readonly string[] = ["Ne", "An", "Di", "Fe", "Ha", "Sa", "Su"];

/** What each action unit is (Ekman and Friesen's coding system). */
const UNIT_MEANINGS: Readonly<Record<typeof ACTION_UNITS[number], string>> = {
  AU1: "inner brow raiser",
  AU2: "outer brow raiser",
  AU4: "brow lowerer",
  AU6: "cheek raiser",
  AU7: "lid tightener",
  AU10: "upper lip raiser",
  AU12: "lip corner puller",
  AU15: "lip corner depressor",
  AU23: "lip tightener",
  AU24: "lip pressor",
  AU25: "lips part",
  AU26: "jaw drop",
};

/** The action units in words, for a note. */
export function unitsInWords(): string {
  return ACTION_UNITS.map((unit) => `${unit} ${UNIT_MEANINGS[unit]}`).join(", ");
}

/** A legend of the expressions' colours. */
export function expressionLegend(): Html {
  const swatches = EXPRESSIONS.map((name, c) =>
    `<span style="margin-right:1em;white-space:nowrap"><span style="display:inline-block;width:1.9em;background:${
      EXPRESSION_COLOURS[c]
    };color:${inkOn(c)};text-align:center;font-size:11px">${EXPRESSION_LETTERS[c]}</span> ${name}</span>`
  );
  return `<p class="note">${swatches.join(" ")}</p>`;
}

/** The colour of letters on an expression's colour. */
export function inkOn(expression: number): string {
  return ["#d55e00", "#009e73", "#0072b2"].includes(EXPRESSION_COLOURS[expression]) ? "white" : "#1a1a1a";
}

/** A colour scale as a strip with its ends and middle named. */
export function ramp(label: string, [low, high]: readonly [number, number], scheme: Plot.ColorScheme): Html {
  const steps = Array.from({ length: 40 }, (_, i) => low + (high - low) * (i + 0.5) / 40);
  const width = (high - low) / 40;
  return draw(label, {
    width: 260,
    height: 56,
    marginTop: 4,
    marginBottom: 40,
    marginLeft: 20,
    marginRight: 20,
    x: { label, ticks: 4, labelAnchor: "center", labelArrow: "none" },
    color: { type: "linear", scheme, domain: [low, high] },
    marks: [
      Plot.rect(steps, {
        x1: (step: number) => step - width / 2,
        x2: (step: number) => step + width / 2,
        y1: 0,
        y2: 1,
        fill: (step: number) => step,
        insetRight: -0.5,
      }),
      Plot.axisY([], {}),
    ],
  });
}
