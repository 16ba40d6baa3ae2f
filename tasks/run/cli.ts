/**
 * What every task's command line has: typed flags, `--help`, the nearest name for an unknown flag, one message and
 * exit code 1 for an error, Ctrl-C that lets the current step finish, and one line of JSON at the end.
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { createProgress, type Progress } from "./progress.ts";

/** One flag of a task. */
export interface Flag {
  /** `list`: a text that may be given several times */
  readonly type: "string" | "integer" | "number" | "boolean" | "list";
  readonly description: string;
  readonly default?: string | number | boolean;
  readonly required?: boolean;
  readonly choices?: readonly string[];
  /** shown for the value in the help, e.g. `DIR` */
  readonly placeholder?: string;
  readonly min?: number;
  readonly max?: number;
}

/** A positional argument. */
export interface Positional {
  readonly name: string;
  readonly description: string;
  readonly choices?: readonly string[];
  readonly required?: boolean;
  /** takes all that are left */
  readonly variadic?: boolean;
}

/** A task's command line. */
export interface Command<F extends Readonly<Record<string, Flag>> = Readonly<Record<string, Flag>>> {
  readonly task: string;
  readonly summary: string;
  readonly positionals?: readonly Positional[];
  /** by name in camelCase; on the command line in kebab-case */
  readonly flags: F;
  readonly examples?: readonly string[];
  /** true where standard output carries data: all lines go to standard error then */
  dataOnStdout?(options: Options<F>): boolean;
}

type Value<T extends Flag> = T["type"] extends "boolean" ? boolean
  : T["type"] extends "list" ? readonly string[]
  : T["type"] extends "string" ? (T["choices"] extends readonly (infer C)[] ? C : string)
  : number;
type HasValue<T extends Flag> = T extends { required: true } ? true
  : T extends { default: string | number | boolean } ? true
  : T extends { type: "boolean" | "list" } ? true
  : false;

/** The options of a command: flags that always have a value, and those that may be undefined. */
export type Options<F extends Readonly<Record<string, Flag>>> =
  & { readonly [K in keyof F]: HasValue<F[K]> extends true ? Value<F[K]> : Value<F[K]> | undefined }
  & { readonly dryRun: boolean; readonly arguments: readonly string[] };

/** What a running task gets beside its options. */
export interface Context {
  /** aborted by the first Ctrl-C */
  readonly signal: AbortSignal;
  /** a progress bar on a terminal, lines elsewhere */
  progress(label: string, total: number): Progress;
  /** prints a line without breaking the progress bar */
  log(line: string): void;
  /** what is said after the error if the device fails: where the last checkpoint is */
  lastWords(text: string): void;
}

/** A wrong command line, or input that cannot be used; shown without a stack. */
export class UserError extends Error {
  /** @param message says the action, what was given, what was wanted */
  constructor(message: string) {
    super(message);
    this.name = "UserError";
  }
}

/** Fixes a command's type. */
export function defineCommand<const F extends Readonly<Record<string, Flag>>>(
  command: Command<F>,
): Command<F> {
  return command;
}

const INTERRUPTED = 130;

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The candidate with the smallest edit distance, if it is close enough to be meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn a into b. */
function editDistance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) => [i, ...new Array<number>(b.length).fill(0)]);
  for (let j = 0; j <= b.length; j++) rows[0][j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const substitution = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.length][b.length];
}

/**
 * Parses a command line.
 *
 * @throws {UserError} naming the flag, what was given and what was wanted
 */
