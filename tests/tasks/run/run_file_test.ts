import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { UserError } from "../../../tasks/run/cli.ts";
import { requireBackbones } from "../../../tasks/run/requirements.ts";
import { recipeFor } from "../../../tasks/run/recipe.ts";
import { networksOf, readRunFile, resolveRun, toRunFile } from "../../../tasks/run/run_file.ts";

const SMALLEST = { data: { root: "x" }, models: { cnn: {}, rnn: {} } };

function message(content: unknown, ...overrides: string[]): string {
  return assertThrows(() => resolveRun(content, "f.json", overrides), UserError).message;
}

Deno.test("a run file that says little is filled in from the preset", () => {
  const run = resolveRun(SMALLEST, "f.json");
  assertEquals(networksOf(run), ["cnn", "rnn"]);
  assertEquals(run.models.cnn!.recipe, recipeFor("cnn", "paper"));
  assertEquals(run.models.rnn!.recipe, recipeFor("rnn", "paper"));
  const units = resolveRun({ ...SMALLEST, data: { root: "x", labelSet: "action_units" } }, "f.json");
  assertEquals(units.models.cnn!.recipe.lr, 1e-4);
});

Deno.test("a resolved run is a run file that means the same", () => {
  for (const content of [SMALLEST, { ...SMALLEST, preset: "tiny", recipe: { lr: 1, window: 5 }, seed: 3 }]) {
    const run = resolveRun(content, "f.json");
    assertEquals(resolveRun(JSON.parse(JSON.stringify(toRunFile(run))), "again"), run);
  }
});

Deno.test("the shared recipe reaches every network, windows only the temporal ones; --set comes last", () => {
  const recipe = { lr: 0.5, window: 5, augmentation: null };
  const { models } = resolveRun({ ...SMALLEST, recipe }, "f.json", [
    "models.rnn.recipe.lr=1e-3",
    "preset=tiny",
  ]);
  assertEquals([models.cnn!.recipe.lr, models.rnn!.recipe.lr], [0.5, 1e-3]);
  assertEquals([models.cnn!.recipe.window, models.rnn!.recipe.window], [1, 5]);
  assertEquals(models.cnn!.recipe.augmentation, null);
  assertEquals(models.cnn!.architecture.width, 16);
});

Deno.test("unknown keys, wrong values and malformed overrides are explained", () => {
  assertStringIncludes(message({ ...SMALLEST, seeed: 1 }), "unknown key seeed; did you mean seed?");
  assertStringIncludes(message(SMALLEST, "recipe.epoch=3"), "unknown key recipe.epoch; did you mean epochs?");
  const heads = message({ ...SMALLEST, models: { cnn: { architecture: { heads: 2 } } } });
  assertStringIncludes(heads, "unknown key models.cnn.architecture.heads; expected width, size");
  assertStringIncludes(message(SMALLEST, "recipe.window=4"), "recipe.window is 4; expected an odd number");
  for (const step of [0.3, 0.4, 0.002, 0, -0.1]) {
    const reason = message(SMALLEST, `evaluation.step=${step}`);
    assertStringIncludes(
      reason,
      `evaluation.step is ${step}; expected a step of at least .01 that divides 1`,
    );
  }
  for (const step of [0.01, 0.025, 0.05, 0.1, 0.125, 0.2, 0.25, 0.5, 1 / 3, 1 / 30]) {
    assertEquals(resolveRun(SMALLEST, "f.json", [`evaluation.step=${step}`]).evaluation.step, step);
  }
  assertStringIncludes(message(SMALLEST, "seed=soon"), 'seed is "soon"');
  assertStringIncludes(message({ models: { cnn: {} } }), "data is missing");
  assertStringIncludes(message({ data: { root: "x" }, models: {} }), "expected at least one of vgg");
  assertStringIncludes(message(SMALLEST, "seed"), "expected key=value");
  assertStringIncludes(message({ ...SMALLEST, seed: 1 }, "seed.x=1"), "seed is 1, not an object");
});

