/**
 * `deno task profile --kernel`: what is printed and kept of one kernel.
 *
 * @module
 */
import type { Peaks } from "../../kernels/runtime/peak.ts";
import type { TuneCase } from "../../kernels/runtime/tuner.ts";
import { type Context, UserError } from "../run/cli.ts";
import { textTable } from "../run/table.ts";
import {
  type ContestantResult,
  differenceOf,
  dispatchesOf,
  type Edit,
  editShader,
  fileOf,
  finalSources,
  race,
  requireRight,
  withEdit,
} from "./alone.ts";
import { PROFILED_KERNELS, type ProfiledKernel } from "./kernels.ts";

/** The flags of one kernel. */
export interface KernelFlags {
  readonly kernel: string;
  readonly shape: string;
  readonly stride: number;
  readonly pad: number | undefined;
  readonly variant: string | undefined;
  readonly show: "wgsl" | undefined;
  readonly wgsl: string | undefined;
  /** seconds */
  readonly time: number;
}

/** What goes into the JSON file, and what into the last line. */
export interface KernelProfile {
  readonly file: Record<string, unknown>;
  readonly line: Record<string, unknown>;
}

function parseShape(kernel: string, text: string, { letters }: ProfiledKernel): number[] {
  const shape = text.split(/[,x]/).map((part) => Number(part.trim() || NaN));
  if (shape.length !== letters.length || shape.some((size) => !Number.isSafeInteger(size) || size < 1)) {
    throw new UserError(
      `Cannot profile ${kernel}: --shape is ${
        JSON.stringify(text)
      }; expected ${letters.length} sizes of at least 1: ${letters.join(",")}`,
    );
  }
  return shape;
}

/** The variants that `--variant` selects, with their numbers. */
function select(item: TuneCase, wanted: string | undefined): { number: number; variant: unknown }[] {
  const all = item.candidates().map((variant, i) => ({ number: i + 1, variant }));
  if (wanted === undefined) return all;
  const found = all.filter(({ number, variant }) =>
    /^\d+$/.test(wanted) ? number === Number(wanted) : JSON.stringify(variant).includes(wanted)
  );
  if (found.length === 0) {
    const listed = all.map(({ number, variant }) => `\n  ${number} ${JSON.stringify(variant)}`).join("");
    throw new UserError(
      `Cannot profile ${item.op}: no variant is or contains ${
        JSON.stringify(wanted)
      }; expected one of${listed}`,
    );
  }
  return found;
}

/** The sizes of a case as they are, not as a class. */
function sizesText({ sizes }: TuneCase): string {
  return Object.entries(sizes).map(([name, size]) => `${name} ${size}`).join(", ");
}

/** The dispatches of a run, where there are several or something to compare. */
function dispatchLines(results: readonly ContestantResult[]): string[] {
  const [first] = results;
  return textTable(
    ["dispatch", ...results.map(({ name }) => results.length === 1 ? "ms" : `${name} ms`)],
    first.dispatches.map(({ name }, i) => [
      name,
      ...results.map(({ dispatches }) => dispatches[i].ms.toPrecision(3)),
    ]),
  );
}

function resultLines(results: readonly ContestantResult[], title: string): string[] {
  const number = (value: number | null) => value === null ? "-" : value.toPrecision(3);
  const [shipped] = results;
  return textTable(
    [title, "ms", "least ms", "times the first's", "GFLOP/s", "% roofline", "dispatches"],
    results.map((result) => [
      result.name,
      number(result.ms),
      number(result.least_ms),
      number(result.ms / shipped.ms),
      number(result.gflops),
      number(result.percent_of_roofline),
      String(result.dispatches.length),
    ]),
  );
}

/** Prints the sources of the first of the selected variants. */
function showSources(item: TuneCase, variant: unknown, context: Context): void {
  const run = item.setup();
  try {
    finalSources(() => run.run(variant)).forEach((source) => context.log(source));
  } finally {
    run.dispose();
  }
}

/** Every selected variant that is right, in turns. */
async function raceVariants(
  item: TuneCase,
  { variant: wanted, time }: KernelFlags,
  peaks: Peaks,
  context: Context,
): Promise<ContestantResult[]> {
  const selected = select(item, wanted);
  const run = item.setup();
  try {
    const contestants = [];
    for (const { number, variant } of selected) {
      context.signal.throwIfAborted();
      const contestant = { name: `${number} ${JSON.stringify(variant)}`, run: () => run.run(variant) };
      const difference = await differenceOf(run, contestant);
      if (difference <= run.tolerance) contestants.push(contestant);
      else {context.log(
          `left out: ${contestant.name} is wrong by ${difference}; expected at most ${run.tolerance}`,
        );}
    }
    if (contestants.length === 0) {
      throw new Error(`Cannot profile ${item.op}: no variant computes the right result`);
    }
    context.log(`\n${item.op} at ${sizesText(item)}`);
    const results = await race(contestants, { time: 1000 * time, signal: context.signal, peaks });
    resultLines(results, "variant").forEach((line) => context.log(line));
    if (results.length === 1) dispatchLines(results).forEach((line) => context.log(line));
    return results;
  } finally {
    run.dispose();
  }
}

