/**
 * The roofline (Williams et al. 2009) of an adapter with a model's kernels in it, as SVG by Observable Plot.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Peaks } from "../../kernels/runtime/peak.ts";
import type { DispatchRecord } from "../../kernels/runtime/timing.ts";
import { layerOf, type ProfileRow } from "./summary.ts";

const { document } = parseHTML("<!DOCTYPE html><html><body></body></html>") as unknown as {
  document: NonNullable<Plot.PlotOptions["document"]>;
};

const FONT = "DejaVu Sans, Verdana, Arial, sans-serif";
/** Pixels of the roofline, and of the column right of it where its kernels are named. */
const LEFT = 900;
const LABELS = 270;
/** Of the panel of kernels that only move data. */
const RIGHT = 480;
const WIDTH = LEFT + RIGHT;
const CHARACTER = 7; // its width, about
const TITLE = 64;
const HEIGHT = 560;
const INK = "#222";
const ROOF = "#b5403a";
const DOT = "#3366a8";

/** A kernel, or what a layer has of it. */
export interface Point {
  readonly name: string;
  /** floating-point operations for each byte */
  readonly intensity: number;
  readonly gflops: number;
  /** of a step */
  readonly ms: number;
}

/** What a stranger needs to know of the picture. */
export interface RooflineAbout {
  readonly adapter: string;
  readonly title: string;
  /** that the records are of */
  readonly steps: number;
}