export function parseCommand<F extends Readonly<Record<string, Flag>>>(
  command: Command<F>,
  args: readonly string[],
): Options<F> | "help" {
  const flags = Object.entries<Flag>(command.flags).map(([name, flag]) => ({
    name,
    flag,
    option: kebab(name),
  }));
  const known = [...flags.map(({ option }) => option), "help", "dry-run"];
  const parsed = parseArgs([...args], {
    boolean: [
      ...flags.filter(({ flag }) => flag.type === "boolean").map(({ option }) => option),
      "help",
      "dry-run",
    ],
    string: [...flags.filter(({ flag }) => flag.type !== "boolean").map(({ option }) => option), "_"],
    collect: flags.filter(({ flag }) => flag.type === "list").map(({ option }) => option),
    alias: { h: "help" },
    unknown(arg: string) {
      if (!arg.startsWith("-") || arg === "-") return true;
      throw unknownFlag(arg, known, command.task);
    },
  });
  if (parsed.help) return "help";
  const options: Record<string, unknown> = { dryRun: parsed["dry-run"] === true };
  for (const { name, flag, option } of flags) {
    const value = parseValue(parsed[option], flag, option, command.task);
    if (value === undefined && flag.required) {
      throw new UserError(
        `Cannot run ${command.task}: --${option} is missing; expected --${option} ${valueHint(flag)}`,
      );
    }
    options[name] = value;
  }
  options.arguments = checkPositionals(command, parsed._.map(String));
  return options as Options<F>;
}

function unknownFlag(arg: string, known: readonly string[], task: string): UserError {
  const given = arg.replace(/^-+/, "").replace(/=.*$/, "");
  const meant = nearest(given, known);
  const hint = meant === undefined ? `see deno task ${task} --help` : `did you mean --${meant}?`;
  return new UserError(`Cannot run ${task}: unknown flag ${arg.replace(/=.*$/, "")}; ${hint}`);
}

function parseValue(given: unknown, flag: Flag, option: string, task: string): unknown {
  if (flag.type === "boolean") return given === true;
  if (flag.type === "list") return given as string[];
  if (given === undefined) return flag.default;
  const wrong = (wanted: string) =>
    new UserError(
      given === ""
        ? `Cannot run ${task}: --${option} has no value; expected ${wanted}`
        : `Cannot run ${task}: --${option} is ${JSON.stringify(given)}; expected ${wanted}`,
    );
  if (flag.type === "string") {
    if (given === "") throw wrong(flag.choices?.join(", ") ?? "a text");
    if (flag.choices && !flag.choices.includes(given as string)) {
      throw wrong(`one of ${flag.choices.join(", ")}`);
    }
    return given;
  }
  const value = given === "" ? NaN : Number(given);
  const { min = -Infinity, max = Infinity } = flag;
  if (
    !Number.isFinite(value) || (flag.type === "integer" && !Number.isSafeInteger(value)) || value < min ||
    value > max
  ) {
    const kind = flag.type === "integer" ? "an integer" : "a number";
    const range = [min > -Infinity ? `at least ${min}` : "", max < Infinity ? `at most ${max}` : ""].filter((
      part,
    ) => part !== "");
    throw wrong([kind, ...range].join(", "));
  }
  return value;
}

function checkPositionals({ task, positionals = [] }: Command, given: readonly string[]): readonly string[] {
  const last = positionals.at(-1);
  if (given.length > positionals.length && !last?.variadic) {
    throw new UserError(
      `Cannot run ${task}: unexpected argument ${JSON.stringify(given[positionals.length])}`,
    );
  }
  for (const [i, { name, choices, required }] of positionals.entries()) {
    const wanted = choices?.join(", ") ?? name;
    if (given[i] === undefined) {
      if (required) throw new UserError(`Cannot run ${task}: <${name}> is missing; expected ${wanted}`);
    } else if (choices && !choices.includes(given[i])) {
      const meant = nearest(given[i], choices);
      throw new UserError(
        `Cannot run ${task}: <${name}> is ${JSON.stringify(given[i])}; expected ${wanted}` +
          (meant === undefined ? "" : `; did you mean ${meant}?`),
      );
    }
  }
  return given;
}

