/**
 * The report of `deno task profile --json FILE`: where the time of a step goes, by kernel and by layer.
 *
 * @module
 */
import * as Plot from "@observablehq/plot";
import { z } from "zod";
import { NETWORK_NAMES, NETWORK_TITLES } from "../../../models/networks.ts";
import { type Profile, type ProfileRow, rowTable, stepMs, verdict } from "../../profile/summary.ts";
import type { Workload } from "../../profile/workload.ts";
import { type Html, renderPage, table } from "./html.ts";
import { draw } from "./plot.ts";

const row = z.object({
  name: z.string(),
  dispatches: z.number(),
  total_ms: z.number(),
  median_ms: z.number(),
  backward_ms: z.number(),
  share: z.number(),
  gflops: z.number().nullable(),
  gbs: z.number().nullable(),
  percent_of_roofline: z.number().nullable(),
  allocated_bytes: z.number(),
}) satisfies z.ZodType<ProfileRow>;

/** The file that profile writes of a network. */
export const profileSchema = z.object({
  adapter: z.object({ description: z.string(), software: z.boolean().optional() }),
  deno: z.string(),
  peak_gflops: z.number(),
  bandwidth_gbs: z.number(),
  workload: z.object({
    network: z.enum(NETWORK_NAMES),
    mode: z.enum(["train", "inference"]),
    width: z.number(),
    size: z.number(),
    batch: z.number(),
    window: z.number().nullable(),
    backbone: z.boolean(),
  }),
  steps: z.number(),
  dispatches: z.object({ ours: z.number(), stock: z.number(), copies: z.number() }),
  parts: z.object({
    kernels_ms: z.number(),
    copies_ms: z.number(),
    gaps_ms: z.number(),
    waits_ms: z.number(),
    sum_ms: z.number(),
    whole_ms: z.number(),
    whole_late_ms: z.number(),
    difference: z.number(),
    agrees: z.boolean().nullable(),
    median_gap_ms: z.number(),
  }),
  usual: z.object({ wall_ms: z.number(), host_ms: z.number() }),
  host_ms: z.number(),
  kernels: z.array(row),
  layers: z.array(row),
}) satisfies z.ZodType<Profile & { readonly workload: Workload["description"] }>;

/** Its content. */
export type ProfileFile = z.infer<typeof profileSchema>;

const FORWARD = "#0072b2";
const BACKWARD = "#e69f00";
const GAP = "#b0b0b0";
const WAIT = "#e3e3e3";
const MOST_BARS = 24;

const ms = (value: number) => `${value.toPrecision(3)} ms`;
const share = (part: number, whole: number) => `${(100 * part / whole).toFixed(1)} %`;

/** The workload in words. */
function workloadText(
  { network, mode, width, size, batch, window, backbone }: Workload["description"],
): string {
  const of = window === null ? `${batch} images` : `${batch} windows of ${window} frames`;
  return `${NETWORK_TITLES[network]}, ${
    mode === "train" ? "a training step" : "inference"
  } on ${of}: width ${width}, ` +
    `${size}x${size} pixels${backbone ? "" : ", on features of the backbone"}`;
}

/** The profile as HTML. */
export function renderProfileReport(file: ProfileFile): Html {
  const { adapter, workload, parts, steps, dispatches, usual, kernels, layers } = file;
  const step = stepMs(parts);
  const [first, ...others] = kernels.filter(({ total_ms }) => total_ms > 0).slice(0, 3);
  return renderPage({
    title: "Profile: where the time of a step goes",
    subtitle: `${workloadText(workload)}. Mean of ${steps} steps on ${adapter.description}.`,
    conclusion: `A step keeps the device for ${ms(step)}, ${
      share(parts.gaps_ms, step)
    } of it in gaps between dispatches. ${first?.name ?? "nothing"} takes most${
      first === undefined ? "" : `, ${share(first.total_ms, step)}`
    }${others.map(({ name, total_ms }) => `; then ${name}, ${share(total_ms, step)}`).join("")}.`,
    ...(parts.agrees === true ? {} : { warning: `The parts and the whole: ${verdict(parts, steps)}.` }),
    facts: [
      ["adapter", adapter.description + (adapter.software ? " (software: no GPU)" : "")],
      ["peak", `${file.peak_gflops.toPrecision(3)} GFLOP/s, measured`],
      ["copy bandwidth", `${file.bandwidth_gbs.toPrecision(3)} GB/s, measured`],
      ["workload", workloadText(workload)],
      [
        "commands of a step",
        `${dispatches.ours} dispatches of ours, ${dispatches.stock} of TensorFlow.js's, ${dispatches.copies} copies`,
      ],
      ["as it usually runs", `${ms(usual.wall_ms)} a step, without a timed pass for each dispatch`],
      ["Deno", file.deno],
    ],
    sections: [
      {
        title: "The parts of a step",
        note:
          "Every dispatch runs in a pass of its own, with a timestamp at its begin and one at its end. Gaps: the device " +
          "between two passes of a step. Waits: the device between two steps, while the host is not ready. The sum of the " +
          "parts is by the device's clock, the whole by the host's.",
        body: partsChart(file) + partsTable(file),
      },
      barSection("kernel", kernels, file),
      barSection("layer", layers, file),
      tableSection("kernels", "kernel", kernels, file),
      tableSection("layers", "layer", layers, file),
    ],
  });
}

