/** `predict` on folders and broken input, and `evaluate --predictions` on what it writes. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { imagePath, readDataset } from "../../data/aff_wild2/mod.ts";
import { readCsv } from "../../tasks/predict/csv.ts";
import { lastLine, messageOf, task } from "./_task.ts";

/** Lines of the text files in a folder, their headers left out, by name. */
function linesOf(folder: string): Map<string, number> {
  return new Map(
    [...Deno.readDirSync(folder)].map(({ name }) => [
      name,
      Deno.readTextFileSync(`${folder}/${name}`).trimEnd().split("\n").length - 1,
    ]),
  );
}

Deno.test("predict: a tree's frames are its rows, with and without crops; its tables are scored alike", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/data`;
    lastLine(await task("synthesize", "--out", data, "--tracks", "8", "--frames", "12", "--size", "48"));
    const run = {
      preset: "tiny",
      data: { root: data, labelSet: "joint" },
      models: { cnn: { architecture: { width: 4, size: 32 } } },
      recipe: { epochs: 1, batchSize: 8 },
    };
    await Deno.writeTextFile(`${folder}/run.json`, JSON.stringify(run));
    lastLine(await task("train", "--run", `${folder}/run.json`, "--out", `${folder}/run`));
    const { tracks: [track] } = await readDataset(data, { labelSet: "expression", split: "validation" });
    await Deno.writeTextFile(imagePath(track, 0), "no image");

    const flags = ["--weights", `${folder}/run/cnn.safetensors`, "--fill-gaps"];
    const strict = await task("predict", data, ...flags, "--out", `${folder}/strict.csv`);
    assertStringIncludes(messageOf(strict), imagePath(track, 0));
    assertStringIncludes(strict.stdout, `the rows so far are in ${folder}/strict.csv.partial`);
    const [out, submission] = [`${folder}/rows.csv`, `${folder}/submission`];
    const sinks = [
      "--out",
      out,
      "--submission",
      submission,
      "--missing",
      "nearest",
      "--report",
      `${out}.html`,
    ];
    const { frames, rows } = lastLine(
      await task("predict", data, ...flags, ...sinks, "--on-bad-image", "skip"),
    );
    assertEquals(rows, frames);

    const counts = new Map<string, number>();
    for await (const { record } of readCsv(out, ["track", "frame", "face", "AU26"])) {
      const [name, frame] = [`${record.get("track")}.txt`, Number(record.get("frame"))];
      assertEquals(frame, (counts.get(name) ?? 0) + 1);
      counts.set(name, frame);
      if (name === `${track.name}.txt` && frame === track.frames[0]) {
        assert(record.get("face") !== "found", "an image that cannot be read has a face");
      }
    }
    for (const set of ["expression", "action_units"]) {
      assertEquals(new Map([...linesOf(`${submission}/${set}`)].sort()), new Map([...counts].sort()));
      const score = async (predictions: string) =>
        lastLine(await task("evaluate", "--predictions", predictions, "--data", data, "--label-set", set))
          .score;
      assertEquals(await score(out), await score(`${submission}/${set}`));
    }
    assertStringIncludes(await Deno.readTextFile(`${out}.html`), 'aria-label="action units over time"');

    const text = `${folder}/some.mp4`;
    await Deno.writeTextFile(text, "no video");
    assertStringIncludes(messageOf(await task("predict", text, ...flags)), `Cannot read `);
    assertStringIncludes(messageOf(await task("predict", `${folder}/none`, ...flags)), "Cannot read ");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
