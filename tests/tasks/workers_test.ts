import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { imagePath, readDataset } from "../../data/aff_wild2/mod.ts";
import { lastLine, messageOf, task, taskCommand } from "./_task.ts";

/** A run file over a drawn set, whose training augments, and fine-tunes on windows of images. */
async function prepare(folder: string): Promise<{ file: string; bad: string }> {
  const data = `${folder}/data`;
  lastLine(await task("synthesize", "--out", data, "--tracks", "6", "--frames", "12", "--size", "48"));
  const { tracks: [track] } = await readDataset(data, { labelSet: "expression", split: "train" });
  const bad = imagePath(track, 3);
  const bytes = await Deno.readFile(bad);
  await Deno.writeFile(bad, bytes.subarray(0, bytes.length - 60));
  const architecture = { width: 4, size: 32 };
  const run = {
    name: "workers",
    preset: "tiny",
    data: { root: data, onBadImage: "skip" },
    models: {
      cnn: { architecture },
      rnn: { architecture, recipe: { finetune: true, batchSize: 2, window: 3, stride: 9 } },
    },
    recipe: { epochs: 1, batchSize: 8 },
    checkpoint: { everySteps: 1 },
  };
  const file = `${folder}/run.json`;
  await Deno.writeTextFile(file, JSON.stringify(run));
  return { file, bad };
}

Deno.test("workers: the same weights and predictions for any number; bad images listed; Ctrl-C, resume, errors", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { file, bad } = await prepare(folder);
    const digests: unknown[] = [];
    for (const count of ["0", "1", "3"]) {
      const out = `${folder}/${count}`;
      lastLine(await task("train", "--run", file, "--out", out, "--workers", count));
      const { run, badImages, networks } = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
      assertEquals(run.loader.workers, Number(count));
      assertEquals(badImages, [{ path: bad, reason: "it is damaged or cut short" }]);
      digests.push(["cnn", "rnn"].map((network) => {
        const { weightsSha256, predictionsSha256 } = networks[network];
        assert(weightsSha256 !== null && predictionsSha256 !== null);
        return [weightsSha256, predictionsSha256];
      }));
    }
    assertEquals(digests[1], digests[0]);
    assertEquals(digests[2], digests[0]);

    // Interrupted with workers, gone on with in the main thread.
    const out = `${folder}/interrupted`;
    const child = taskCommand("train", "--run", file, "--out", out, "--workers", "2").spawn();
    const drained = [child.stdout, child.stderr].map((stream) => new Response(stream).text());
    while (!await Deno.stat(`${out}/cnn.safetensors`).then(() => true, () => false)) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    child.kill("SIGINT");
    const { code } = await child.status;
    const [stdout, stderr] = await Promise.all(drained);
    assertEquals(code, 130, stderr);
    assertEquals(JSON.parse(stdout.trim().split("\n").at(-1)!).interrupted, true);
    lastLine(await task("train", "--run", file, "--out", out, "--resume", "--workers", "0"));
    const { networks } = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
    const ends = ["cnn", "rnn"].map((
      name,
    ) => [networks[name].weightsSha256, networks[name].predictionsSha256]);
    assertEquals(ends, digests[0]);

    const strict = ["--on-bad-image", "error", "--workers", "2"];
    assertStringIncludes(
      messageOf(await task("train", "--run", file, "--out", `${folder}/strict`, ...strict)),
      bad,
    );
    const evaluate = [
      "--weights",
      `${out}/rnn.safetensors`,
      "--data",
      `${folder}/data`,
      "--on-bad-image",
      "skip",
    ];
    assertEquals(
      lastLine(await task("evaluate", ...evaluate, "--workers", "2")).score,
      networks.rnn.scores.score,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
