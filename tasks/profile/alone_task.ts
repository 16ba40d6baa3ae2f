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
import { PROFILED_KERNELS } from "./kernels.ts";

/** The flags that say what runs. */
export interface CaseFlags {
  readonly kernel: string;
  readonly shape: string;
  /** 1 if undefined */
  readonly stride: number | undefined;
  /** half the filter if undefined */
  readonly pad: number | undefined;
}

/** The flags of one kernel. */
export interface KernelFlags extends CaseFlags {
  readonly variant: string | undefined;
  readonly show: "wgsl" | undefined;
  readonly wgsl: string | undefined;
  /** seconds; 1 if undefined */
  readonly time: number | undefined;
}

const SECONDS = 1;

/** What goes into the JSON file, and what into the last line. */
export interface KernelProfile {
  readonly file: Record<string, unknown>;
  readonly line: Record<string, unknown>;
}

/**
 * The kernel's cases at the shape, without a device.
 *
 * @throws {UserError} for a shape that it does not take, and a stride or a pad where nothing moves
 */
export function kernelCases({ kernel, shape: text, stride, pad }: CaseFlags): TuneCase[] {
  const profiled = PROFILED_KERNELS[kernel];
  const refuse = (why: string) => {
    throw new UserError(`Cannot profile ${kernel}: ${why}`);
  };
  const { letters, moves = false } = profiled;
  const shape = text.split(/[,x]/).map((part) => Number(part.trim() || NaN));
  const said = `--shape is ${JSON.stringify(text)}`;
  if (shape.length !== letters.length || shape.some((size) => !Number.isSafeInteger(size) || size < 1)) {
    refuse(`${said}; expected ${letters.length} sizes of at least 1: ${letters.join(",")}`);
  }
  for (const [name, given] of Object.entries({ stride, pad })) {
    if (given !== undefined && !moves) refuse(`--${name} is ${given}, and it moves no filter; expected none`);
  }
  const steps = { stride: stride ?? 1, pad };
  const wrong = profiled.refusal?.(shape, steps);
  if (wrong !== undefined) refuse(`${said}: ${wrong}`);
  return profiled.cases(shape, steps);
}

/** A case with those of its variants that are wanted, and their numbers. */
interface Selection {
  readonly item: TuneCase;
  readonly variants: readonly { readonly number: number; readonly variant: unknown }[];
}

/**
 * What `--variant` selects; a pass that has no such variant is left out.
 *
 * @throws {UserError} if none has one
 */
function select(cases: readonly TuneCase[], wanted: string | undefined, context: Context): Selection[] {
  const all = cases.map((item) => ({
    item,
    variants: item.candidates().map((variant, i) => ({ number: i + 1, variant })),
  }));
  if (wanted === undefined) return all;
  const isWanted = ({ number, variant }: Selection["variants"][number]) =>
    /^\d+$/.test(wanted) ? number === Number(wanted) : JSON.stringify(variant).includes(wanted);
  const found = all.map(({ item, variants }) => ({ item, variants: variants.filter(isWanted) }));
  const selected = found.filter(({ variants }) => variants.length > 0);
  if (selected.length === 0) {
    const listed = all.map(({ item, variants }) =>
      variants.map(({ number, variant }) => `\n  ${item.op} ${number} ${JSON.stringify(variant)}`).join("")
    );
    throw new UserError(
      `Cannot profile ${cases.map(({ op }) => op).join(", ")}: no variant is or contains ${
        JSON.stringify(wanted)
      }; expected one of${listed.join("")}`,
    );
  }
  for (const { item, variants } of found) {
    if (variants.length === 0) context.log(`left out: ${item.op} has no variant ${JSON.stringify(wanted)}`);
  }
  return selected;
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
  { item, variants }: Selection,
  { time = SECONDS }: KernelFlags,
  peaks: Peaks,
  context: Context,
): Promise<ContestantResult[]> {
  const run = item.setup();
  try {
    const contestants = [];
    for (const { number, variant } of variants) {
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
function variantWithEdit({ item, variants }: Selection, edit: Edit): unknown {
  const run = item.setup();
  try {
    return variants.map(({ variant }) => variant).find((variant) =>
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
  selected: readonly Selection[],
  awkward: readonly TuneCase[],
  edit: Edit,
  { variant: wanted, time = SECONDS, kernel }: KernelFlags,
  peaks: Peaks,
  context: Context,
): Promise<KernelProfile> {
  const selection = selected.find((one) => variantWithEdit(one, edit) !== undefined);
  if (selection === undefined) {
    const files = selected.flatMap(({ item, variants }) => {
      const run = item.setup();
      const dispatches = variants.flatMap(({ variant }) => dispatchesOf(() => run.run(variant)));
      run.dispose();
      return dispatches.map(({ shader }) => fileOf(shader));
    });
    const runs = `${kernel}${wanted === undefined ? "" : ` with --variant ${wanted}`} runs`;
    throw new UserError(
      `Cannot time ${edit.path}: ${runs} no file of that name; expected a copy of ${
        [...new Set(files)].join(", ")
      }`,
    );
  }
  const { item } = selection;
  const variant = variantWithEdit(selection, edit);
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
  const { kernel, stride = 1, wgsl, show, variant } = flags;
  const profiled = PROFILED_KERNELS[kernel];
  const selected = select(kernelCases(flags), variant, context);
  if (show === "wgsl") {
    for (const { item, variants: [first] } of selected) showSources(item, first.variant, context);
  }
  if (wgsl !== undefined) {
    const awkward = profiled.awkward.flatMap((shape) => profiled.cases(shape, { stride, pad: undefined }));
    return await raceEdit(selected, awkward, await readEdit(wgsl), flags, peaks, context);
  }
  const results: Record<string, ContestantResult[]> = {};
  for (const selection of selected) {
    results[selection.item.op] = await raceVariants(selection, flags, peaks, context);
  }
  const fastest = Object.entries(results).map(([op, all]) => {
    const best = all.reduce((a, b) => b.ms < a.ms ? b : a);
    return [op, { first_ms: all[0].ms, fastest_ms: best.ms, fastest: best.name }];
  });
  return { file: { kernel, shape: flags.shape, results }, line: { kernel, ...Object.fromEntries(fastest) } };
}
