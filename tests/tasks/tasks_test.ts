import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CONFIG, lastLine, messageOf, task } from "./_task.ts";

const REQUIRED: Record<string, string[]> = {
  demo: [],
  synthesize: [],
  train: ["cnn", "--data", "nowhere"],
  evaluate: ["--weights", "none.safetensors", "--data", "nowhere"],
  ensemble: ["a.safetensors", "b.safetensors", "--data", "nowhere"],
  runs: [],
  predict: ["face.jpg", "--weights", "none.safetensors"],
  profile: [],
  roofline: [],
  report: ["none.json"],
  prepare: ["--data", "nowhere"],
  pretrain: ["--data", "nowhere"],
  reproduce: [],
  bench: [],
  loader: [],
  tune: [],
  weights: ["inspect", "none.pth"],
  export: ["none.safetensors", "--onnx", "none.onnx"],
};

for (const [name, args] of Object.entries(REQUIRED)) {
  Deno.test(`${name}: --help, --dry-run and a wrong flag`, async () => {
    const [help, dryRun, wrong] = await Promise.all([
      task(name, "--help"),
      task(name, ...args, "--dry-run"),
      task(name, ...args, "--dry-rum"),
    ]);
    assertEquals(help.code, 0, help.stderr);
    assertStringIncludes(help.stdout, `Usage: deno task ${name}`);
    assertEquals(dryRun.code, 0, dryRun.stderr);
    assertEquals(JSON.parse(dryRun.stdout.trim().split("\n").at(-1)!), { task: name, dryRun: true });
    assertStringIncludes(messageOf(wrong), "did you mean --dry-run?");
  });
}

Deno.test("no task asks for all permissions", () => {
  for (const { command } of Object.values<{ command: string }>(CONFIG.tasks)) {
    assert(!/ (-A|--allow-all)\b/.test(command), command);
  }
});

Deno.test("a missing value, a wrong number and a wrong network are explained", async () => {
  const outcomes = await Promise.all([
    task("train", "cnn"),
    task("train", "cnn", "--data", "x", "--epochs", "many"),
    task("train", "cn", "--data", "x"),
    task("train", "rnn", "--data", "x", "--window", "4"),
  ]);
  const [missing, number, network, even] = outcomes.map(messageOf);
  assertStringIncludes(missing, "--data is missing");
  assertStringIncludes(number, '--epochs is "many"; expected an integer');
  assertStringIncludes(network, "did you mean cnn?");
  assertStringIncludes(even, "expected an odd number");
});

