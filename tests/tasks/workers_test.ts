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
    const digestsOf = async (out: string) => {
      const { badImages, networks } = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
      assertEquals(badImages, [{ path: bad, reason: "it is damaged or cut short" }]);
      return ["cnn", "rnn"].map((network) => {
        const { weightsSha256, predictionsSha256 } = networks[network];
        assert(weightsSha256 !== null && predictionsSha256 !== null);
        return [weightsSha256, predictionsSha256];
      });
    };
    const train = (out: string, ...args: string[]) => ["--run", file, "--out", `${folder}/${out}`, ...args];
    lastLine(await task("train", ...train("none", "--workers", "0")));
    lastLine(await task("train", ...train("three", "--workers", "3")));
    const expected = await digestsOf(`${folder}/none`);
    assertEquals(await digestsOf(`${folder}/three`), expected);
    const { run } = JSON.parse(await Deno.readTextFile(`${folder}/three/record.json`));
    assertEquals(run.loader, { workers: 3, prefetchMegabytes: 512 });

    // Interrupted with one worker, gone on with in the main thread.
    const child = taskCommand("train", ...train("stopped", "--workers", "1")).spawn();
    const drained = [child.stdout, child.stderr].map((stream) => new Response(stream).text());
    while (!await Deno.stat(`${folder}/stopped/cnn.safetensors`).then(() => true, () => false)) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    child.kill("SIGINT");
    const { code } = await child.status;
    const [stdout, stderr] = await Promise.all(drained);
    assertEquals(code, 130, stderr);
    assertEquals(JSON.parse(stdout.trim().split("\n").at(-1)!).interrupted, true);
    lastLine(await task("train", ...train("stopped", "--resume", "--workers", "0")));
    assertEquals(await digestsOf(`${folder}/stopped`), expected);

    const strict = train("strict", "--on-bad-image", "error", "--workers", "2");
    assertStringIncludes(messageOf(await task("train", ...strict)), bad);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
