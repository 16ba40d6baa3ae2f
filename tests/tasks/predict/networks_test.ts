/** `predict` with networks of windows, ensembles, smoothing and a marked video, against what training and sums say. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes } from "@std/assert";
import { EXPRESSIONS } from "../../../data/aff_wild2/types.ts";
import { smooth } from "../../../models/smoothing.ts";
import { readCsv } from "../../../tasks/predict/csv.ts";
import { lastLine, messageOf, task } from "../_task.ts";

/** Probabilities by track and frame, of frames that have them. */
async function probabilitiesIn(path: string): Promise<Map<string, Map<number, number[]>>> {
  const tracks = new Map<string, Map<number, number[]>>();
  for await (const { record } of readCsv(path, ["track", "frame", ...EXPRESSIONS])) {
    if (record.get("Neutral") === "") continue;
    const track = record.get("track")!;
    if (!tracks.has(track)) tracks.set(track, new Map());
    tracks.get(track)!.set(Number(record.get("frame")), EXPRESSIONS.map((name) => Number(record.get(name))));
  }
  return tracks;
}

/** The same frames in `actual`, and the same values but for how they are rounded. */
function assertSame(
  actual: Map<string, Map<number, number[]>>,
  wanted: Map<string, Map<number, number[]>>,
): void {
  for (const [track, frames] of wanted) {
    for (const [frame, values] of frames) {
      values.forEach((value, c) =>
        assertAlmostEquals(
          actual.get(track)?.get(frame)?.[c] ?? NaN,
          value,
          1e-5,
          `${track}, frame ${frame}, ${EXPRESSIONS[c]}`,
        )
      );
    }
  }
}

Deno.test("predict: windows, ensembles, smoothing and the marked video are what they are said to be", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/data`;
    lastLine(await task("synthesize", "--out", data, "--tracks", "8", "--frames", "14", "--size", "48"));
    const architecture = { width: 4, size: 32 };
    const run = {
      preset: "tiny",
      data: { root: data },
      models: { cnn: { architecture }, rnn: { architecture: { ...architecture, hidden: 8 } } },
      recipe: { epochs: 1, batchSize: 8 },
    };
    await Deno.writeTextFile(`${folder}/run.json`, JSON.stringify(run));
    lastLine(await task("train", "--run", `${folder}/run.json`, "--out", `${folder}/run`));
    const weightsOf = (network: string) => `${folder}/run/${network}.safetensors`;
    const predict = async (name: string, ...args: string[]) => {
      const out = `${folder}/${name}.csv`;
      lastLine(await task("predict", data, ...args, "--out", out));
      return await probabilitiesIn(out);
    };

    const [cnn, rnn] = [
      await predict("cnn", "--weights", weightsOf("cnn")),
      await predict("rnn", "--weights", weightsOf("rnn")),
    ];
    const trained = await probabilitiesIn(`${folder}/run/rnn.predictions.csv`);
    assert(trained.size > 0);
    assertSame(rnn, trained);

    const checkpoints = ["cnn", "rnn"].map(weightsOf);
    const ensemble = `${folder}/ensemble.json`;
    await Deno.writeTextFile(ensemble, JSON.stringify({ weights: { cnn: 0.2, rnn: 0.8 }, checkpoints }));
    const smoothed = await predict("smoothed", "--ensemble", ensemble, "--smooth", "box:2");
    const wanted = new Map(Array.from(rnn, ([track, frames]) => {
      const numbers = [...frames.keys()];
      const mixed = numbers.flatMap((frame) =>
        frames.get(frame)!.map((value, c) => 0.2 * cnn.get(track)!.get(frame)![c] + 0.8 * value)
      );
      const classes = EXPRESSIONS.length;
      const values = smooth(Float32Array.from(mixed), classes, [{ frames: numbers }], {
        shape: "box",
        width: 2,
      });
      return [
        track,
        new Map(numbers.map((frame, i) => [frame, [...values.slice(i * classes, (i + 1) * classes)]])),
      ];
    }));
    assertEquals(smoothed.size, wanted.size);
    assertSame(smoothed, wanted);

    const { code } = await videos("make", folder);
    if (code === 3) return console.warn("NOT TESTED: a marked video: ffmpeg is missing");
    const source = `${folder}/source.mkv`;
    const flags = ["--weights", weightsOf("cnn"), "--detector-size", "96", "--out", `${folder}/video.csv`];
    const over = await task(
      "predict",
      source,
      ...flags,
      "--video",
      `${folder}/../${folder.replace(/.*\//, "")}/source.mkv`,
    );
    assertStringIncludes(messageOf(over), "it is read, too");
    lastLine(await task("predict", source, ...flags, "--repeat", "2", "--video", `${folder}/marked.mkv`));
    assertEquals((await videos("count", folder)).answer, Array(24).fill([160, 120]));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** What `_videos.ts` says, which may run ffmpeg. */
async function videos(name: string, folder: string): Promise<{ code: number; answer?: unknown }> {
  const path = new URL("_videos.ts", import.meta.url).pathname;
  const args = ["run", "--quiet", "--no-check", "--allow-all", path, name, folder];
  const { code, stdout } = await new Deno.Command("deno", { args }).output();
  return { code, answer: code === 0 ? JSON.parse(new TextDecoder().decode(stdout)) : undefined };
}