function valueHint(flag: Flag): string {
  if (flag.type === "boolean") return "";
  return flag.placeholder ?? (flag.choices ? flag.choices.join("|") : flag.type === "string" ? "TEXT" : "N");
}

/** The text of `--help`. */
export function helpText(command: Command): string {
  const { task, summary, positionals = [], flags, examples = [] } = command;
  const usage = positionals.map(({ name, choices, required, variadic }) => {
    const inner = `${choices?.join("|") ?? name}${variadic ? "..." : ""}`;
    return required ? inner : `[${inner}]`;
  });
  const rows = [
    ...positionals.map(({ name, description }): [string, string] => [`<${name}>`, description]),
    ...Object.entries(flags).map(([name, flag]): [string, string] => {
      const notes = [flag.description];
      if (flag.required) notes.push("(required)");
      if (flag.default !== undefined) notes.push(`(default ${flag.default})`);
      return [`--${kebab(name)} ${valueHint(flag)}`.trimEnd(), notes.join(" ")];
    }),
    ["--dry-run", "print the resolved configuration and stop"] as [string, string],
    ["--help", "print this text"] as [string, string],
  ];
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = [summary, "", `Usage: deno task ${[task, ...usage].join(" ")} [flags]`, ""];
  lines.push(...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`));
  if (examples.length > 0) lines.push("", "Examples:", ...examples.map((example) => `  ${example}`));
  return lines.join("\n");
}

/** True if `DEBUG` asks for stacks and the task may read it. */
function debugging(): boolean {
  try {
    return (Deno.env.get("DEBUG") ?? "") !== "";
  } catch {
    return false; // without permission to read DEBUG nobody has asked for it
  }
}

/**
 * Runs a task and ends the process: exit code 0; 1 after an error; 130 after an interrupt.
 *
 * @param main returns what is printed as the last line, as JSON; `interrupted: true` in it sets the exit code
 */
export async function runTask<F extends Readonly<Record<string, Flag>>>(
  command: Command<F>,
  args: readonly string[],
  main: (options: Options<F>, context: Context) => Promise<Record<string, unknown>>,
): Promise<never> {
  let context: Context | undefined;
  let print = console.log;
  try {
    const options = parseCommand(command, args);
    if (options === "help") {
      console.log(helpText(command));
      Deno.exit(0);
    }
    if (command.dataOnStdout?.(options)) print = console.error;
    context = createContext(print);
    const result = await main(options, context);
    print(JSON.stringify({ task: command.task, ...result }));
    Deno.exit(result.interrupted === true ? INTERRUPTED : 0);
  } catch (error) {
    if (context?.signal.aborted && error === context.signal.reason) {
      print(JSON.stringify({ task: command.task, interrupted: true }));
      Deno.exit(INTERRUPTED);
    }
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    console.error(debugging() ? stack ?? message : `error: ${message}`);
    Deno.exit(1);
  }
}

function createContext(print: (line: string) => void): Context {
  const controller = new AbortController();
  let bar: Progress | undefined;
  let lastWords = "";
  // A lost device and a refused command come as errors that no `await` sees; what is computed after them is wrong.
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    bar?.pause();
    const { message, stack } = event.error instanceof Error ? event.error : new Error(event.message);
    console.error((debugging() ? stack ?? message : `error: ${message}`) + lastWords);
    Deno.exit(1);
  });
  const stop = () => {
    if (controller.signal.aborted) Deno.exit(INTERRUPTED);
    bar?.pause();
    console.error("stopping after the current step; press Ctrl-C again to quit at once");
    controller.abort(new UserError("Stopped before it was done: interrupted"));
  };
  Deno.addSignalListener("SIGINT", stop);
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", stop);
  return {
    signal: controller.signal,
    progress(label, total) {
      bar?.finish();
      bar = createProgress(label, total);
      return bar;
    },
    log(line) {
      bar?.pause();
      print(line);
    },
    lastWords(text) {
      lastWords = `; ${text}`;
    },
  };
}
