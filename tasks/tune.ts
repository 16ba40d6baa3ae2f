/**
 * `deno task tune`: finds the fastest variant of each op for classes of shapes on this adapter.
 *
 * @module
 */
import {
  type Choice,
  choiceFile,
  requireChoices,
  shapeClass,
  type TuneCase,
  tuneCase,
} from "../kernels/runtime/tuner.ts";
import type { AdapterRecord } from "../kernels/runtime/device.ts";
import { defineCommand, runTask, UserError } from "./run/cli.ts";
import { startDevice } from "./run/device.ts";
import { requireWritable, writeTextAtomic } from "./run/files.ts";
import { parseOps } from "./run/ops_flag.ts";
import { readChoices, refusedChoices } from "./run/choices.ts";
import { TUNE_CASES } from "./tune/cases.ts";

const OPS = [...new Set(TUNE_CASES.map(({ op }) => op))];

const command = defineCommand({
  task: "tune",
  summary:
    "Times the variants of our kernels on this adapter and keeps the fastest of each; nothing uses them " +
    "until a task is told to by its --variants FILE.",
  flags: {
    ops: { type: "string", placeholder: "A,B", description: `of ${OPS.join(", ")}; all by default` },
    filter: { type: "string", placeholder: "TEXT", description: "only rows whose op and class contain TEXT" },
    large: {
      type: "boolean",
      description: "also classes of the paper's size on a software adapter, where they take hours",
    },
    cache: {
      type: "string",
      placeholder: "FILE",
      default: "out/variants.json",
      description: "where the choices are kept; those of other ops and classes stay in it",
    },
  },
  examples: [
    "deno task tune",
    "deno task tune --ops conv2d_fwd && deno task bench --variants out/variants.json",
  ],
});

/** The cases that the flags select. */
function select(ops: string | undefined, filter: string | undefined): TuneCase[] {
  const wanted = parseOps("tune", ops, OPS);
  const cases = TUNE_CASES.filter(({ op, sizes }) =>
    wanted.includes(op) && (filter === undefined || `${op} ${shapeClass(sizes)}`.includes(filter))
  );
  if (cases.length === 0) {
    throw new UserError(
      `Cannot run tune: no class of ${wanted.join(", ")} contains ${JSON.stringify(filter)}`,
    );
  }
  return cases;
}

const nameOf = ({ op, shape_class }: Pick<Choice, "op" | "shape_class">) => `${op} ${shape_class}`;

/** @throws {UserError} if they are of another adapter, or none */
function choicesOf(path: string, content: unknown, adapter: AdapterRecord): readonly Choice[] {
  try {
    return requireChoices(content, adapter).choices;
  } catch (error) {
    throw refusedChoices(path, error, `delete ${path} or give another --cache`);
  }
}

await runTask(command, Deno.args, async ({ ops, filter, large, cache, dryRun }, context) => {
  const selected = select(ops, filter);
  context.log(JSON.stringify({ ops: ops ?? null, filter: filter ?? null, large, cache }));
  if (dryRun) return { dryRun: true };
  await requireWritable(cache);
  const adapter = await startDevice(context);
  const cases = selected.filter((item) => !item.large || large || !adapter.software);
  if (cases.length === 0) throw new UserError("Cannot run tune: all these classes are --large ones");
  const known = await readChoices(cache);
  const before = known === undefined ? [] : choicesOf(cache, known, adapter);
  const kept = new Map(before.map((choice) => [nameOf(choice), choice]));
  let improved = 0;
  for (const item of cases) {
    context.signal.throwIfAborted();
    const onWrong = (variant: unknown, difference: number) =>
      context.log(`left out: ${item.op} ${JSON.stringify(variant)} is wrong by ${difference}`);
    const choice = await tuneCase(item, onWrong, context.signal);
    kept.set(nameOf(choice), choice);
    const gain = choice.default_ms / choice.ms;
    if (gain > 1) improved++;
    context.log(
      `${nameOf(choice)}: ${choice.ms.toPrecision(3)} ms, the default ${
        choice.default_ms.toPrecision(3)
      } ms ` +
        `(${gain.toPrecision(3)}x) ${JSON.stringify(choice.variant)}`,
    );
    // After each class, so that an interrupt loses one.
    await writeTextAtomic(cache, JSON.stringify(choiceFile(adapter, [...kept.values()]), null, 2) + "\n");
  }
  return { adapter: adapter.description, cache, classes: cases.length, improved };
});
