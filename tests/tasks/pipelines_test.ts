import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { lastLine, messageOf, task, taskCommand } from "./_task.ts";

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
    ["train", ["cnn", "--data", "x", "--window", "5"], "--window is of no effect on cnn"],
    ["train", ["cnn", "--data", "x", "--stride", "2"], "--stride is of no effect on cnn"],
    ["train", ["vgg", "--data", "x", "--finetune"], "--finetune is of no effect on vgg"],
    ["train", ["cnn", "--data", "x", "--backbone", "y"], "the run trains a cnn of its own"],
  ];
  for (const [name, args, expected] of cases) {
    assertStringIncludes(messageOf(await task(name, ...args, "--dry-run")), expected);
  }
});

Deno.test("replay: --help and a wrong flag", async () => {
  const help = await task("replay", "--help");
  assert(help.stdout.includes("Usage: deno task replay"), help.stderr);
  assertStringIncludes(messageOf(await task("replay", "x", "--outt", "y")), "did you mean --out?");
});
