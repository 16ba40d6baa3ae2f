/**
 * Which variant of an op is fastest on this adapter for a class of shapes: the choice, how it is found, how it is kept.
 *
 * An op ships a default per kind of adapter and asks `variantFor`, which returns what was tuned if choices have been
 * loaded (`useChoices`), else the default. Nothing is ever tuned while a network trains.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { type BenchOutputs, freeOutputs, outputsOf } from "./bench.ts";
import { debug, debugging } from "./debug.ts";
import type { AdapterRecord } from "./device.ts";
import { relativeDifferences } from "./difference.ts";
import { withStockKernels } from "./registry.ts";
import { median, timeDispatches, totalMs } from "./timing.ts";
import type { ShaderFile } from "./wgsl.ts";

/** The sizes on which an op's choice depends, by the field's letters. */
export type Sizes = Readonly<Record<string, number>>;

/** A class of shapes for which an op's fastest variant is looked for. `V` is plain JSON. */
export interface TuneCase<V = unknown> {
  /** as the op names itself to `variantFor` */
  readonly op: string;
  /** as the op gives them to `variantFor`; they name the class, see {@link shapeClass} */
  readonly sizes: Sizes;
  /** of the paper's size: left out on a software adapter unless it is asked for */
  readonly large?: boolean;
  /** all that a candidate may run: a choice is dropped when one changes */
  readonly shaders: readonly ShaderFile[];
  /** the variants worth timing on this adapter, the shipped default first */
  candidates(): readonly V[];
  /** makes inputs of a shape in the class */
  setup(): TuneRun<V>;
}

/** A case whose inputs are on the device. */
export interface TuneRun<V = unknown> {
  run(variant: V): BenchOutputs;
  /** the right result, e.g. of tfjs's own kernel: it runs in a `tf.tidy`, with tfjs's kernels in the place of ours */
  expected(): BenchOutputs;
  /** greatest difference from the right result, as a share of its largest magnitude */
  readonly tolerance: number;
  dispose(): void;
}

/** What was found for a case; the names are those of the cache file. */
export interface Choice {
  readonly op: string;
  readonly shape_class: string;
  /** hash of the shaders */
  readonly shaders: string;
  readonly variant: unknown;
  /** medians, of the choice and of the shipped default */
  readonly ms: number;
  readonly default_ms: number;
}

/** A cache file: choices for one adapter under one version of Deno. */
export interface ChoiceFile {
  readonly adapter: Pick<AdapterRecord, "description" | "features" | "limits">;
  readonly deno: string;
  readonly choices: readonly Choice[];
}

const tuned = new Map<string, unknown>();

/** Names a class of shapes: each size above 16 rounded up to a power of 2. */
export function shapeClass(sizes: Sizes): string {
  const rounded = (size: number) => size <= 16 ? size : 2 ** Math.ceil(Math.log2(size));
  return Object.entries(sizes).map(([name, size]) => `${name}${rounded(size)}`).join(" ");
}

/** The first case of each class of shapes. */
export function onePerClass<V>(cases: readonly TuneCase<V>[]): TuneCase<V>[] {
  const classes = new Map<string, TuneCase<V>>();
  for (const item of cases) {
    const name = `${item.op} ${shapeClass(item.sizes)}`;
    if (!classes.has(name)) classes.set(name, item);
  }
  return [...classes.values()];
}

/** The tuned variant if choices have been loaded and have one, else the op's default. */
export function variantFor<V>(op: string, sizes: Sizes, shipped: () => V): V {
  if (tuned.size === 0 && !debugging(1)) return shipped();
  const name = `${op} ${shapeClass(sizes)}`;
  const found = tuned.get(name) as V | undefined;
  const variant = found ?? shipped();
  if (debugging(1)) tell(`variant of ${name}: ${JSON.stringify(variant)}, ${found ? "tuned" : "shipped"}`);
  return variant;
}

const told = new Set<string>();

/** Tells it once. */
function tell(text: string): void {
  if (told.has(text)) return;
  told.add(text);
  debug(1, () => text);
}

/** A variant shorter than this share of the default's time is chosen; closer ones may be noise. */
const WORTHWHILE = 0.95;
/** After a round, what takes this many times the leader's time is dropped. */
const HOPELESS = 1.5;
const ROUNDS = 7;

/** A candidate in the race. */
interface Entrant<V> {
  readonly variant: V;
  readonly times: number[];
}

/**
 * Times the candidates of a case in turns and picks one.
 *
 * @param onWrong is told of a candidate that computes something else; it is left out
 * @throws {Error} if the default itself is wrong, or the adapter has no timestamp queries
 */
export async function tuneCase<V>(
  item: TuneCase<V>,
  onWrong: (variant: V, difference: number) => void,
  signal?: AbortSignal,
): Promise<Choice> {
  const candidates = item.candidates();
  const run = item.setup();
  try {
    const right = await gate(item, run, candidates, onWrong);
    const entrants = right.map((variant): Entrant<V> => ({ variant, times: [] }));
    const [shipped] = entrants;
    let running = entrants;
    for (let round = 0; round < ROUNDS; round++) {
      signal?.throwIfAborted();
      await timeRound(run, running, round);
      const leader = Math.min(...running.map(({ times }) => median(times)));
      running = running.filter((entrant) =>
        entrant === shipped || median(entrant.times) <= HOPELESS * leader
      );
    }
    debug(
      1,
      () => entrants.map(({ variant, times }) => `${median(times)} ms ${JSON.stringify(variant)}`).join("\n"),
    );
    const best = running.reduce((a, b) => median(b.times) < median(a.times) ? b : a);
    const default_ms = median(shipped.times);
    const chosen = median(best.times) < WORTHWHILE * default_ms ? best : shipped;
    return {
      op: item.op,
      shape_class: shapeClass(item.sizes),
      shaders: await hashShaders(item.shaders),
      variant: chosen.variant,
      ms: median(chosen.times),
      default_ms,
    };
  } finally {
    run.dispose();
  }
}

