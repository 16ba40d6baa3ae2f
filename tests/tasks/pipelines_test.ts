import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { EXPR_CONVENTION } from "../../data/input_convention.ts";
import { architectureFor } from "../../models/networks.ts";
import { writeSafetensors } from "../../models/weights/safetensors.ts";
import { recipeFor } from "../../tasks/run/recipe.ts";
import { lastLine, messageOf, task, taskCommand } from "./_task.ts";
import { recordOf } from "./run/_record.ts";

// deno-lint-ignore no-explicit-any
async function recordAt(out: string): Promise<any> {
  return JSON.parse(await Deno.readTextFile(`${out}/record.json`));
}

Deno.test("demo: interrupted, it goes on; finished, it gives way to no other without --overwrite", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const out = `${folder}/demo`;
    const flags = ["--out", out, "--tracks", "6", "--frames", "9", "--epochs", "1"];
    const child = taskCommand("demo", ...flags).spawn();
    let begun = false;
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      if (begun || !text.includes("ResNet50 epoch 1/1")) continue;
      begun = true;
      child.kill("SIGINT");
    }
    const [{ code }] = await Promise.all([child.status, child.stderr.cancel()]);
    assertEquals(code, 130);
    const before = await recordAt(out);
    assertEquals(before.status, "interrupted");
    const { rows } = lastLine(await task("demo", ...flags));
    assertEquals(rows.length, 4);
    const after = await recordAt(out);
    assertEquals([after.status, after.startedAt], ["finished", before.startedAt]);
    assertEquals(after.networks.cnn.epochs, before.networks.cnn.epochs); // not trained again
    const refused = messageOf(await task("demo", ...flags, "--seed", "2"));
    assertStringIncludes(refused, "differ; expected --overwrite to replace it, or another --out");

    const diverged = {
      ...after,
      status: "failed",
      error: "Cannot go on training: the loss is NaN at epoch 1",
    };
    await Deno.writeTextFile(`${out}/record.json`, JSON.stringify(diverged));
    const again = messageOf(await task("demo", ...flags));
    assertStringIncludes(again, "expected another --seed, or --overwrite");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("reproduce: what is done is not done again, unless its input changed; runs lists it, replay replays it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const out = `${folder}/reproduce`;
    const smallest = ["--out", out, "--seeds", "1", "--epochs", "1", "--tracks", "6", "--frames", "9"];
    const flags = [...smallest, "--set", "recipe.samplesPerEpoch=8", "--set", "recipe.batchSize=8"];
    const first = await task("reproduce", ...flags, "--identities", "2");
    const tables = lastLine(first);
    assertEquals([tables.table_1.length, tables.table_2.length], [9, 3]);
    const again = await task("reproduce", ...flags, "--identities", "2");
    assertEquals(lastLine(again).table_1, tables.table_1);
    assertEquals(again.stdout.match(/: done before, /g)?.length, 6);
    const changed = messageOf(await task("reproduce", ...flags, "--identities", "3"));
    assertMatch(changed, /pretrain\/record\.json is the record of another run .*: the data's annotations, /);

    const listed = await task("runs", "--out", folder);
    assertEquals(lastLine(listed).runs, 6);
    const seed = `${out}/seed_1`;
    const own = messageOf(await task("replay", `${seed}/baseline/record.json`, "--out", `${seed}/baseline`));
    assertStringIncludes(own, "that is the run itself");

    // Weights of the same name and another content.
    const weights = `${seed}/pretrain/cnn.safetensors`;
    const bytes = await Deno.readFile(weights);
    bytes[bytes.length - 1] ^= 1;
    await Deno.writeFile(weights, bytes);
    const other = messageOf(await task("reproduce", ...flags, "--identities", "2"));
    assertMatch(other, /pretrained\/record\.json is the record of another run .*: init\.sha256 differ/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("flags that would be of no effect are refused", async () => {
  const cases: [string, string[], string][] = [
    ["reproduce", ["--people", "x", "--init", "y"], "--people is of no effect with --init"],
    ["reproduce", ["--tracks", "6", "--data", "y"], "--tracks is of no effect with --data"],
    ["reproduce", ["--identities", "6", "--people", "y"], "--identities is of no effect with --people"],
    [
      "evaluate",
      ["--weights", "x", "--data", "y", "--label-set", "action_units"],
      "--label-set is of no effect",
    ],
    [
      "evaluate",
      ["--weights", "x", "--data", "y", "--missing", "nearest"],
      "--missing is of no effect on --weights",
    ],
    [
      "evaluate",
      ["--predictions", "x", "--data", "y", "--workers", "2"],
      "--workers is of no effect on --predictions",
    ],
    [
      "evaluate",
      ["--predictions", "x", "--data", "y", "--on-bad-image", "skip"],
      "--on-bad-image is of no effect",
    ],
    [
      "evaluate",
      ["--predictions", "x", "--data", "y", "--csv", "z"],
      "--csv is of no effect on --predictions",
    ],
    ["train", ["cnn", "--data", "x", "--window", "5"], "--window is of no effect on cnn"],
    ["train", ["cnn", "--data", "x", "--stride", "2"], "--stride is of no effect on cnn"],
    ["train", ["vgg", "--data", "x", "--finetune"], "--finetune is of no effect on vgg"],
    ["train", ["cnn", "--data", "x", "--backbone", "y"], "the run trains a cnn of its own"],
  ];
  const outcomes = await Promise.all(cases.map(([name, args]) => task(name, ...args, "--dry-run")));
  outcomes.forEach((outcome, i) => assertStringIncludes(messageOf(outcome), cases[i][2]));
});

Deno.test("train: flags win over a network's own recipe in a run file", async () => {
  const file = await Deno.makeTempFile();
  try {
    const own = { recipe: { epochs: 7, lr: 0.5, batchSize: 9, stride: 7, window: 7, finetune: false } };
    await Deno.writeTextFile(file, JSON.stringify({ data: { root: "x" }, models: { cnn: {}, rnn: own } }));
    const recipes = [
      "--epochs",
      "1",
      "--learning-rate",
      "0.1",
      "--batch-size",
      "4",
      "--stride",
      "2",
      "--window",
      "3",
    ];
    const { code, stdout, stderr } = await task(
      "train",
      "--run",
      file,
      ...recipes,
      "--finetune",
      "--dry-run",
    );
    assertEquals(code, 0, stderr);
    const printed = JSON.parse(stdout.slice(stdout.indexOf("{"), stdout.lastIndexOf("\n}") + 2));
    const { epochs, lr, batchSize, stride, window, finetune } = printed.models.rnn.recipe;
    assertEquals([epochs, lr, batchSize, stride, window, finetune], [1, 0.1, 4, 2, 3, true]);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("runs: a record that is broken is said, the others are listed; list takes no names", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const write = async (name: string, content: unknown) => {
      await Deno.mkdir(`${folder}/${name}`, { recursive: true });
      await Deno.writeTextFile(`${folder}/${name}/record.json`, JSON.stringify(content));
    };
    await write("good", recordOf());
    await write("a/b/deep", recordOf());
    await write("empty", { format: "fervid-record", version: 1 });
    await write("list", { ...recordOf(), networks: { cnn: 1 } });
    const listed = await task("runs", "--out", folder);
    assertEquals(lastLine(listed).runs, 2);
    assertMatch(listed.stdout, /Cannot read record .*empty\/record\.json: status: /);
    assertMatch(listed.stdout, /Cannot read record .*list\/record\.json: networks\.cnn: /);
    assertMatch(listed.stdout, /a\/b\/deep +demo +x +finished/);
    assertStringIncludes(
      messageOf(await task("runs", "list", "foo", "bar")),
      "it is given foo, bar; expected --out",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ensemble: the baseline is no part of it, nor is what was trained on other labels", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const write = async (name: "vgg" | "cnn" | "rnn", labelSet: string) => {
      const header = {
        architecture: architectureFor(name, "tiny", 7),
        labelSet,
        recipe: recipeFor(name, "tiny"),
        convention: EXPR_CONVENTION,
        seed: 1,
        position: { epoch: 0, step: 0, lossSum: 0 },
        history: [],
      };
      const metadata = { format: "fervid-checkpoint", version: "1", header: JSON.stringify(header) };
      const path = `${folder}/${name}_${labelSet}.safetensors`;
      await writeSafetensors(path, new Map(), metadata);
      return path;
    };
    const cnn = await write("cnn", "expression");
    const out = ["--data", folder, "--out", `${folder}/out`];
    const vgg = messageOf(await task("ensemble", cnn, await write("vgg", "expression"), ...out));
    assertStringIncludes(vgg, "the checkpoints are of cnn, vgg; expected cnn once");
    const joint = messageOf(await task("ensemble", cnn, await write("rnn", "joint"), ...out));
    assertStringIncludes(joint, "were trained on expression, joint; expected expression");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("replay: --help and a wrong flag", async () => {
  const help = await task("replay", "--help");
  assert(help.stdout.includes("Usage: deno task replay"), help.stderr);
  assertStringIncludes(messageOf(await task("replay", "x", "--outt", "y")), "did you mean --out?");
});
