/**
 * One kernel alone: its variants side by side, its final source, and an edited shader against the current one.
 *
 * @module
 */
import { type BenchOutputs, freeOutputs, outputsOf } from "../../kernels/runtime/bench.ts";
import { relativeDifferences } from "../../kernels/runtime/difference.ts";
import type { Dispatch } from "../../kernels/runtime/dispatch.ts";
import { compileError, withShaders } from "../../kernels/runtime/pipeline.ts";
import type { Peaks } from "../../kernels/runtime/peak.ts";
import {
  backendInternals,
  hookCommands,
  submit,
  withPoisonedOutputs,
} from "../../kernels/runtime/program.ts";
import { withStockKernels } from "../../kernels/runtime/registry.ts";
import { readsTextures } from "../../kernels/runtime/textures.ts";
import { type DispatchRecord, median, timeDispatches, totalMs } from "../../kernels/runtime/timing.ts";
import { shapeClass, type TuneCase, type TuneRun } from "../../kernels/runtime/tuner.ts";
import { expandShader, type ShaderFile, shaderKey } from "../../kernels/runtime/wgsl.ts";
import { UserError } from "../run/cli.ts";

/** Something to be timed: a variant, or a variant with an edited shader. */
export interface Contestant {
  readonly name: string;
  run(): BenchOutputs;
}

/** What a contestant took; the names are those of the JSON file. */
export interface ContestantResult {
  readonly name: string;
  /** medians of a run and of each of its dispatches, in milliseconds */
  readonly ms: number;
  readonly least_ms: number;
  readonly dispatches: readonly { readonly name: string; readonly ms: number }[];
  readonly gflops: number | null;
  readonly percent_of_roofline: number | null;
  /** runs, in the order of measuring: those of all contestants with the same index ran one after the other */
  readonly samples: readonly number[];
}

/** An edited shader. */
export interface Edit {
  /** as it was given */
  readonly path: string;
  readonly source: string;
}

/** The dispatches of a body, in order; they are recorded. */
export function dispatchesOf(body: () => BenchOutputs): Dispatch[] {
  const dispatches: Dispatch[] = [];
  const unhook = hookCommands({
    onDispatch(_name, dispatch, record) {
      if (dispatch !== undefined) dispatches.push(dispatch);
      record();
    },
    onCopy: (_bytes, record) => record(),
  });
  try {
    freeOutputs(outputsOf(body));
  } finally {
    unhook();
  }
  return dispatches;
}

/** The final source of every distinct shader that a body runs, with the constants in its first line. */
export function finalSources(body: () => BenchOutputs): string[] {
  const textures = readsTextures(backendInternals().device);
  const sources = dispatchesOf(body).map(({ shader, constants = {} }): [string, string] => [
    shaderKey(shader, constants),
    `// ${shader.file} ${JSON.stringify(constants)}\n${expandShader(shader, constants, textures)}`,
  ]);
  return [...new Map(sources).values()];
}

const baseName = (path: string) => path.replace(/^.*[\\/]/, "");

/** A shader's file, without what an op adds to its name: `, 4 at a time`. */
export function fileOf({ file }: ShaderFile): string {
  return file.split(",", 1)[0];
}

/** The shader with the edit in it: its own file or one that it includes, by the file's name. */
export function editShader(shader: ShaderFile, { path, source }: Edit): ShaderFile | undefined {
  const name = baseName(path);
  const own = fileOf(shader);
  if (baseName(own) === name) {
    return { ...shader, file: `${path} (edited)${shader.file.slice(own.length)}`, source };
  }
  if (shader.includes?.[name] === undefined) return undefined;
  return { ...shader, file: `${shader.file} with ${path}`, includes: { ...shader.includes, [name]: source } };
}

/** Runs a body with the edit in the place of the file that it is of. */
export function withEdit<T>(edit: Edit, body: () => T): T {
  return withShaders((shader) => editShader(shader, edit) ?? shader, body);
}

/**
 * Compiles what an edit changes.
 *
 * @throws {UserError} naming file and line, if the compiler refuses it
 */