Deno.test("what cannot be trained to its end is refused before it begins", () => {
  const data = { root: "x" };
  const width = (network: string, width: number) => ({ [network]: { architecture: { width } } });
  const rnn = message({ data, models: { ...width("cnn", 4), ...width("rnn", 8) } });
  assertStringIncludes(rnn, "models.rnn.architecture.width is 8; expected 4, the cnn's");
  const graphs = { data, models: { cnn: { architecture: { graph: "torchvision" } }, rnn: {} } };
  assertStringIncludes(message(graphs), "models.rnn.architecture.graph is caffe; expected torchvision");
  resolveRun({ ...graphs, init: { file: "f" } }, "f.json"); // which brings its graph
  const none = resolveRun({ data, models: { vgg: {}, rnn: {} } }, "f.json"); // it can be profiled
  assertThrows(() => requireBackbones(none), UserError, "Cannot train rnn: it has no backbone");
  for (const start of [{ backbone: "f" }, { init: { file: "f" } }]) {
    requireBackbones(resolveRun({ data, models: { vgg: {}, rnn: {} }, ...start }, "f.json"));
  }
  assertStringIncludes(message({ ...SMALLEST, backbone: "f" }), "the run trains a cnn of its own");
  assertStringIncludes(message({ data, models: { vgg: {} }, backbone: "f" }), "neither cnn nor vgg uses");
  const heads = { data, models: { cnn: {}, transformer: { architecture: { heads: 5 } } } };
  assertStringIncludes(message(heads), "transformer.architecture.heads is 5; expected a divisor");
});

Deno.test("balanced sampling is refused where a frame has many labels", () => {
  const balanced = (labelSet: string) => ({
    data: { root: "x", labelSet },
    models: { cnn: { recipe: { sampling: "balanced" } } },
  });
  for (const labelSet of ["action_units", "joint"]) {
    assertStringIncludes(message(balanced(labelSet)), "recipe.sampling is balanced, but a frame has many");
  }
  for (const labelSet of ["expression", "identity"]) resolveRun(balanced(labelSet), "f.json");
});

Deno.test("an augmentation for all reaches a temporal network that trains its backbone", () => {
  const augmentation = { scale: [0.5, 1], ratio: [1, 1], flip: 0 };
  const of = (recipe: object, own: object = {}) =>
    resolveRun({
      ...SMALLEST,
      recipe: { augmentation, ...recipe },
      models: { cnn: {}, rnn: { recipe: own } },
    }, "f")
      .models.rnn!.recipe.augmentation as unknown;
  assertEquals(of({}), null);
  assertEquals(of({ finetune: true }), augmentation);
  assertEquals(of({}, { finetune: true }), augmentation);
  assertEquals(of({ finetune: true }, { finetune: false }), null);
});

Deno.test("a flag wins over a network's own recipe, --set over the flag", async () => {
  const path = await Deno.makeTempFile();
  try {
    const models = { cnn: {}, rnn: { recipe: { epochs: 7, lr: 0.5 } } };
    await Deno.writeTextFile(path, JSON.stringify({ ...SMALLEST, models }));
    const epochs = async (...sets: string[]) => {
      const { models } = await readRunFile(path, ["recipe.epochs=1", ...sets], ["epochs"]);
      return [models.cnn!.recipe.epochs, models.rnn!.recipe.epochs, models.rnn!.recipe.lr];
    };
    assertEquals(await epochs(), [1, 1, 0.5]);
    assertEquals(await epochs("models.rnn.recipe.epochs=3"), [1, 3, 0.5]);
    for (const content of ['"abc"', "[1]", "3"]) {
      await Deno.writeTextFile(path, content);
      await assertRejects(
        () => readRunFile(path, ["seed=1"]),
        UserError,
        `is ${content}; expected an object`,
      );
      await assertRejects(
        () => readRunFile(path, [], ["epochs"]),
        UserError,
        `the file is ${content}; expected`,
      );
    }
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("comments and trailing commas are read; a syntax error names its line", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(
      path,
      '// a run\n{ "data": { "root": "x" }, /* one */ "models": { "cnn": {} }, }',
    );
    assertEquals(networksOf(await readRunFile(path)), ["cnn"]);
    await Deno.writeTextFile(path, '{\n "data": \n}');
    await assertRejects(() => readRunFile(path), UserError, ":3: ValueExpected");
    await assertRejects(() => readRunFile(`${path}.none`), UserError, "expected a JSON file");
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("every run file that is shipped is valid", async () => {
  for (const scale of ["paper", "tiny"]) {
    const folder = new URL(`../../../runs/${scale}/`, import.meta.url).pathname;
    for (const { name } of Deno.readDirSync(folder)) {
      const run = await readRunFile(`${folder}${name}`);
      assertEquals([`${run.name}.json`, run.preset], [name, scale]);
    }
  }
});
