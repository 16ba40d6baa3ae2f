/**
 * Offline stand-in for the part of `jsr:@std/cli/parse-args` that Fervid uses: `string`, `boolean`, `collect`,
 * `alias`, `default`, `negatable`, `unknown`, `stopEarly`, and `--`. Delete the `links` line in `deno.json` to use the published package.
 *
 * @module
 */

/** The parsed flags; positional arguments are under `_`. */
export type Args = { _: string[]; [name: string]: unknown };

/** What is told apart while parsing. */
export interface ParseOptions {
  /** flags without a value */
  boolean?: readonly string[];
  /** flags with a value, kept as text */
  string?: readonly string[];
  /** boolean flags that `--no-<name>` sets to false */
  negatable?: readonly string[];
  /** flags that may be given several times; their values are kept as an array */
  collect?: readonly string[];
  alias?: Readonly<Record<string, string>>;
  default?: Readonly<Record<string, unknown>>;
  /** true: what follows the first positional argument is positional */
  stopEarly?: boolean;
  /** called with each unknown flag; false leaves it out of the result */
  unknown?: (arg: string, key?: string, value?: unknown) => unknown;
}

/** Parses command-line arguments. */
export function parseArgs(args: readonly string[], options: ParseOptions = {}): Args {
  const { boolean = [], string = [], collect = [], negatable = [], alias = {}, stopEarly = false, unknown } =
    options;
  const canonical = new Map<string, string>();
  for (const [from, to] of Object.entries(alias)) canonical.set(from, to);
  const parsed: Args = { _: [] };
  const set = (name: string, given: unknown) => {
    const value = collect.includes(name) ? [...parsed[name] as unknown[] ?? [], given] : given;
    parsed[name] = value;
    for (const [from, to] of canonical) if (to === name) parsed[from] = value;
  };
  for (const name of boolean) set(name, false);
  for (const name of collect) parsed[name] = [];
  for (const [name, value] of Object.entries(options.default ?? {})) set(name, value);

  let i = 0;
  while (i < args.length) {
    const arg = args[i++];
    if (arg === "--") {
      parsed._.push(...args.slice(i));
      break;
    }
    const match = /^--?([^=]+)(?:=([\s\S]*))?$/.exec(arg);
    if (match === null || arg === "-" || /^-\d/.test(arg)) {
      parsed._.push(arg);
      if (stopEarly) {
        parsed._.push(...args.slice(i));
        break;
      }
      continue;
    }
    const given = match[1];
    const inline: string | undefined = match[2];
    const name = canonical.get(given) ?? given;
    const positive = name.startsWith("no-") ? name.slice(3) : undefined;
    if (positive !== undefined && negatable.includes(positive) && inline === undefined) {
      set(positive, false);
    } else if (boolean.includes(name)) {
      set(name, inline === undefined ? true : inline !== "false");
    } else if (string.includes(name)) {
      const next = args[i];
      const hasNext = next !== undefined && (!next.startsWith("-") || next === "-" || /^-\d/.test(next));
      set(name, inline ?? (hasNext ? args[i++] : ""));
    } else if (unknown === undefined || unknown(arg, given, inline) !== false) {
      set(name, inline ?? true);
    }
  }
  return parsed;
}
