/**
 * Charts of what was learned and how well: learning curves, confusion matrices, F1 of each class, reliability, effects
 * of the refinements, counts of the classes.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { EXPRESSIONS } from "../../../data/aff_wild2/types.ts";
import type { Calibration, ReliabilityBin } from "../../../models/calibration.ts";
import type { ConfusionMatrix } from "../../../models/metrics.ts";
import type { EpochRecord } from "../history.ts";
import { type Html, sideBySide } from "./html.ts";
import { draw, EXPRESSION_LETTERS, looksOf, ramp } from "./plot.ts";

/** The epochs of a network. */
export interface Curve {
  readonly name: string;
  readonly history: readonly EpochRecord[];
}

/** Training loss, validation score and learning rate of each network over the epochs. */
export function learningCurves(curves: readonly Curve[]): Html {
  const points = curves.flatMap(({ name, history }) => history.map((record) => ({ name, ...record })));
  const names = curves.map(({ name }) => name);
  const { colours, symbols } = looksOf(names);
  const chart = (y: keyof EpochRecord, label: string, scale: Plot.ScaleOptions) =>
    draw(`${label} over the epochs`, {
      width: 470,
      height: 280,
      marginLeft: 50,
      x: {
        label: "epoch",
        tickFormat: (epoch: number) => Number.isInteger(epoch) ? String(epoch) : "",
        inset: 8,
      },
      y: { label, grid: true, ...scale },
      color: { domain: names, range: colours },
      symbol: { domain: names, range: symbols, legend: true },
      marks: [
        Plot.lineY(points, { x: "epoch", y, stroke: "name", z: "name" }),
        Plot.dot(points, { x: "epoch", y, fill: "name", stroke: "name", symbol: "name", r: 3.5 }),
      ],
    });
  const charts = [
    chart("trainLoss", "training loss (mean of the epoch, nats)", { zero: true }),
    chart("validationScore", "score on the validation split", { domain: [0, niceTop(points)] }),
  ];
  const varies = new Set(points.map(({ learningRate }) => learningRate)).size > 1;
  if (varies) {
    charts.push(chart("learningRate", "learning rate (logarithmic)", { type: "log", tickFormat: "~g" }));
  }
  return sideBySide(...charts);
}

/** The end of an axis of scores: the next tenth. */
function niceTop(points: readonly EpochRecord[]): number {
  return Math.min(1, Math.ceil(10 * Math.max(0.1, ...points.map((point) => point.validationScore))) / 10);
}

interface Cell {
  readonly truth: string;
  readonly given: string;
  readonly count: number;
  /** share of the truth's frames */
  readonly rate: number;
}

function cellsOf({ classes, counts }: ConfusionMatrix, names: readonly string[]): Cell[] {
  return Array.from(counts, (count, i) => {
    const truth = Math.floor(i / classes);
    const row = counts.slice(truth * classes, (truth + 1) * classes).reduce((sum, n) => sum + n, 0);
    return { truth: names[truth], given: names[i % classes], count, rate: row === 0 ? 0 : count / row };
  });
}

/** Counts and rates of a predictor with the scale of the colours. */
export function confusionChart(confusion: ConfusionMatrix, name: string): Html {
  return confusionCells(confusion, name) + ramp("share of the annotated frames (of a row)", [0, 1], "blues");
}

/** Counts and rates of a predictor; the colour is the rate. */
export function confusionCells(confusion: ConfusionMatrix, name: string): Html {
  const cells = cellsOf(confusion, EXPRESSIONS);
  return draw(`Confusion matrix of ${name}`, {
    width: 720,
    height: 430,
    marginLeft: 90,
    marginTop: 50,
    padding: 0.04,
    x: {
      label: "predicted",
      domain: EXPRESSIONS,
      axis: "top",
      labelAnchor: "center",
      labelArrow: "none",
      tickSize: 0,
    },
    y: { label: "annotated", domain: EXPRESSIONS, tickSize: 0 },
    color: { scheme: "Blues", domain: [0, 1] },
    marks: [
      Plot.cell(cells, { x: "given", y: "truth", fill: "rate", stroke: "#ccc", strokeWidth: 0.5 }),
      Plot.text(cells, {
        x: "given",
        y: "truth",
        text: (cell: Cell) => `${cell.count}\n${(100 * cell.rate).toFixed(0)} %`,
        fill: (cell: Cell) => cell.rate > 0.55 ? "white" : "#1a1a1a",
      }),
    ],
  });
}