export async function compileEdit(edit: Edit, dispatches: readonly Dispatch[]): Promise<void> {
  for (const { shader, constants } of dispatches) {
    const edited = editShader(shader, edit);
    const problem = edited && await compileError(backendInternals().device, edited, constants);
    if (problem) throw new UserError(`Cannot time ${edit.path}: ${problem}`);
  }
}

/** Of a case with its inputs: how far a contestant is from the right result. */
export async function differenceOf(run: TuneRun, contestant: Pick<Contestant, "run">): Promise<number> {
  const expected = withStockKernels(() => outputsOf(() => run.expected()));
  const actual = withPoisonedOutputs(() => outputsOf(() => contestant.run()));
  const differences = await relativeDifferences(actual, expected);
  [actual, expected].forEach(freeOutputs);
  return Math.max(...differences);
}

/**
 * The largest difference of a variant with an edit in it from the right results, over some shapes.
 *
 * @throws {UserError} if it is beyond a tolerance: then it is not worth timing
 */
export async function requireRight(
  cases: readonly TuneCase[],
  variant: unknown,
  edit: Edit,
): Promise<number> {
  let largest = 0;
  for (const item of cases) {
    const run = item.setup();
    try {
      await compileEdit(edit, dispatchesOf(() => run.run(variant)));
      const difference = await differenceOf(run, { run: () => withEdit(edit, () => run.run(variant)) });
      if (!(difference <= run.tolerance)) {
        throw new UserError(
          `Cannot time ${edit.path}: ${item.op} ${JSON.stringify(variant)} is wrong by ${
            difference.toPrecision(3)
          } of the largest value at ${shapeClass(item.sizes)}; expected at most ${
            run.tolerance.toPrecision(3)
          }`,
        );
      }
      largest = Math.max(largest, difference);
    } finally {
      run.dispose();
    }
  }
  return largest;
}

const LEAST_ROUNDS = 5;
const MOST_ROUNDS = 200;

/** Times contestants in turns, for so many milliseconds together. They have run before: nothing is compiled. */
export async function race(
  contestants: readonly Contestant[],
  { time, signal, peaks }: { time: number; signal: AbortSignal; peaks: Peaks },
): Promise<ContestantResult[]> {
  const first = await rounds(contestants, 1, signal);
  const round = first.reduce((sum, [records]) => sum + totalMs(records), 0);
  const wanted = Math.ceil(time / Math.max(round, 1e-3));
  const count = Math.max(LEAST_ROUNDS, Math.min(MOST_ROUNDS, wanted));
  const measured = await rounds(contestants, count, signal);
  return contestants.map(({ name }, c) => resultOf(name, measured[c], peaks));
}

/** The records of each contestant's runs. */
async function rounds(
  contestants: readonly Contestant[],
  count: number,
  signal: AbortSignal,
): Promise<DispatchRecord[][][]> {
  const { value: marks, records } = await timeDispatches((session) => {
    const marks = contestants.map((): [from: number, to: number][] => []);
    for (let i = 0; i < count; i++) {
      signal.throwIfAborted();
      contestants.forEach((contestant, c) => {
        const from = session.count;
        freeOutputs(outputsOf(() => contestant.run()));
        submit();
        marks[c].push([from, session.count]);
      });
    }
    return marks;
  });
  return marks.map((runs) => runs.map(([from, to]) => records.slice(from, to)));
}

function resultOf(name: string, runs: readonly DispatchRecord[][], peaks: Peaks): ContestantResult {
  const samples = runs.map(totalMs);
  const ms = median(samples);
  const [first] = runs;
  const flops = first.reduce((sum, record) => sum + (record.flops ?? 0), 0);
  const best = first.reduce(
    (sum, { flops = 0, bytes = 0 }) => sum + Math.max(flops / peaks.gflops, bytes / peaks.bandwidth) / 1e6,
    0,
  );
  return {
    name,
    ms,
    least_ms: Math.min(...samples),
    dispatches: first.map((record, i) => ({
      name: record.name,
      ms: median(runs.map((records) => records[i].ns / 1e6)),
    })),
    gflops: flops === 0 ? null : flops / ms / 1e6,
    percent_of_roofline: best === 0 ? null : 100 * best / ms,
    samples,
  };
}