function partsChart({ parts }: ProfileFile): Html {
  const names = ["kernels", "copies", "gaps between passes", "waits between steps"];
  const values = [parts.kernels_ms, parts.copies_ms, parts.gaps_ms, parts.waits_ms];
  let from = 0;
  const bars = names.map((name, i) => ({ name, from, to: from += values[i] }));
  return draw("The parts of a step, in milliseconds", {
    width: 960,
    height: 120,
    marginLeft: 20,
    marginRight: 20,
    x: { label: "ms of a step", grid: true, domain: [0, Math.max(from, parts.whole_ms) * 1.01] },
    color: { domain: names, range: [FORWARD, "#56b4e9", GAP, WAIT], legend: true },
    marks: [
      Plot.barX(bars, { x1: "from", x2: "to", fill: "name", insetTop: 4, insetBottom: 4 }),
      Plot.ruleX([parts.whole_ms], { stroke: "#d55e00", strokeWidth: 2 }),
      Plot.text([parts.whole_ms], {
        x: (value: number) => value,
        frameAnchor: "top",
        dy: -14,
        textAnchor: "end",
        text: () => "whole, by the host's clock",
        fill: "#d55e00",
      }),
    ],
  });
}

function partsTable({ parts, dispatches, host_ms, usual, steps }: ProfileFile): Html {
  const { sum_ms } = parts;
  const row = (name: string, value: number, note: string) => [name, ms(value), share(value, sum_ms), note];
  return table(
    [{ title: "part" }, { title: "time" }, { title: "of the sum" }, { title: "", text: true }],
    [
      row(
        "kernels",
        parts.kernels_ms,
        `${dispatches.ours} dispatches of ours, ${dispatches.stock} of TensorFlow.js's`,
      ),
      row("copies", parts.copies_ms, `${dispatches.copies}`),
      row(
        "gaps between passes",
        parts.gaps_ms,
        `median ${(1000 * parts.median_gap_ms).toFixed(1)} µs`,
      ),
      row("waits between steps", parts.waits_ms, "the device waits for the host"),
      row("sum of the parts", sum_ms, ""),
      row("whole, by the host's clock", parts.whole_ms, verdict(parts, steps)),
      row("host, recording and submitting", host_ms, "beside the device, with every dispatch timed"),
      row("as it usually runs", usual.wall_ms, `which the host has submitted after ${ms(usual.host_ms)}`),
    ],
  );
}

/** Bars of the slowest rows; a row's parts are its forward and its backward dispatches. */
function barSection(of: "kernel" | "layer", rows: readonly ProfileRow[], { parts }: ProfileFile) {
  const step = stepMs(parts);
  const rest = rows.slice(MOST_BARS);
  const restName = `${rest.length} more`;
  const shown = [
    ...rows.slice(0, MOST_BARS),
    ...(rest.length === 0 ? [] : [{
      name: restName,
      total_ms: rest.reduce((sum, { total_ms }) => sum + total_ms, 0),
      backward_ms: rest.reduce((sum, { backward_ms }) => sum + backward_ms, 0),
    }]),
  ];
  const bars = shown.flatMap(({ name, total_ms, backward_ms }) => [
    { name, part: "forward and update", from: 0, to: total_ms - backward_ms },
    { name, part: "gradients", from: total_ms - backward_ms, to: total_ms },
  ]);
  const gap = "gaps between passes";
  bars.push({ name: gap, part: gap, from: 0, to: parts.gaps_ms });
  const ends = [...shown.map(({ name, total_ms }) => ({ name, to: total_ms })), {
    name: gap,
    to: parts.gaps_ms,
  }];
  const chart = draw(`Milliseconds of a step by ${of}`, {
    width: 960,
    height: 110 + 20 * ends.length,
    marginLeft: 20 + 6.8 * Math.max(...ends.map(({ name }) => name.length)),
    marginRight: 110,
    x: { label: "ms of a step", grid: true },
    y: { label: null, domain: ends.map(({ name }) => name), tickSize: 0 },
    color: {
      domain: ["forward and update", "gradients", gap],
      range: [FORWARD, BACKWARD, GAP],
      legend: true,
    },
    marks: [
      Plot.barX(bars, { x1: "from", x2: "to", y: "name", fill: "part", insetTop: 2, insetBottom: 2 }),
      Plot.text(ends, {
        x: "to",
        y: "name",
        dx: 5,
        textAnchor: "start",
        text: ({ to }: { to: number }) => `${ms(to)}, ${share(to, step)}`,
      }),
      Plot.ruleX([0]),
    ],
  });
  return {
    title: `Share by ${of}`,
    note: `The slowest first, per step; the percentage is of the step's ${
      ms(step)
    } on the device, gaps included.${
      of === "layer" ? " What the optimizer does has no layer of its own: it is the update." : ""
    }`,
    body: chart,
  };
}

function tableSection(title: string, of: string, rows: readonly ProfileRow[], { parts }: ProfileFile) {
  const [header, ...cells] = rowTable(of, rows, rows.length, parts);
  return {
    title: `All ${title}`,
    note:
      "Per step. GFLOP/s and GB/s count what our dispatches compute and move, each tensor once; a dash is where that is " +
      "not known. % roofline: the least time that the adapter's measured peak and bandwidth allow, as a share of the time. " +
      "MiB taken: of buffers, reused ones included.",
    body: table(header.map((name) => ({ title: name })), cells, { dense: true }),
  };
}
