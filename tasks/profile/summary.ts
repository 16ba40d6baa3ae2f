/**
 * From timed dispatches to tables: by kernel, by layer, and where the rest of the time is.
 *
 * @module
 */
import type { Peaks } from "../../kernels/runtime/peak.ts";
import { type DispatchRecord, median } from "../../kernels/runtime/timing.ts";
import type { MeasuredStep, Measurement } from "./measure.ts";

/**
 * Dispatches with something in common, per step. What a stock dispatch computes and moves is not known and counts as
 * nothing, so that rates are lower bounds where there are such.
 */
export interface ProfileRow {
  readonly name: string;
  readonly dispatches: number;
  /** milliseconds: of a step, and of a dispatch in the middle */
  readonly total_ms: number;
  readonly median_ms: number;
  /** of the total, what are gradients */
  readonly backward_ms: number;
  /** of the step's time on the device, gaps included */
  readonly share: number;
  /** null where nothing is known */
  readonly gflops: number | null;
  readonly gbs: number | null;
  /** the time that the adapter's peak and bandwidth allow at best, as a share of the total */
  readonly percent_of_roofline: number | null;
  /** of storage buffers taken, reused ones included */
  readonly allocated_bytes: number;
}

/** Where the time of a step is; milliseconds per step. */
export interface ProfileParts {
  readonly kernels_ms: number;
  readonly copies_ms: number;
  /** between the commands of a step */
  readonly gaps_ms: number;
  /** the device between the last command of a step and the first of the next: it waits for the host */
  readonly waits_ms: number;
  /** kernels, copies, gaps and waits */
  readonly sum_ms: number;
  /** from the first dispatch's begin to when the host learnt that all was done, by the host's clock */
  readonly whole_ms: number;
  /** by how much the host can have learnt it late, per step */
  readonly whole_late_ms: number;
  /** sum / whole - 1 */
  readonly difference: number;
  /** the difference is within 5 %; null if it is not and the host's lateness can be why: the steps were too short */
  readonly agrees: boolean | null;
  /** gaps in the middle, in milliseconds */
  readonly median_gap_ms: number;
}

/** A profile: the content of `--json`. */
export interface Profile {
  readonly steps: number;
  readonly dispatches: { readonly ours: number; readonly stock: number; readonly copies: number };
  readonly parts: ProfileParts;
  /** a step without timing: by the host's clock, and the host's recording of it */
  readonly usual: { readonly wall_ms: number; readonly host_ms: number };
  /** recording and submitting a step with timing */
  readonly host_ms: number;
  readonly kernels: readonly ProfileRow[];
  readonly layers: readonly ProfileRow[];
}

/** How far the sum of the parts and the whole may be apart. */
export const AGREEMENT = 0.05;

const NO_LAYER = "(no layer)";

/** The layer of a dispatch, without the step's name. */
export function layerOf({ scope }: DispatchRecord): string {
  const path = scope?.path.slice(1) ?? [];
  return path.length === 0 ? NO_LAYER : path.join("/");
}

/** The time that a dispatch needs at best, in nanoseconds; 0 where nothing is known. */
function bestNs({ flops = 0, bytes = 0 }: DispatchRecord, peaks: Peaks): number {
  return Math.max(flops / peaks.gflops, bytes / peaks.bandwidth);
}

function sumOf<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0);
}

function rowOf(
  name: string,
  records: readonly DispatchRecord[],
  { steps, step, peaks }: { steps: number; step: number; peaks: Peaks },
): ProfileRow {
  const ns = sumOf(records, (record) => record.ns);
  const total_ms = ns / 1e6 / steps;
  const rate = (value: number) => value === 0 || ns === 0 ? null : value / ns;
  const best = rate(sumOf(records, (record) => bestNs(record, peaks)));
  return {
    name,
    dispatches: records.length / steps,
    total_ms,
    median_ms: median(records.map((record) => record.ns)) / 1e6,
    backward_ms: sumOf(records, (record) => record.scope?.backward ? record.ns : 0) / 1e6 / steps,
    share: total_ms / step,
    gflops: rate(sumOf(records, ({ flops = 0 }) => flops)),
    gbs: rate(sumOf(records, ({ bytes = 0 }) => bytes)),
    percent_of_roofline: best === null ? null : 100 * best,
    allocated_bytes: sumOf(records, ({ allocated }) => allocated) / steps,
  };
}

