/**
 * `deno task roofline`: what this adapter can do at most, and every kernel of a model in it.
 *
 * @module
 */
import sharp from "sharp";
import { register } from "../kernels/mod.ts";
import { measurePeaks, type Peaks } from "../kernels/runtime/peak.ts";
import { NETWORK_TITLES } from "../models/networks.ts";
import { WORKLOAD_FLAGS, type WorkloadFlags, workloadOptions } from "./profile/flags.ts";
import { measureSteps } from "./profile/measure.ts";
import { rooflineSvg } from "./profile/roofline_chart.ts";
import { rowTable, summarize } from "./profile/summary.ts";
import { createWorkload } from "./profile/workload.ts";
import { applyChoices } from "./run/choices.ts";
import { defineCommand, runTask, UserError } from "./run/cli.ts";
import { startDevice } from "./run/device.ts";
import { requireWritable, writeBytesAtomic, writeTextAtomic } from "./run/files.ts";
import { textTable } from "./run/table.ts";

const command = defineCommand({
  task: "roofline",
  summary:
    "Measures this adapter's peak and bandwidth and draws every kernel of a model's step beside them (SVG and PNG).",
  flags: {
    ...WORKLOAD_FLAGS,
    out: {
      type: "string",
      placeholder: "PATH",
      default: "out/roofline",
      description: "PATH.svg, PATH.png and PATH.json are written",
    },
    variants: {
      type: "string",
      placeholder: "FILE",
      description: "use the variants that deno task tune found, in place of the shipped defaults",
    },
  },
  examples: ["deno task roofline", "deno task roofline --model transformer --mode inference"],
});

/** Pixels of the PNG for each of the SVG's. */
const SCALE = 2;
const SVG_DENSITY = 72;

/** The roof of two measurements, before and after the steps: a busy moment makes either lower than it is. */
function higher(a: Peaks, b: Peaks): Peaks {
  return { gflops: Math.max(a.gflops, b.gflops), bandwidth: Math.max(a.bandwidth, b.bandwidth) };
}

await runTask(command, Deno.args, async (options, context) => {
  const { out, variants, steps, dryRun } = options;
  const workload = await workloadOptions("roofline", options as WorkloadFlags);
  context.log(JSON.stringify({ ...workload, out, variants: variants ?? null }));
  if (/[\\/]$/.test(out)) {
    throw new UserError(
      `Cannot run roofline: --out is ${out}, a folder; expected a file's path without its ending`,
    );
  }
  if (dryRun) return { dryRun: true };
  for (const ending of ["svg", "png", "json"]) await requireWritable(`${out}.${ending}`);
  const adapter = await startDevice(context);
  await applyChoices(variants, adapter, context);
  register();
  const before = await measurePeaks();
  const running = createWorkload(workload);
  try {
    const measured = await measureSteps(running, steps, context.signal);
    const peaks = higher(before, await measurePeaks());
    context.log(`peak ${peaks.gflops.toFixed(1)} GFLOP/s, copy bandwidth ${peaks.bandwidth.toFixed(1)} GB/s`);
    const { kernels } = summarize(measured, peaks);
    const impossible = kernels.filter(({ gflops }) => gflops !== null && gflops > peaks.gflops);
    for (const { name, gflops } of impossible) {
      console.error(
        `warning: ${name} runs at ${
          gflops!.toFixed(1)
        } GFLOP/s, above the measured peak: the machine was busy with ` +
          `something else while that was measured`,
      );
    }
    const [header, ...cells] = rowTable("kernel", kernels, kernels.length);
    textTable(header, cells).forEach((line) => context.log(line));
    const { network, mode, batch, window, width, size } = running.description;
    const title =
      `${NETWORK_TITLES[network]}, ${mode === "train" ? "a training step" : "inference"}: width ${width}, ` +
      `${size}x${size} pixels, batch ${batch}${window === null ? "" : ` windows of ${window} frames`}`;
    const about = { adapter: adapter.description, title, steps: measured.steps.length };
    const svg = rooflineSvg(kernels, measured.records, peaks, about);
    const png = await sharp(new TextEncoder().encode(svg), { density: SCALE * SVG_DENSITY }).png().toBuffer();
    await writeTextAtomic(`${out}.svg`, svg);
    await writeBytesAtomic(`${out}.png`, png);
    const content = {
      adapter,
      deno: Deno.version.deno,
      peak_gflops: peaks.gflops,
      bandwidth_gbs: peaks.bandwidth,
      workload: running.description,
      kernels,
    };
    await writeTextAtomic(`${out}.json`, JSON.stringify(content, null, 2) + "\n");
    return {
      adapter: adapter.description,
      ...running.description,
      peak_gflops: Number(peaks.gflops.toPrecision(3)),
      bandwidth_gbs: Number(peaks.bandwidth.toPrecision(3)),
      kernels: kernels.length,
      svg: `${out}.svg`,
      png: `${out}.png`,
    };
  } finally {
    running.dispose();
  }
});