Deno.test("unusable folders and checkpoints end with one message", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/empty`);
    await Deno.mkdir(`${folder}/other/annotations/EXPR_Set/Training_Set`, { recursive: true });
    await Deno.writeTextFile(`${folder}/text.safetensors`, "no weights");
    const [missing, empty, other, weights, occupied] = (await Promise.all([
      task("train", "cnn", "--data", `${folder}/none`, "--out", `${folder}/out_none`),
      task("train", "cnn", "--data", `${folder}/empty`, "--out", `${folder}/out_empty`),
      task("train", "cnn", "--data", `${folder}/other`, "--out", `${folder}/out_other`),
      task("evaluate", "--weights", `${folder}/text.safetensors`, "--data", folder),
      task("synthesize", "--out", folder, "--tracks", "2", "--frames", "9"),
    ])).map(messageOf);
    assertMatch(missing, /none/);
    assertMatch(empty, /empty/);
    assertMatch(other, /2020/);
    assertMatch(weights, /expected a safetensors file/);
    assertMatch(occupied, /is no synthetic set/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a run file trains, records, is refused twice, resumes, replays and is listed", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const sizes = { width: 4, size: 32 };
    const content = {
      name: "smallest",
      preset: "tiny",
      data: {
        root: `${folder}/data`,
        synthetic: { tracks: 6, frames: 12, size: 48, balanced: true },
      },
      models: Object.fromEntries(
        ["cnn", "rnn", "transformer"].map((name) => [name, { architecture: sizes }]),
      ),
      recipe: { epochs: 2, batchSize: 8 },
    };
    const file = `${folder}/run.json`;
    const out = `${folder}/a`;
    await Deno.writeTextFile(file, `// the smallest run\n${JSON.stringify(content)}`);
    const trained = lastLine(await task("train", "--run", file, "--out", out, "--set", "recipe.epochs=1"));
    assertEquals(trained.networks.cnn.epochs, 1);
    assertEquals(trained.ensemble.length, 4);
    const record = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
    assertEquals(record.status, "finished");
    assertEquals(record.run.models.rnn.recipe.epochs, 1);
    assertMatch(record.networks.transformer.weightsSha256, /^[0-9a-f]{64}$/);
    assertMatch(record.data.annotations, /^[0-9a-f]{64}$/);

    const again = messageOf(await task("train", "--run", file, "--out", out));
    assertStringIncludes(again, "expected --resume to go on with it, --overwrite to replace it");
    const changed = messageOf(await task("train", "--run", file, "--out", out, "--resume", "--seed", "2"));
    assertStringIncludes(changed, "seed changed since");
    const replay = lastLine(await task("replay", `${out}/record.json`, "--out", `${folder}/b`));
    assertEquals([replay.exact, replay.identical, replay.difference], [true, true, null]);
    const longer = lastLine(await task("train", "--run", file, "--out", out, "--resume"));
    assertEquals(longer.networks.cnn.epochs, 2); // the recipe may change, and the record says so
    const { changedKeys } = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
    assertEquals(changedKeys, ["cnn", "rnn", "transformer"].map((name) => `models.${name}.recipe.epochs`));

    const csv = `${folder}/predictions.csv`;
    const data = ["--data", `${folder}/data`];
    const weights = ["cnn", "rnn", "transformer"].map((network) => `${out}/${network}.safetensors`);
    const scores = lastLine(await task("evaluate", "--weights", weights[1], ...data, "--csv", csv));
    assertEquals(scores.score, longer.networks.rnn.score);
    assertEquals(await Deno.readTextFile(csv), await Deno.readTextFile(`${out}/rnn.predictions.csv`));
    const table = lastLine(await task("ensemble", ...weights, ...data, "--out", `${folder}/ensemble`));
    assertEquals(table.rows.length, 4);

    // The page needs no network: all that it shows is in it.
    const page = await Deno.readTextFile(`${out}/report.html`);
    assert(page.includes("<svg") && page.includes("Confusion matrix"), page.slice(0, 500));
    assert(!/(src|href)="https?:|url\(https?:|<script/.test(page));
    assertEquals(
      lastLine(await task("report", `${out}/record.json`, "--out", `${folder}/r.html`)).kind,
      "run",
    );

    const listed = await task("runs", "--out", folder);
    assertEquals(lastLine(listed).runs, 2);
    assertMatch(listed.stdout, /smallest .* finished/);
    const compared = await task("runs", "compare", out, `${folder}/b`);
    assertEquals(lastLine(compared).differences.includes("run.models.cnn.recipe.epochs"), true);

    // A record that was changed by hand is found out.
    record.networks.cnn.epochs[0].trainLoss += 1e-9;
    record.run.models.cnn.recipe.epochs = 1;
    await Deno.writeTextFile(`${folder}/changed.json`, JSON.stringify(record));
    const different = lastLine(await task("replay", `${folder}/changed.json`, "--out", `${folder}/c`));
    assertEquals(different.identical, false);
    assertStringIncludes(different.difference, "cnn epoch 1: trainLoss was");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("train: checkpoints of another model or kind are refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/data`;
    const out = `${folder}/out`;
    const small = ["--data", data, "--out", out, "--preset", "tiny", "--size", "32", "--epochs", "1"];
    const set = await task("synthesize", "--out", data, "--tracks", "6", "--frames", "12", "--size", "48");
    assertEquals(set.code, 0, set.stderr);
    const none = messageOf(await task("train", "rnn", ...small));
    assertStringIncludes(none, "it has no backbone");
    const trained = await task("train", "cnn", ...small, "--width", "4", "--overwrite");
    assertEquals(trained.code, 0, trained.stderr);
    const refused = messageOf(await task("train", "cnn", ...small, "--width", "8", "--resume"));
    assertStringIncludes(refused, "models.cnn.architecture.width changed since");
    const cnn = ["--backbone", `${out}/cnn.safetensors`, "--overwrite"];
    const width = messageOf(await task("train", "rnn", ...small, "--width", "8", ...cnn));
    assertStringIncludes(width, "it has width 4");
    const rnn = await task("train", "rnn", ...small, "--width", "4", ...cnn);
    assertEquals(rnn.code, 0, rnn.stderr);
    const wrong = ["--backbone", `${out}/rnn.safetensors`, "--overwrite"];
    const kind = messageOf(await task("train", "transformer", ...small, "--width", "4", ...wrong));
    assertStringIncludes(kind, "it is a checkpoint of rnn; expected cnn");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