const shortName = (name: string) => name.replace(/^.*\//, "").replace(/\.wgsl/, "");

/** Kernels that tell what they compute, and where they stand. */
export function pointsOf(rows: readonly ProfileRow[]): Point[] {
  return rows.flatMap(({ name, gflops, gbs, total_ms }) =>
    gflops === null || gbs === null
      ? []
      : [{ name: shortName(name), intensity: gflops / gbs, gflops, ms: total_ms }]
  );
}

/** The greatest speed at so many operations for each byte, in GFLOP/s. */
export function roofAt(intensity: number, { gflops, bandwidth }: Peaks): number {
  return Math.min(gflops, intensity * bandwidth);
}

/** The same, layer by layer, of records of so many steps. */
export function layerPoints(records: readonly DispatchRecord[], steps: number): Point[] {
  const groups = Map.groupBy(records, (record) => `${record.name} ${layerOf(record)}`);
  return [...groups.values()].flatMap((group) => {
    const sum = (value: (record: DispatchRecord) => number) =>
      group.reduce((total, record) => total + value(record), 0);
    const [flops, bytes, ns] = [
      sum(({ flops = 0 }) => flops),
      sum(({ bytes = 0 }) => bytes),
      sum(({ ns }) => ns),
    ];
    if (flops === 0 || bytes === 0) return [];
    const name = shortName(group[0].name);
    return [{ name, intensity: flops / bytes, gflops: flops / ns, ms: ns / 1e6 / steps }];
  });
}

/** What is used of linkedom's element. */
interface Drawing {
  readonly outerHTML: string;
  setAttribute(name: string, value: string): void;
}

function plotOf(
  options: Plot.PlotOptions,
): { node: Drawing; scale: (name: "x" | "y", value: number) => number } {
  const node = Plot.plot({
    ...options,
    document,
    style: { fontFamily: FONT, fontSize: "12px", color: INK } as unknown as string,
  });
  return {
    node: node as unknown as Drawing,
    scale: (name, value) => node.scale(name)!.apply(value) as number,
  };
}

/** Labels at the right of their points, moved apart; in pixels. */
function spread(wanted: readonly number[], apart: number, lowest: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const placed = [...wanted];
  order.forEach((i, rank) => {
    if (rank > 0) placed[i] = Math.max(placed[i], placed[order[rank - 1]] + apart);
  });
  for (let rank = order.length - 1, limit = lowest; rank >= 0; rank--, limit -= apart) {
    placed[order[rank]] = Math.min(placed[order[rank]], limit);
    limit = placed[order[rank]];
  }
  return placed;
}

const escape = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

function roofPanel(kernels: readonly Point[], layers: readonly Point[], peaks: Peaks): string {
  const { gflops: peak, bandwidth } = peaks;
  const all = [...kernels, ...layers];
  const ridge = peak / bandwidth;
  const low = Math.min(0.25, ...all.map(({ intensity }) => intensity)) / 1.5;
  const high = Math.max(4 * ridge, ...all.map(({ intensity }) => intensity)) * 1.5;
  const least = Math.min(low * bandwidth, ...all.map(({ gflops }) => gflops)) / 1.5;
  const most = Math.max(peak, ...all.map(({ gflops }) => gflops)) * 1.8;
  const roof = [low, ridge, high].map((x) => ({ x, y: roofAt(x, peaks) }));
  const longest = Math.max(...all.map(({ ms }) => ms));
  const { node, scale } = plotOf({
    width: LEFT,
    height: HEIGHT,
    marginLeft: 60,
    marginRight: LABELS,
    marginBottom: 48,
    x: {
      type: "log",
      domain: [low, high],
      label: "operations for each byte moved (FLOP / byte)",
      labelAnchor: "center",
      grid: true,
      tickFormat: "~g",
    },
    y: { type: "log", domain: [least, most], label: "speed (GFLOP/s)", grid: true, tickFormat: "~g" },
    r: { type: "sqrt", domain: [0, longest], range: [2, 16] },
    marks: [
      Plot.areaY(roof, { x: "x", y1: least, y2: "y", fill: ROOF, fillOpacity: 0.05 }),
      Plot.line(roof, { x: "x", y: "y", stroke: ROOF, strokeWidth: 2.5 }),
      Plot.dot(layers, { x: "intensity", y: "gflops", fill: DOT, fillOpacity: 0.25, r: "ms" }),
      Plot.dot(kernels, {
        x: "intensity",
        y: "gflops",
        r: "ms",
        fill: DOT,
        stroke: "white",
        strokeWidth: 1.5,
      }),
    ],
  });
  const texts = [
    `<text x="${scale("x", high) - 6}" y="${
      scale("y", peak) - 8
    }" text-anchor="end" fill="${ROOF}" font-weight="bold">` +
    `compute peak ${peak.toFixed(1)} GFLOP/s</text>`,
    slopedLabel(scale, low, ridge, bandwidth),
    ...kernelLabels(kernels, scale, peaks),
  ];
  return markup(node, 0, texts.join(""));
}

function slopedLabel(
  scale: (name: "x" | "y", value: number) => number,
  low: number,
  ridge: number,
  bandwidth: number,
): string {
  const [x1, x2] = [scale("x", low), scale("x", ridge)];
  const [y1, y2] = [scale("y", low * bandwidth), scale("y", ridge * bandwidth)];
  const angle = Math.atan2(y2 - y1, x2 - x1) * 180 / Math.PI;
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  return `<text transform="translate(${x}, ${y}) rotate(${angle})" dy="-8" text-anchor="middle" fill="${ROOF}" ` +
    `font-weight="bold">memory ${bandwidth.toFixed(1)} GB/s</text>`;
}

/** Names in a column right of the frame, each with a line to its dot. */
function kernelLabels(
  kernels: readonly Point[],
  scale: (name: "x" | "y", value: number) => number,
  peaks: Peaks,
): string[] {
  const [xs, ys] = [kernels.map((k) => scale("x", k.intensity)), kernels.map((k) => scale("y", k.gflops))];
  const frame = LEFT - LABELS;
  const x = frame + 22;
  const placed = spread(ys, 32, HEIGHT - 80);
  return kernels.flatMap(({ name, intensity, gflops, ms }, i) => [
    `<path d="M${xs[i]},${ys[i]}L${frame + 4},${placed[i] + 4}H${
      x - 4
    }" stroke="${INK}" stroke-width="0.8" ` +
    `stroke-opacity="0.6" fill="none"/>`,
    `<text x="${x}" y="${placed[i] + 1}" text-anchor="start" fill="${INK}">${escape(name)}</text>`,
    `<text x="${x}" y="${placed[i] + 14}" text-anchor="start" fill="#666" font-size="10.5">${
      gflops.toPrecision(3)
    } GFLOP/s, ${(100 * gflops / roofAt(intensity, peaks)).toFixed(0)} % of the roof, ${
      ms.toPrecision(3)
    } ms</text>`,
  ]);
}

/** Kernels that tell only what they move. */
function memoryPanel(rows: readonly ProfileRow[], { bandwidth }: Peaks): string {
  const bars = rows.filter(({ gflops, gbs }) => gflops === null && gbs !== null).slice(0, 16)
    .map(({ name, gbs, total_ms }) => ({ name: shortName(name), gbs: gbs!, ms: total_ms }));
  const { node } = plotOf({
    width: RIGHT,
    height: Math.min(HEIGHT, 100 + 30 * bars.length),
    marginLeft: 20 + CHARACTER * Math.max(0, ...bars.map(({ name }) => name.length)),
    marginRight: 60,
    marginTop: 40,
    marginBottom: 48,
    x: {
      domain: [0, Math.max(bandwidth, ...bars.map(({ gbs }) => gbs)) * 1.05],
      label: "GB/s moved",
      grid: true,
      ticks: 4,
    },
    y: { domain: bars.map(({ name }) => name), label: null, tickSize: 0 },
    marks: [
      Plot.barX(bars, { x: "gbs", y: "name", fill: DOT, fillOpacity: 0.8, insetTop: 3, insetBottom: 3 }),
      Plot.text(bars, {
        x: "gbs",
        y: "name",
        text: (bar: typeof bars[number]) => `${bar.ms.toPrecision(2)} ms`,
        dx: 5,
        textAnchor: "start",
        fontSize: 10.5,
        fill: "#666",
        stroke: "white",
        strokeWidth: 3,
      }),
      Plot.ruleX([bandwidth], { stroke: ROOF, strokeWidth: 2.5 }),
      Plot.text([bandwidth], {
        x: (value: number) => value,
        frameAnchor: "top",
        textAnchor: "end",
        dx: 6,
        dy: -14,
        text: () => `memory ${bandwidth.toFixed(1)} GB/s`,
        fill: ROOF,
        fontWeight: "bold",
      }),
    ],
  });
  return markup(node, LEFT, "");
}

/** The plot's svg with something drawn over it, moved to the right and below the title. */
function markup(node: Drawing, x: number, over: string): string {
  node.setAttribute("x", String(x));
  node.setAttribute("y", String(TITLE));
  const svg = node.outerHTML;
  const end = svg.lastIndexOf("</svg>");
  return svg.slice(0, end) + over + svg.slice(end);
}

/**
 * The picture: a kernel is a large dot (its area is its time), its layers are the pale ones. No dot can be above the red
 * roof's level part; one above its slope finds in a cache what counts as moved. Kernels that tell no operations stand at
 * the right with what they move.
 */
export function rooflineSvg(
  rows: readonly ProfileRow[],
  records: readonly DispatchRecord[],
  peaks: Peaks,
  { adapter, title, steps }: RooflineAbout,
): string {
  const kernels = pointsOf(rows);
  const layers = layerPoints(records, steps);
  const heading = (x: number, y: number, text: string, style: string) =>
    `<text x="${x}" y="${y}" ${style}>${escape(text)}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT + TITLE + 34}" ` +
    `viewBox="0 0 ${WIDTH} ${HEIGHT + TITLE + 34}" font-family="${FONT}" font-size="12">` +
    `<rect width="100%" height="100%" fill="white"/>` +
    heading(16, 26, title, `font-size="17" font-weight="bold" fill="${INK}"`) +
    heading(16, 46, `${adapter}; peak and bandwidth as measured in the same run`, `fill="#666"`) +
    heading(
      LEFT + 16,
      46,
      "kernels that move data and count no operations",
      `fill="${INK}" font-weight="bold"`,
    ) +
    roofPanel(kernels, layers, peaks) +
    memoryPanel(rows, peaks) +
    heading(
      16,
      HEIGHT + TITLE + 16,
      "Large dots: a kernel over the whole step, its area is its time. Pale dots: the same kernel in one layer. " +
        "The nearer to the red roof, the less there is to gain;",
      `fill="#666" font-size="11"`,
    ) +
    heading(
      16,
      HEIGHT + TITLE + 30,
      "left of its bend a kernel waits for memory, right of it for arithmetic. Bytes count each tensor once: what a cache " +
        "holds can lie above the slope.",
      `fill="#666" font-size="11"`,
    ) +
    `</svg>`;
}