/** What lies between commands, in nanoseconds; passes that overlap make it negative. */
function gapsOf(records: readonly DispatchRecord[], steps: readonly MeasuredStep[]) {
  const first = new Set(steps.map(({ from }) => from));
  const gaps: number[] = [];
  const waits: number[] = [];
  records.slice(1).forEach((record, i) => {
    const gap = record.start - (records[i].start + records[i].ns);
    (first.has(i + 1) ? waits : gaps).push(gap);
  });
  return { gaps, waits };
}

/**
 * If the sum of the parts, which comes from the device's clock, agrees with the whole, which comes from the host's. It
 * does not where passes overlap, where a tick is taken for something else, and where the device is busy with what has no
 * timestamps.
 */
export function agreement(sum: number, whole: number, late: number): boolean | null {
  if (Math.abs(sum / whole - 1) <= AGREEMENT) return true;
  const least = whole - late;
  return sum < whole && least > 0 && sum / least >= 1 - AGREEMENT ? null : false;
}

function partsOf({ records, steps, whole, lateness }: Measurement): ProfileParts {
  const count = steps.length;
  const perStep = (ns: number) => ns / 1e6 / count;
  const { gaps, waits } = gapsOf(records, steps);
  // An overlap is no negative gap: then the parts are more than the whole, and that is said.
  const positive = (values: readonly number[]) => sumOf(values, (gap) => Math.max(0, gap));
  const time = (copies: boolean) =>
    perStep(sumOf(records, ({ kind, ns }) => (kind === "copy") === copies ? ns : 0));
  const kernels_ms = time(false);
  const copies_ms = time(true);
  const gaps_ms = perStep(positive(gaps));
  const waits_ms = perStep(positive(waits));
  const sum_ms = kernels_ms + copies_ms + gaps_ms + waits_ms;
  const whole_ms = whole / count;
  const whole_late_ms = lateness / count;
  return {
    kernels_ms,
    copies_ms,
    gaps_ms,
    waits_ms,
    sum_ms,
    whole_ms,
    whole_late_ms,
    difference: sum_ms / whole_ms - 1,
    agrees: agreement(sum_ms, whole_ms, whole_late_ms),
    median_gap_ms: gaps.length === 0 ? 0 : median(gaps) / 1e6,
  };
}

/** A step's time on the device, gaps included. */
export function stepMs({ kernels_ms, copies_ms, gaps_ms }: ProfileParts): number {
  return kernels_ms + copies_ms + gaps_ms;
}

/** Sums up a measurement. The slowest rows come first. */
export function summarize(measured: Measurement, peaks: Peaks): Profile {
  const { records, steps, usual } = measured;
  const parts = partsOf(measured);
  const per = { steps: steps.length, step: stepMs(parts), peaks };
  const rows = (nameOf: (record: DispatchRecord) => string) =>
    [...Map.groupBy(records, nameOf)].map(([name, group]) => rowOf(name, group, per))
      .sort((a, b) => b.total_ms - a.total_ms);
  const count = (kind: DispatchRecord["kind"]) =>
    records.filter((record) => record.kind === kind).length / steps.length;
  return {
    steps: steps.length,
    dispatches: { ours: count("ours"), stock: count("stock"), copies: count("copy") },
    parts,
    usual: { wall_ms: usual.wall, host_ms: usual.host },
    host_ms: sumOf(steps, ({ recording, submitting }) => recording + submitting) / steps.length,
    kernels: rows(({ name, kind }) => kind === "stock" ? `tfjs ${name}` : name),
    layers: rows(layerOf),
  };
}

function number(value: number | null, digits = 3): string {
  if (value === null) return "-";
  return value >= 1000 ? String(Math.round(value)) : value.toPrecision(digits);
}

const MIB = 1 << 20;

/**
 * A table of rows, the slowest first; what is beyond `most` is one line. With the parts of the step it ends with the
 * gaps and the step, of which the shares are.
 */
