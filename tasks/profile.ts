/**
 * `deno task profile`: where the time of a network's step goes, by kernel and by layer; or one kernel alone.
 *
 * @module
 */
import { register } from "../kernels/mod.ts";
import { measurePeaks, type Peaks } from "../kernels/runtime/peak.ts";
import { kernelCases, profileKernel } from "./profile/alone_task.ts";
import { WORKLOAD_FLAGS, type WorkloadFlags, workloadOptions } from "./profile/flags.ts";
import { PROFILED_KERNELS } from "./profile/kernels.ts";
import { measureSteps } from "./profile/measure.ts";
import { partLines, rowTable, summarize, verdict } from "./profile/summary.ts";
import { toTrace } from "./profile/trace.ts";
import { createWorkload, type WorkloadOptions } from "./profile/workload.ts";
import { applyChoices } from "./run/choices.ts";
import { type Context, defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { startDevice } from "./run/device.ts";
import { requireWritable, writeTextAtomic } from "./run/files.ts";
import { textTable } from "./run/table.ts";
import type { AdapterRecord } from "../kernels/runtime/device.ts";

const command = defineCommand({
  task: "profile",
  summary:
    "Times every dispatch of a network's steps, by kernel and by layer; with --kernel, one kernel's variants, or an " +
    "edited shader against the current one.",
  flags: {
    ...WORKLOAD_FLAGS,
    rows: { type: "integer", min: 1, description: "rows of a table; the rest is summed up (default 25)" },
    trace: {
      type: "string",
      placeholder: "FILE",
      description: "also write the host's and the device's timeline for ui.perfetto.dev",
    },
    json: { type: "string", placeholder: "FILE", description: "also write adapter, peaks and all rows" },
    variants: {
      type: "string",
      placeholder: "FILE",
      description: "use the variants that deno task tune found, in place of the shipped defaults",
    },
    kernel: {
      type: "string",
      choices: Object.keys(PROFILED_KERNELS),
      description: "this kernel alone, without a network",
    },
    shape: {
      type: "string",
      placeholder: "N,H,W,...",
      description: "of --kernel; its letters are in the error",
    },
    stride: { type: "integer", min: 1, description: "of a convolution (default 1)" },
    pad: { type: "integer", min: 0, description: "of a convolution (default half the filter)" },
    variant: {
      type: "string",
      placeholder: "N|TEXT",
      description: "only the Nth variant, or those whose JSON contains TEXT",
    },
    show: {
      type: "string",
      choices: ["wgsl"],
      description: "print the final source of the variant's shaders",
    },
    wgsl: {
      type: "string",
      placeholder: "FILE",
      description: "an edited copy of a shader of the kernel, held against the right result, then timed",
    },
    time: { type: "number", min: 0, description: "seconds of measuring a kernel (default 1)" },
  },
  examples: [
    "deno task profile --model cnn --batch 16 --trace out/trace.json",
    "deno task profile --run runs/paper/all_three.json --model rnn --mode inference",
    "deno task profile --kernel conv2d --shape 16,12,12,16,3,3,16",
    "deno task profile --kernel conv2d_fwd --shape 16,12,12,16,3,3,16 --wgsl /tmp/conv2d_fwd.wgsl",
  ],
});

type ProfileOptions = Options<typeof command.flags>;

const ROWS = 25;

interface Started {
  readonly adapter: AdapterRecord;
  readonly peaks: Peaks;
}

async function start(variants: string | undefined, context: Context): Promise<Started> {
  const adapter = await startDevice(context);
  await applyChoices(variants, adapter, context);
  register();
  const peaks = await measurePeaks();
  context.log(`peak ${peaks.gflops.toFixed(1)} GFLOP/s, copy bandwidth ${peaks.bandwidth.toFixed(1)} GB/s`);
  return { adapter, peaks };
}

interface Outputs {
  readonly steps: number | undefined;
  readonly rows: number | undefined;
  readonly trace: string | undefined;
  readonly json: string | undefined;
}

async function profileNetwork(
  options: WorkloadOptions,
  { adapter, peaks }: Started,
  { steps, rows = ROWS, trace, json }: Outputs,
  context: Context,
): Promise<Record<string, unknown>> {
  const workload = createWorkload(options);
  try {
    const measured = await measureSteps(workload, steps, context.signal);
    const profile = summarize(measured, peaks);
    const about = {
      adapter,
      deno: Deno.version.deno,
      peak_gflops: peaks.gflops,
      bandwidth_gbs: peaks.bandwidth,
      workload: workload.description,
    };
    const print = (title: string, of: typeof profile.kernels) => {
      const [header, ...cells] = rowTable(title, of, rows, profile.parts);
      context.log("");
      textTable(header, cells).forEach((line) => context.log(line));
    };
    print("kernel", profile.kernels);
    print("layer", profile.layers);
    context.log("");
    partLines(profile).forEach((line) => context.log(line));
    if (profile.parts.agrees !== true) console.error(`warning: ${verdict(profile.parts, profile.steps)}`);
    if (json !== undefined) {
      await writeTextAtomic(json, JSON.stringify({ ...about, ...profile }, null, 2) + "\n");
    }
    if (trace !== undefined) {
      await writeTextAtomic(trace, JSON.stringify(toTrace(measured, about)));
      context.log(`trace: ${trace}; open it in ui.perfetto.dev`);
    }
    const { parts, usual, host_ms } = profile;
    const rounded = (value: number) => Number(value.toPrecision(4));
    return {
      adapter: adapter.description,
      ...workload.description,
      steps: profile.steps,
      step_ms: rounded(parts.sum_ms),
      kernels_ms: rounded(parts.kernels_ms),
      gaps_ms: rounded(parts.gaps_ms),
      whole_ms: rounded(parts.whole_ms),
      difference: rounded(parts.difference),
      agrees: parts.agrees,
      usual_ms: rounded(usual.wall_ms),
      host_ms: rounded(host_ms),
      trace: trace ?? null,
      json: json ?? null,
    };
  } finally {
    workload.dispose();
  }
}

/** Flags of one kernel alone, and of a network. */
const ALONE = ["shape", "stride", "pad", "variant", "show", "wgsl", "time"] as const;
const NETWORK = [...Object.keys(WORKLOAD_FLAGS) as (keyof typeof WORKLOAD_FLAGS)[], "rows", "trace"] as const;

/** @throws {UserError} for a flag that would do nothing */
function requireNone(options: ProfileOptions, names: readonly (keyof ProfileOptions)[], how: string): void {
  const astray = names.find((name) => name === "set" ? options.set.length > 0 : options[name] !== undefined);
  if (astray !== undefined) throw new UserError(`Cannot run profile: --${astray} goes ${how}`);
}

async function profileAlone(kernel: string, options: ProfileOptions, context: Context) {
  const { shape, json, variants, dryRun } = options;
  requireNone(options, NETWORK, "without --kernel; expected a network's flags, or a kernel's");
  if (shape === undefined) {
    const { letters } = PROFILED_KERNELS[kernel];
    throw new UserError(
      `Cannot run profile: --shape is missing; ${kernel} wants --shape ${letters.join(",")}`,
    );
  }
  const flags = { ...options, kernel, shape };
  kernelCases(flags); // a wrong shape is told before the device is there
  context.log(JSON.stringify({ kernel, shape, variants: variants ?? null }));
  if (dryRun) return { dryRun: true };
  if (json !== undefined) await requireWritable(json);
  const { adapter, peaks } = await start(variants, context);
  const result = await profileKernel(flags, peaks, context);
  const content = {
    adapter,
    deno: Deno.version.deno,
    peak_gflops: peaks.gflops,
    bandwidth_gbs: peaks.bandwidth,
  };
  if (json !== undefined) {
    await writeTextAtomic(json, JSON.stringify({ ...content, ...result.file }, null, 2) + "\n");
  }
  return { adapter: adapter.description, ...result.line, json: json ?? null };
}

await runTask(command, Deno.args, async (options, context) => {
  const { kernel, trace, json, variants, dryRun } = options;
  if (kernel !== undefined) return await profileAlone(kernel, options, context);
  requireNone(options, ALONE, "with --kernel; expected --kernel NAME");
  const workload = await workloadOptions("profile", options as WorkloadFlags);
  context.log(JSON.stringify({ ...workload, variants: variants ?? null }));
  if (dryRun) return { dryRun: true };
  for (const path of [trace, json]) if (path !== undefined) await requireWritable(path);
  return await profileNetwork(workload, await start(variants, context), options, context);
});
