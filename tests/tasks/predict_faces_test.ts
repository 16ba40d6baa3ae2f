/** `predict` on real faces: photographs, a talking head, two people, and a video that is played again and again. */
import { assert, assertEquals } from "@std/assert";
import { readCsv } from "../../tasks/predict/csv.ts";
import golden from "../golden/faces.json" with { type: "json" };
import { CONFIG, lastLine, task, taskCommand } from "./_task.ts";

const FRAMES = { head: 67, two: 24, long: 24 };
const folder = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

/** Runs a script in a process of its own. */
async function script(name: string, ...args: string[]) {
  const path = new URL(`../talking_faces/${name}`, import.meta.url).pathname;
  const flags = ["run", "--quiet", "--no-config", "--no-lock", "--allow-all", path];
  const { code, stdout, stderr } = await new Deno.Command("deno", { args: [...flags, ...args] }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const clips = await script("clips.js", folder);
const missing = clips.code === 3 ? clips.stderr.trim() : undefined;
if (missing !== undefined) console.warn(`NOT TESTED: predict on talking faces: ${missing}`);
else assertEquals(clips.code, 0, clips.stderr);

/** A network that has seen a few synthetic faces. */
async function trainedNetwork(): Promise<string> {
  const run = {
    preset: "tiny",
    data: { root: `${folder}/data` },
    models: { cnn: { architecture: { width: 4, size: 32 } } },
    recipe: { epochs: 1, batchSize: 8 },
  };
  await Deno.writeTextFile(`${folder}/run.json`, JSON.stringify(run));
  lastLine(
    await task("synthesize", "--out", run.data.root, "--tracks", "8", "--frames", "12", "--size", "48"),
  );
  lastLine(await task("train", "--run", `${folder}/run.json`, "--out", `${folder}/run`));
  return `${folder}/run/cnn.safetensors`;
}

const weights = trainedNetwork();
weights.catch(() => {}); // reported by the test that wants them

type Rows = { frame: number; track: string; face: string; x: number; width: number }[];

/** The rows of each input. Fails unless its frames come in order, from 1 on, each with rows. */
async function rowsByInput(path: string): Promise<Map<string, Rows>> {
  const inputs = new Map<string, Rows>();
  for await (
    const { record } of readCsv(path, ["input", "frame", "track", "face", "x", "width", "Neutral"])
  ) {
    const rows = inputs.get(record.get("input")!) ?? [];
    inputs.set(record.get("input")!, rows);
    const [frame, x, width] = ["frame", "x", "width"].map((name) => Number(record.get(name)));
    const last = rows.at(-1)?.frame ?? 0;
    assert(frame === last + 1 || (frame === last && last > 0), `row of frame ${frame} after frame ${last}`);
    assertEquals(record.get("face") === "found", record.get("Neutral") !== "");
    rows.push({ frame, track: record.get("track")!, face: record.get("face")!, x, width });
  }
  return inputs;
}

const found = (rows: Rows) => rows.filter(({ face }) => face === "found");

Deno.test("predict: every face of photographs has a row of its own", async () => {
  const root = new URL(import.meta.resolve("@vladmandic/face-api/package.json"));
  const photographs = golden.map(({ path }) => new URL(path, root).pathname);
  const out = `${folder}/photographs.csv`;
  const { frames } = lastLine(
    await task("predict", ...photographs, "--weights", await weights, "--out", out),
  );
  assertEquals(frames, golden.length);
  const inputs = await rowsByInput(out);
  for (const [i, { faces }] of golden.entries()) {
    const rows = inputs.get(photographs[i])!;
    assertEquals(found(rows).length, faces.length, photographs[i]);
    assertEquals(new Set(rows.map(({ track }) => track)).size, faces.length);
  }
});

Deno.test({
  name: "predict: a talking head is found in 95 % of its frames, two people are two tracks, no frame is lost",
  ignore: missing !== undefined,
  async fn() {
    const [head, two, out] = ["head.mkv", "two.mkv", "videos.csv"].map((name) => `${folder}/${name}`);
    const { frames, tracks } = lastLine(
      await task("predict", head, two, "--weights", await weights, "--out", out),
    );
    assertEquals([frames, tracks], [FRAMES.head + FRAMES.two, 3]);
    const inputs = await rowsByInput(out);
    const [alone, both] = [inputs.get("head")!, inputs.get("two")!];
    assertEquals([alone.at(-1)!.frame, both.at(-1)!.frame], [FRAMES.head, FRAMES.two]);
    assert(found(alone).length >= 0.95 * FRAMES.head, `found in ${found(alone).length} of ${FRAMES.head}`);
    // The left half of the frame is 384 of 744 pixels wide.
    for (
      const [track, isThere] of [["two#1", (x: number) => x < 384], [
        "two#2",
        (x: number) => x >= 384,
      ]] as const
    ) {
      const own = both.filter((row) => row.track === track);
      assert(own.length >= 0.95 * FRAMES.two, `${track} is found in ${own.length} of ${FRAMES.two}`);
      assert(own.every(({ x, width }) => isThere(x + width / 2)), `${track} is in both halves`);
    }
  },
});

Deno.test({
  name: "predict: a video of ten times the length takes no more memory",
  ignore: missing !== undefined || Deno.build.os !== "linux",
  async fn() {
    const [, ...words] = (CONFIG.tasks.predict.command as string).split(" ");
    const peak = async (repeat: number) => {
      const out = `${folder}/long.csv`;
      const args = [`${folder}/long.mkv`, "--weights", await weights, "--detector-size", "160", "--out", out];
      const { code, stdout, stderr } = await script(
        "peak_memory.js",
        ...words,
        ...args,
        "--repeat",
        `${repeat}`,
      );
      assertEquals(code, 0, stderr);
      const rows = (await rowsByInput(out)).get("long")!;
      assertEquals(found(rows).length, repeat * FRAMES.long); // the face is the same in all of them
      return Number(stdout);
    };
    const [once, tenTimes] = [await peak(2), await peak(20)];
    // The frames that the longer one has more are 398 MB; what the heap happens to hold is up to 40 MB.
    const more = 18 * FRAMES.long * 640 * 480 * 3;
    assert(once > 1e8 && tenTimes - once < more / 4, `${once} bytes at most, then ${tenTimes}`);
  },
});

Deno.test({
  name: "predict: Ctrl-C keeps the rows so far",
  ignore: missing !== undefined,
  async fn() {
    const out = `${folder}/stopped.csv`;
    const args = [`${folder}/long.mkv`, "--weights", await weights, "--detector-size", "160", "--out", out];
    const child = taskCommand("predict", ...args, "--repeat", "1000").spawn();
    const errors = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; !text.includes("frames/s");) {
      const { value, done } = await errors.read();
      assert(!done, text);
      text += value;
    }
    child.kill("SIGINT");
    const rest = (async () => {
      while (!(await errors.read()).done);
    })();
    const [stdout] = await Promise.all([new Response(child.stdout).text(), rest]);
    assertEquals((await child.status).code, 130, stdout);
    assertEquals(JSON.parse(stdout.trim().split("\n").at(-1)!), { task: "predict", interrupted: true });
    const rows = (await rowsByInput(`${out}.partial`)).get("long")!;
    assert(rows.length > 0 && rows.length < 1000 * FRAMES.long, `${rows.length} rows`);
  },
});
