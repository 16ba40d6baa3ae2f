import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";

const CONFIG = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
const ROOT = new URL("../../", import.meta.url).pathname;

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a task's command line as deno.json has it, with its permissions. */
async function task(name: string, ...args: string[]): Promise<Outcome> {
  const [program, ...words] = (CONFIG.tasks[name].command as string).split(" ");
  assertEquals(program, "deno");
  const command = new Deno.Command("deno", {
    args: [...words, ...args],
    cwd: ROOT,
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The one message of a failed task. */
function messageOf({ code, stderr }: Outcome): string {
  assertEquals(code, 1, stderr);
  const errors = stderr.split("\n").filter((line) =>
    line.startsWith("error: ") && !line.includes("XDG_RUNTIME_DIR")
  );
  assertEquals(errors.length, 1, stderr);
  assert(!/^\s+at /m.test(stderr), `there is a stack in ${stderr}`);
  return errors[0];
}

const REQUIRED: Record<string, string[]> = {
  demo: [],
  synthesize: [],
  train: ["cnn", "--data", "nowhere"],
  evaluate: ["--weights", "none.safetensors", "--data", "nowhere"],
  ensemble: ["a.safetensors", "b.safetensors", "--data", "nowhere"],
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
      task("train", "cnn", "--data", `${folder}/none`, "--out", `${folder}/out`),
      task("train", "cnn", "--data", `${folder}/empty`, "--out", `${folder}/out`),
      task("train", "cnn", "--data", `${folder}/other`, "--out", `${folder}/out`),
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

Deno.test("synthesize, train, evaluate and ensemble work together at the smallest scale", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/data`;
    const out = `${folder}/out`;
    const small = [
      "--data",
      data,
      "--out",
      out,
      "--preset",
      "tiny",
      "--width",
      "4",
      "--size",
      "32",
      "--epochs",
      "1",
    ];
    const lastLine = (outcome: Outcome) => {
      assertEquals(outcome.code, 0, outcome.stderr);
      return JSON.parse(outcome.stdout.trim().split("\n").at(-1)!);
    };
    const set = lastLine(
      await task("synthesize", "--out", data, "--tracks", "6", "--frames", "12", "--size", "48"),
    );
    assertEquals(set.tracks, 6);
    const cnn = lastLine(await task("train", "cnn", ...small));
    assertEquals(cnn.epochs, 1);
    const backbone = ["--backbone", `${out}/cnn.safetensors`];
    lastLine(await task("train", "rnn", ...small, ...backbone));
    lastLine(await task("train", "transformer", ...small, ...backbone));
    const csv = `${folder}/predictions.csv`;
    const scores = lastLine(
      await task("evaluate", "--weights", `${out}/rnn.safetensors`, "--data", data, "--predictions", csv),
    );
    assert(scores.score >= 0 && scores.score <= 1);
    const lines = (await Deno.readTextFile(csv)).trim().split("\n");
    assertStringIncludes(lines[0], "track,frame,label,Neutral");
    const checkpoints = ["cnn", "rnn", "transformer"].map((network) => `${out}/${network}.safetensors`);
    const table = lastLine(
      await task("ensemble", ...checkpoints, "--data", data, "--out", `${folder}/ensemble`),
    );
    assertEquals(table.rows.length, 4);
    // A checkpoint of another model is refused, with the setting that differs.
    const refused = messageOf(await task("train", "cnn", ...small, "--width", "8", "--resume"));
    assertStringIncludes(refused, "its network has width 4 but this run wants 8");
    const wrong = messageOf(await task("train", "rnn", ...small, "--backbone", `${out}/rnn.safetensors`));
    assertStringIncludes(wrong, "it is a checkpoint of rnn; expected cnn");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
