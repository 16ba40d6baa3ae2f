import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { imagePath, readDataset, type Split } from "../../data/aff_wild2/mod.ts";
import { lastLine, messageOf, task } from "./_task.ts";

const HALF = (bytes: Uint8Array) => bytes.subarray(0, bytes.length >> 1);

/** The first track of a split by name, and the number of its first frame that is kept. */
async function firstFrame(
  data: string,
  split: Split,
): Promise<{ track: string; frame: number; path: string }> {
  const { tracks: [track] } = await readDataset(data, { labelSet: "expression", split });
  return { track: track.name, frame: track.frames[0], path: imagePath(track, 0) };
}

Deno.test("bad images: an error that keeps what was trained, or left out, listed, resumed, replayed, evaluated", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [data, out] = [`${folder}/data`, `${folder}/out`];
    lastLine(await task("synthesize", "--out", data, "--tracks", "8", "--frames", "12", "--size", "48"));
    const [first, second] = [await firstFrame(data, "train"), await firstFrame(data, "validation")];
    const bad = { train: first.path, validation: second.path };
    const whole = await Deno.readFile(bad.validation);
    await Deno.writeFile(bad.validation, HALF(whole));
    const file = `${folder}/run.json`;
    const architecture = { width: 4, size: 32 };
    const models = { cnn: { architecture }, rnn: { architecture } };
    const run = {
      name: "bad",
      preset: "tiny",
      data: { root: data },
      models,
      recipe: { epochs: 1, batchSize: 8 },
    };
    await Deno.writeTextFile(file, JSON.stringify(run));

    await Deno.writeFile(bad.train, new Uint8Array());

    const failed = messageOf(await task("train", "--run", file, "--out", out));
    assertStringIncludes(failed, bad.train);
    assertStringIncludes(failed, "--on-bad-image=skip, and go on with --resume");
    const atFailure = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
    assertEquals(atFailure.status, "failed");
    assertEquals(atFailure.badImages.map(({ path }: { path: string }) => path), [bad.train]);

    const resumed = await task("train", "--run", file, "--out", out, "--resume", "--on-bad-image", "skip");
    const { networks } = lastLine(resumed);
    assertStringIncludes(resumed.stdout, "their frames left out: 2");
    assert(!/could not write/.test(resumed.stdout + resumed.stderr), resumed.stdout);
    const record = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
    assertEquals(record.status, "finished");
    assertEquals(
      record.badImages.map(({ path }: { path: string }) => path),
      [bad.train, bad.validation].sort(),
    );
    const csv = await Deno.readTextFile(`${out}/rnn.predictions.csv`);
    const rows = csv.split("\n").filter((line) => /,-1,/.test(line));
    assertEquals(rows, [`${second.track},${second.frame},-1,${Array(7).fill("0.000000").join(",")}`]);

    const [strict, lenient] = [
      await task("evaluate", "--weights", `${out}/rnn.safetensors`, "--data", data),
      await task("evaluate", "--weights", `${out}/rnn.safetensors`, "--data", data, "--on-bad-image", "skip"),
    ];
    assertStringIncludes(messageOf(strict), bad.validation);
    assertEquals([lastLine(lenient).score, lastLine(lenient).badImages], [networks.rnn.score, 1]);

    // What was interrupted by a bad image and gone on with is the same as what was never interrupted.
    const straight = `${folder}/straight`;
    const skip = ["--on-bad-image", "skip"];
    lastLine(await task("train", "--run", file, "--out", straight, ...skip));
    const replay = lastLine(await task("replay", `${straight}/record.json`, "--out", `${folder}/replay`));
    assertEquals([replay.exact, replay.identical], [true, true]);
    const other = JSON.parse(await Deno.readTextFile(`${straight}/record.json`));
    assertEquals(other.badImages, record.badImages);
    for (const network of ["cnn", "rnn"]) {
      for (const key of ["weightsSha256", "predictionsSha256"]) {
        assertEquals(other.networks[network][key], record.networks[network][key], `${network} ${key}`);
      }
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
