/**
 * The score over all weights of an ensemble: a line for two networks, a triangle for three.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { combine, scoreProbabilities, simplexPoints } from "../../../models/ensemble.ts";
import type { Html } from "./html.ts";
import { draw, ramp } from "./plot.ts";

/** The networks of an ensemble and the weights that were chosen for them. */
export interface SimplexInput {
  readonly names: readonly string[];
  readonly probabilities: readonly Float32Array[];
  readonly labels: ArrayLike<number>;
  readonly weights: readonly number[];
  /** distance of neighbouring points */
  readonly step: number;
}

interface Point {
  readonly weights: readonly number[];
  readonly score: number;
}

/** The score on all frames at every point of the simplex. */
export function simplexScores({ probabilities, labels, step }: SimplexInput): Point[] {
  return simplexPoints(probabilities.length, Math.round(1 / step)).map((weights) => ({
    weights,
    score: scoreProbabilities(combine(probabilities, weights), labels).score,
  }));
}

/** The chart; null for one network or more than three, which have no picture. */
export function simplexChart(input: SimplexInput): Html | null {
  const { names } = input;
  if (names.length < 2 || names.length > 3) return null;
  const points = simplexScores(input);
  return names.length === 2 ? lineChart(points, input) : triangleChart(points, input);
}

function lineChart(points: readonly Point[], { names, weights }: SimplexInput): Html {
  const line = points.map(({ weights: [first], score }) => ({ first, score }));
  const chosen = line.filter(({ first }) => Math.abs(first - weights[0]) < 1e-9);
  return draw(`Score over the weight of ${names[0]}`, {
    width: 620,
    height: 260,
    marginLeft: 50,
    x: { label: `weight of ${names[0]} (the rest is ${names[1]}'s)`, domain: [0, 1] },
    y: { label: "score", grid: true },
    marks: [
      Plot.line(line, { x: "first", y: "score", stroke: "#0072b2" }),
      Plot.dot(line, { x: "first", y: "score", fill: "#0072b2", r: 2.5 }),
      Plot.dot(chosen, { x: "first", y: "score", r: 8, stroke: "#d55e00", strokeWidth: 2 }),
      Plot.text(chosen, { x: "first", y: "score", text: () => "chosen", dy: -16 }),
    ],
  });
}

/** Corners of the triangle: each network by itself. */
const CORNERS = [[0, 0], [1, 0], [0.5, Math.sqrt(3) / 2]] as const;

/** Where weights lie in the triangle. */
function place(weights: readonly number[]): [x: number, y: number] {
  const at = (axis: 0 | 1) => weights.reduce((sum, weight, n) => sum + weight * CORNERS[n][axis], 0);
  return [at(0), at(1)];
}

function triangleChart(points: readonly Point[], { names, weights, step }: SimplexInput): Html {
  const width = 560;
  const margins = { marginLeft: 70, marginRight: 70, marginTop: 40, marginBottom: 40 };
  const side = width - 140;
  // One bad network alone would take all of the colours: the lowest twentieth of the points share the darkest.
  const scores = points.map(({ score }) => score).sort((a, b) => a - b);
  const range = [scores[Math.floor(scores.length / 20)], scores[scores.length - 1]] as const;
  const placed = points.map((point) => ({
    ...point,
    x: place(point.weights)[0],
    y: place(point.weights)[1],
  }));
  const [x, y] = place(weights);
  const inWords = weights.map((weight) => weight.toFixed(2)).join(" / ");
  const corners = CORNERS.map(([cx, cy], n) => ({ x: cx, y: cy, name: names[n], above: n === 2 }));
  const corner = (above: boolean) =>
    Plot.text(corners.filter((c) => c.above === above), {
      x: "x",
      y: "y",
      text: ({ name }: typeof corners[number]) => `${name} alone`,
      fontWeight: "bold",
      dy: above ? -22 : 24,
    });
  const chart = draw(`Score over the weights of ${names.join(", ")}`, {
    width,
    height: 80 + side * CORNERS[2][1],
    ...margins,
    axis: null,
    x: { domain: [0, 1] },
    y: { domain: [0, CORNERS[2][1]] },
    color: { type: "linear", scheme: "viridis", domain: range, clamp: true },
    marks: [
      Plot.dot(placed, { x: "x", y: "y", fill: "score", symbol: "hexagon", r: 0.6 * side * step }),
      Plot.dot([[x, y]], { r: 11, stroke: "white", strokeWidth: 5 }),
      Plot.dot([[x, y]], { r: 11, stroke: "#d55e00", strokeWidth: 2.5 }),
      Plot.text([[x, y]], {
        text: () => `chosen: ${inWords}`,
        dy: -20,
        fill: "#1a1a1a",
        stroke: "white",
        strokeWidth: 4,
      }),
      corner(true),
      corner(false),
    ],
  });
  return chart + ramp("score on all validation frames (darkest: or less)", range, "viridis");
}