/** The candidates that compute the right thing. Compiles them, too. */
async function gate<V>(
  { op, sizes }: TuneCase<V>,
  run: TuneRun<V>,
  candidates: readonly V[],
  onWrong: (variant: V, difference: number) => void,
): Promise<V[]> {
  const expected = withStockKernels(() => outputsOf(() => run.expected()));
  const right: V[] = [];
  try {
    for (const variant of candidates) {
      const outputs = outputsOf(() => run.run(variant));
      const difference = Math.max(...await relativeDifferences(outputs, expected));
      freeOutputs(outputs);
      if (difference <= run.tolerance) right.push(variant);
      else if (variant === candidates[0]) {
        throw new Error(
          `Cannot tune ${op} ${shapeClass(sizes)}: its default ${
            JSON.stringify(variant)
          } is wrong by ${difference}; ` +
            `expected at most ${run.tolerance}`,
        );
      } else onWrong(variant, difference);
    }
  } finally {
    freeOutputs(expected);
  }
  return right;
}

/** One run of each entrant, in one session; another one is first each round, behind a run that does not count. */
async function timeRound<V>(run: TuneRun<V>, entrants: readonly Entrant<V>[], round: number): Promise<void> {
  const first = round % entrants.length;
  const order = [...entrants.slice(first), ...entrants.slice(0, first)];
  const { value: marks, records } = await timeDispatches((session) => {
    const record = ({ variant }: Entrant<V>) => freeOutputs(outputsOf(() => run.run(variant)));
    record(order[0]); // a device that was idle takes up to 0.4 ms to wake up
    return order.map((entrant) => {
      const from = session.count;
      record(entrant);
      return { entrant, from, to: session.count };
    });
  });
  for (const { entrant, from, to } of marks) {
    entrant.times.push(totalMs(records.slice(from, to)));
  }
}

/** A short hash of sources. */
export async function hashShaders(shaders: readonly ShaderFile[]): Promise<string> {
  const text = JSON.stringify(shaders.map(({ file, source, includes = {} }) => [file, source, includes]));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return [...new Uint8Array(digest).slice(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What became of a file's choices. */
export interface ChoicesUsed {
  readonly used: number;
  /** of shaders that have changed, or what is no candidate (any more) of an op and class */
  readonly stale: number;
}

/**
 * Makes `variantFor` return a file's choices, in place of those used before.
 *
 * @throws {TypeError} if it is no such file; {RangeError} if it is of another adapter or version of Deno
 */
export async function useChoices(
  file: unknown,
  adapter: AdapterRecord,
  cases: readonly TuneCase[],
): Promise<ChoicesUsed> {
  const { choices } = requireChoices(file, adapter);
  const known = new Map(cases.map((item) => [`${item.op} ${shapeClass(item.sizes)}`, item]));
  tuned.clear();
  for (const { op, shape_class, shaders, variant } of choices) {
    const name = `${op} ${shape_class}`;
    const item = known.get(name);
    if (item === undefined || await hashShaders(item.shaders) !== shaders) continue;
    const given = JSON.stringify(variant);
    if (item.candidates().some((one) => JSON.stringify(one) === given)) tuned.set(name, variant);
  }
  return { used: tuned.size, stale: choices.length - tuned.size };
}

/** Returns to the shipped defaults. */
export function forgetChoices(): void {
  tuned.clear();
}

/** A file's adapter and version, for the current one. */
export function choiceFile(adapter: AdapterRecord, choices: readonly Choice[]): ChoiceFile {
  const { description, features, limits } = adapter;
  return { adapter: { description, features, limits }, deno: Deno.version.deno, choices };
}

/**
 * The file, if it is of this adapter.
 *
 * @throws {TypeError} if it is no such file; {RangeError} if it is of another adapter or version of Deno
 */
export function requireChoices(file: unknown, adapter: AdapterRecord): ChoiceFile {
  const { adapter: of, deno, choices } = (file ?? {}) as Partial<ChoiceFile>;
  const wellFormed = (choice: Partial<Choice> | null) =>
    typeof choice?.op === "string" && typeof choice.shape_class === "string" &&
    typeof choice.shaders === "string" && choice.variant !== undefined;
  const described = typeof of?.description === "string" && typeof deno === "string";
  if (!described || !Array.isArray(choices) || !choices.every(wellFormed)) {
    throw new TypeError("Cannot use tuned variants: expected a file that `deno task tune` wrote");
  }
  const wanted = choiceFile(adapter, []);
  if (deno !== wanted.deno || !isDeepStrictEqual(of, wanted.adapter)) {
    throw new RangeError(
      `Cannot use tuned variants of ${of.description} under Deno ${deno}: this is ${adapter.description}, with its ` +
        `features and limits, under Deno ${wanted.deno}`,
    );
  }
  return { adapter: of, deno, choices };
}