export function rowTable(
  title: string,
  rows: readonly ProfileRow[],
  most: number,
  parts?: ProfileParts,
): string[][] {
  const header = [
    title,
    "dispatches",
    "ms",
    "backward ms",
    "median ms",
    "share",
    "GFLOP/s",
    "GB/s",
    "% roofline",
    "MiB taken",
  ];
  const cells = rows.slice(0, most).map((row) => [
    row.name,
    number(row.dispatches),
    number(row.total_ms),
    row.backward_ms === 0 ? "-" : number(row.backward_ms),
    number(row.median_ms),
    `${(100 * row.share).toFixed(1)} %`,
    number(row.gflops),
    number(row.gbs),
    number(row.percent_of_roofline),
    (row.allocated_bytes / MIB).toFixed(2),
  ]);
  const rest = rows.slice(most);
  if (rest.length > 0) {
    const total = sumOf(rest, ({ total_ms }) => total_ms);
    cells.push([
      `${rest.length} more (--rows N)`,
      number(sumOf(rest, ({ dispatches }) => dispatches)),
      number(total),
      number(sumOf(rest, ({ backward_ms }) => backward_ms)),
      "-",
      `${(100 * sumOf(rest, ({ share }) => share)).toFixed(1)} %`,
      "-",
      "-",
      "-",
      (sumOf(rest, ({ allocated_bytes }) => allocated_bytes) / MIB).toFixed(2),
    ]);
  }
  if (parts) {
    const step = stepMs(parts);
    const line = (name: string, ms: number) => [
      name,
      "-",
      number(ms),
      "-",
      "-",
      `${(100 * ms / step).toFixed(1)} %`,
      ...header.slice(6).map(() => "-"),
    ];
    cells.push(line("(gaps between passes)", parts.gaps_ms), line("(the step on the device)", step));
  }
  return [header, ...cells];
}

/** Whether the parts make up the whole, in words. */
export function verdict({ agrees, difference, whole_late_ms }: ProfileParts, steps: number): string {
  const apart = `${(100 * Math.abs(difference)).toFixed(1)} %`;
  if (agrees) return `they agree within ${100 * AGREEMENT} %: ${apart} apart`;
  if (agrees === null) {
    return `${apart} apart, TOO SHORT TO TELL whether they agree: the host learns up to ${
      number(whole_late_ms * steps)
    } ms late that all is done; take more --steps, or leave it out`;
  }
  return difference > 0
    ? `THE PARTS ARE ${apart} MORE THAN THE WHOLE: passes overlap, or the device's clock is not what it says`
    : `THE PARTS ARE ${apart} LESS THAN THE WHOLE: the device was busy with what has no timestamps`;
}

/** Where the time of a step is, and whether the parts make up the whole. */
export function partLines({ parts, dispatches, usual, host_ms, steps }: Profile): string[] {
  const { sum_ms, whole_ms } = parts;
  const commands = dispatches.ours + dispatches.stock + dispatches.copies;
  const line = (what: string, ms: number, note = "") =>
    `  ${what.padEnd(34)} ${number(ms).padStart(8)} ms ${(100 * ms / sum_ms).toFixed(1).padStart(5)} %${
      note && `  ${note}`
    }`;
  return [
    `a step, mean of ${steps} with every dispatch timed in a pass of its own:`,
    line("kernels", parts.kernels_ms, `${dispatches.ours} dispatches of ours, ${dispatches.stock} of tfjs`),
    line("copies", parts.copies_ms, `${dispatches.copies}`),
    line(
      "gaps between passes",
      parts.gaps_ms,
      `${Math.max(0, commands - 1)}, ${(1000 * parts.median_gap_ms).toFixed(1)} us in the middle`,
    ),
    line("waits between steps", parts.waits_ms),
    line("sum of the parts", sum_ms),
    `  ${"whole, by the host's clock".padEnd(34)} ${number(whole_ms).padStart(8)} ms`,
    `  parts and whole: ${verdict(parts, steps)}`,
    `  ${"host, recording and submitting".padEnd(34)} ${number(host_ms).padStart(8)} ms  beside the device`,
    `as it usually runs: ${number(usual.wall_ms)} ms a step, which the host has submitted after ${
      number(usual.host_ms)
    } ms; timing every dispatch makes it ${(whole_ms / usual.wall_ms).toFixed(2)} times as long`,
  ];
}