/** The first selected variant that runs the edited file; undefined if none does. */
function variantWithEdit(item: TuneCase, edit: Edit, wanted: string | undefined): unknown {
  const run = item.setup();
  try {
    return select(item, wanted).map(({ variant }) => variant).find((variant) =>
      dispatchesOf(() => run.run(variant)).some(({ shader }) => editShader(shader, edit) !== undefined)
    );
  } finally {
    run.dispose();
  }
}

async function readEdit(path: string): Promise<Edit> {
  try {
    return { path, source: await Deno.readTextFile(path) };
  } catch (error) {
    throw new UserError(
      `Cannot read ${path}: ${(error as Error).message}; expected an edited copy of a shader`,
    );
  }
}

/** The current shader and the edited one in turns, once the edited one has been seen to be right. */
async function raceEdit(
  cases: readonly TuneCase[],
  awkward: readonly TuneCase[],
  edit: Edit,
  { variant: wanted, time, kernel }: KernelFlags,
  peaks: Peaks,
  context: Context,
): Promise<KernelProfile> {
  const item = cases.find((one) => variantWithEdit(one, edit, wanted) !== undefined);
  if (item === undefined) {
    const files = cases.flatMap((one) => {
      const run = one.setup();
      const names = select(one, wanted).flatMap(({ variant }) => dispatchesOf(() => run.run(variant)));
      run.dispose();
      return names.map(({ shader }) => fileOf(shader));
    });
    throw new UserError(
      `Cannot time ${edit.path}: ${kernel} runs no file of that name; expected a copy of ${
        [...new Set(files)].join(", ")
      }`,
    );
  }
  const variant = variantWithEdit(item, edit, wanted);
  const run = item.setup();
  try {
    const neighbours = awkward.filter(({ op }) => op === item.op);
    const difference = await requireRight([item, ...neighbours], variant, edit);
    context.log(`\n${item.op} at ${sizesText(item)}, ${JSON.stringify(variant)}`);
    context.log(
      `${edit.path} is right: within ${difference.toPrecision(2)} of the largest value, here and at ${
        neighbours.map(sizesText).join("; ")
      }`,
    );
    const results = await race([
      { name: "current", run: () => run.run(variant) },
      { name: "edited", run: () => withEdit(edit, () => run.run(variant)) },
    ], { time: 1000 * time, signal: context.signal, peaks });
    resultLines(results, "shader").forEach((line) => context.log(line));
    dispatchLines(results).forEach((line) => context.log(line));
    const [current, edited] = results;
    const ratios = current.samples.map((ms, i) => ms / edited.samples[i]).sort((a, b) => a - b);
    const at = (share: number) => Number(ratios[Math.floor(share * (ratios.length - 1))].toPrecision(3));
    context.log(
      `edited is ${at(0.5)} times as fast (${at(0.1)} to ${at(0.9)} in 8 of 10 of ${ratios.length} pairs)`,
    );
    const line = {
      op: item.op,
      variant,
      current_ms: current.ms,
      edited_ms: edited.ms,
      speedup: at(0.5),
      difference,
    };
    return { file: { ...line, results }, line };
  } finally {
    run.dispose();
  }
}

/**
 * Profiles one kernel and prints what came out.
 *
 * @throws {UserError} for a shape or a variant that it does not take, and for an edited shader that is wrong
 */
export async function profileKernel(
  flags: KernelFlags,
  peaks: Peaks,
  context: Context,
): Promise<KernelProfile> {
  const { kernel, stride, pad, wgsl, show, variant } = flags;
  const profiled = PROFILED_KERNELS[kernel];
  const cases = profiled.cases(parseShape(kernel, flags.shape, profiled), { stride, pad });
  if (show === "wgsl") {
    for (const item of cases) showSources(item, select(item, variant)[0].variant, context);
  }
  if (wgsl !== undefined) {
    const awkward = profiled.awkward.flatMap((shape) => profiled.cases(shape, { stride, pad: undefined }));
    return await raceEdit(cases, awkward, await readEdit(wgsl), flags, peaks, context);
  }
  const results: Record<string, ContestantResult[]> = {};
  for (const item of cases) results[item.op] = await raceVariants(item, flags, peaks, context);
  const fastest = Object.entries(results).map(([op, all]) => {
    const best = all.reduce((a, b) => b.ms < a.ms ? b : a);
    return [op, { first_ms: all[0].ms, fastest_ms: best.ms, fastest: best.name }];
  });
  return { file: { kernel, shape: flags.shape, results }, line: { kernel, ...Object.fromEntries(fastest) } };
}