/** Rates alone, small: to compare predictors. */
export function smallConfusion(confusion: ConfusionMatrix, name: string): Html {
  const cells = cellsOf(confusion, EXPRESSION_LETTERS);
  return draw(`Confusion matrix of ${name}, percent`, {
    width: 300,
    height: 290,
    marginLeft: 44,
    marginTop: 40,
    padding: 0.04,
    x: {
      label: "predicted",
      domain: EXPRESSION_LETTERS,
      axis: "top",
      labelAnchor: "center",
      labelArrow: "none",
      tickSize: 0,
    },
    y: { label: "annotated", domain: EXPRESSION_LETTERS, tickSize: 0 },
    color: { scheme: "Blues", domain: [0, 1] },
    marks: [
      Plot.cell(cells, { x: "given", y: "truth", fill: "rate", stroke: "#ccc", strokeWidth: 0.5 }),
      Plot.text(cells, {
        x: "given",
        y: "truth",
        text: (cell: Cell) => (100 * cell.rate).toFixed(0),
        fill: (cell: Cell) => cell.rate > 0.55 ? "white" : "#1a1a1a",
      }),
    ],
  });
}

/** The values of a predictor, one per class. */
export interface ClassValues {
  readonly name: string;
  readonly values: readonly number[];
}

/** F1 of each class, the predictors beside each other. */
export function classF1Chart(classNames: readonly string[], predictors: readonly ClassValues[]): Html {
  const bars = predictors.flatMap(({ name, values }) =>
    values.map((f1, c) => ({ name, of: classNames[c], f1 }))
  );
  const names = predictors.map(({ name }) => name);
  const many = bars.length > 30;
  return draw("F1 of each class", {
    width: 960,
    height: 300,
    marginLeft: 50,
    fx: { label: null, domain: [...classNames], padding: 0.12 },
    x: { label: null, axis: null, domain: names, padding: 0.05 },
    y: { label: "F1", domain: [0, 1], grid: true },
    color: { domain: names, range: looksOf(names).colours, legend: true },
    marks: [
      Plot.ruleY([0]),
      Plot.barY(bars, { fx: "of", x: "name", y: "f1", fill: "name" }),
      Plot.text(bars, {
        fx: "of",
        x: "name",
        y: "f1",
        text: (bar: typeof bars[number]) => bar.f1.toFixed(2),
        fontSize: 10,
        ...(many ? { rotate: -90, dx: 0, dy: -5, textAnchor: "start" } : { dy: -7 }),
      }),
    ],
  });
}

/** A bin of a calibration with the name of the calibration. */
type NamedBin = ReliabilityBin & { readonly name: string; readonly share: number };

/** Reliability of the highest probability and how often it is how high, for each calibration. */
export function reliabilityChart(calibrations: ReadonlyMap<string, Calibration>): Html {
  const names = [...calibrations.keys()];
  const bins = [...calibrations].flatMap(([name, { bins }]): NamedBin[] => {
    const total = bins.reduce((sum, { count }) => sum + count, 0);
    return bins.filter(({ count }) => count > 0).map((bin) => ({ ...bin, name, share: bin.count / total }));
  });
  const looks = { domain: names, range: ["#d55e00", "#0072b2"] };
  const symbols = { domain: names, range: ["circle", "square"] };
  const confidence = { label: "confidence: the highest probability", domain: [0, 1], ticks: 5 };
  const reliability = draw("Share of right predictions over their confidence", {
    width: 430,
    height: 400,
    marginLeft: 50,
    x: confidence,
    y: { label: "share of right predictions", domain: [0, 1], grid: true, ticks: 5 },
    color: looks,
    symbol: { ...symbols, legend: true },
    marks: [
      Plot.line([[0, 0], [1, 1]], { stroke: "#777", strokeDasharray: "4 4" }),
      Plot.text([[0.8, 0.86]], { text: () => "perfect", rotate: -40, fill: "#777" }),
      Plot.line(bins, { x: "confidence", y: "accuracy", stroke: "name", strokeOpacity: 0.5 }),
      Plot.dot(bins, { x: "confidence", y: "accuracy", stroke: "name", fill: "name", symbol: "name", r: 4 }),
    ],
  });
  const histogram = draw("Share of frames over confidence", {
    width: 500,
    height: 400,
    marginLeft: 50,
    x: confidence,
    fy: { label: null, domain: names, padding: 0.12 },
    marginRight: 120,
    y: { label: "share of frames", grid: true, tickFormat: "%", ticks: 4 },
    color: looks,
    marks: [
      Plot.rectY(bins, { fy: "name", x1: "from", x2: "to", y: "share", fill: "name", inset: 0.5 }),
      Plot.ruleY([0]),
    ],
  });
  return sideBySide(reliability, histogram);
}

