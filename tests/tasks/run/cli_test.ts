import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { defineCommand, helpText, nearest, parseCommand, UserError } from "../../../tasks/run/cli.ts";
import { Lines } from "../../../tasks/run/progress.ts";
import { comparisonTable, textTable } from "../../../tasks/run/table.ts";

const command = defineCommand({
  task: "bake",
  summary: "Bakes.",
  positionals: [{ name: "kind", description: "what", choices: ["bread", "cake"], required: true }],
  flags: {
    ovenHeat: { type: "number", min: 0, max: 300, default: 180, description: "in degrees" },
    loaves: { type: "integer", description: "how many" },
    name: { type: "string", required: true, description: "whose" },
    quick: { type: "boolean", description: "or slow" },
  },
});

Deno.test("options are typed, in camelCase, with defaults", () => {
  const options = parseCommand(command, ["bread", "--name", "x", "--oven-heat=200.5", "--quick"]);
  assertEquals(options, {
    ovenHeat: 200.5,
    loaves: undefined,
    name: "x",
    quick: true,
    dryRun: false,
    arguments: ["bread"],
  });
  assertEquals(parseCommand(command, ["--help"]), "help");
});

Deno.test("every wrong use names the flag, what was given and what was wanted", () => {
  const wrong: [string[], string][] = [
    [["bread", "--name", "x", "--oven-heta", "1"], "unknown flag --oven-heta; did you mean --oven-heat?"],
    [["bread", "--name", "x", "--zzzzzzzz"], "see deno task bake --help"],
    [["bread"], "--name is missing"],
    [["bread", "--name"], "--name has no value"],
    [["bread", "--name", "x", "--loaves", "1.5"], '--loaves is "1.5"; expected an integer'],
    [["bread", "--name", "x", "--oven-heat", "301"], "expected a number, at least 0, at most 300"],
    [["bread", "cake", "--name", "x"], 'unexpected argument "cake"'],
    [["cak", "--name", "x"], "did you mean cake?"],
    [["--name", "x"], "<kind> is missing"],
  ];
  for (const [args, message] of wrong) assertThrows(() => parseCommand(command, args), UserError, message);
});

Deno.test("the nearest name is found over swaps and slips, and nothing far away is", () => {
  assertEquals(nearest("epohcs", ["epochs", "seed"]), "epochs");
  assertEquals(nearest("learning-rat", ["learning-rate", "label-set"]), "learning-rate");
  assertEquals(nearest("quux", ["epochs", "seed"]), undefined);
});

Deno.test("the help lists every flag with its default", () => {
  const text = helpText(command);
  for (
    const part of [
      "Usage: deno task bake bread|cake [flags]",
      "--oven-heat N",
      "(default 180)",
      "(required)",
      "--dry-run",
    ]
  ) {
    assertStringIncludes(text, part);
  }
});

Deno.test("progress off a terminal prints the first and the last line, none after the end", () => {
  const lines: string[] = [];
  const progress = new Lines("work", 100, (line) => lines.push(line));
  for (let done = 1; done <= 100; done++) progress.update(done, "note");
  progress.finish();
  progress.update(100);
  assertEquals(lines.length, 2);
  assertStringIncludes(lines[0], "work 1/100");
  assertStringIncludes(lines[1], "work 100/100");
});

Deno.test("tables align, and the paper's columns are beside ours", () => {
  assertEquals(textTable(["a", "bb"], [["x", "1"], ["long", "22"]]), [
    "a     bb",
    "----  --",
    "x      1",
    "long  22",
  ]);
  assertEquals(textTable(["a"], Array.from({ length: 300_000 }, () => ["x"])).length, 300_002);
  const row = { name: "ResNet50", f1: 0.5, accuracy: 0.25, score: 1 };
  const lines = comparisonTable([row, { ...row, name: "other" }], [{ ...row, f1: 0.3763 }]);
  assertStringIncludes(lines[2], "0.5000    0.2500  1.0000    0.3763");
  assertStringIncludes(lines[3], "-");
});