/** A score before and after a change. */
export interface Change {
  /** whose score, and what was changed */
  readonly of: string;
  readonly from: number;
  readonly to: number;
}

/** Each change as a step from the score without it to the score with it. */
export function changeChart(changes: readonly Change[]): Html {
  const ends = changes.flatMap(({ from, to }) => [from, to]);
  const room = Math.max(0.01, 0.15 * (Math.max(...ends) - Math.min(...ends)));
  const longest = Math.max(...changes.map(({ of }) => of.length));
  return draw("Scores without and with each refinement", {
    width: 760,
    height: 80 + 30 * changes.length,
    marginLeft: 20 + 7 * longest,
    marginRight: 70,
    x: {
      label: "score",
      domain: [Math.max(0, Math.min(...ends) - room), Math.min(1, Math.max(...ends) + room)],
      grid: true,
    },
    y: { label: null, domain: changes.map(({ of }) => of), tickSize: 0 },
    symbol: { domain: ["without", "with"], range: ["circle", "diamond"], legend: true },
    marks: [
      Plot.link(changes, { x1: "from", x2: "to", y1: "of", y2: "of", stroke: "#555", strokeWidth: 1.5 }),
      Plot.dot(changes, {
        x: "from",
        y: "of",
        symbol: () => "without",
        r: 4.5,
        fill: "white",
        stroke: "#1a1a1a",
      }),
      Plot.dot(changes, {
        x: "to",
        y: "of",
        symbol: () => "with",
        r: 4.5,
        fill: "#0072b2",
        stroke: "#0072b2",
      }),
      Plot.text(changes, {
        frameAnchor: "right",
        y: "of",
        dx: 62,
        textAnchor: "end",
        text: ({ from, to }: Change) => `${to >= from ? "+" : "−"}${Math.abs(to - from).toFixed(4)}`,
      }),
    ],
  });
}

/** How many frames of each class a split has. */
export interface SplitCounts {
  readonly split: string;
  readonly frames: number;
  readonly tracks: number;
  readonly classes: readonly { readonly name: string; readonly frames: number }[];
}

/** Frames of each class in each split, as shares with the counts written. */
export function classCountsChart(splits: readonly SplitCounts[]): Html {
  const bars = splits.flatMap(({ split, frames, tracks, classes }) =>
    classes.map((row) => ({
      split: `${split}: ${frames} frames of ${tracks} tracks`,
      name: row.name,
      frames: row.frames,
      share: row.frames / Math.max(1, frames),
    }))
  );
  const names = splits[0].classes.map(({ name }) => name);
  const longest = Math.max(...bars.map(({ frames }) => String(frames).length));
  return draw("Frames of each class in each split", {
    width: 960,
    height: 80 + 24 * names.length,
    marginLeft: 80,
    fx: { label: null, domain: [...new Set(bars.map(({ split }) => split))], padding: 0.15 },
    x: {
      label: "share of the split's frames",
      tickFormat: "%",
      grid: true,
      ticks: 5,
      insetRight: 20 + 7 * longest,
    },
    y: { label: null, domain: names, tickSize: 0 },
    marks: [
      Plot.barX(bars, { fx: "split", x: "share", y: "name", fill: "#0072b2" }),
      Plot.text(bars, { fx: "split", x: "share", y: "name", text: "frames", textAnchor: "start", dx: 4 }),
      Plot.ruleX([0]),
    ],
  });
}
