import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { imagePath, readDataset } from "../../data/aff_wild2/mod.ts";
import { lastLine, messageOf, task, taskCommand } from "./_task.ts";

Deno.test("prepare: checks a tree, writes the index; runs use it, refuse what it knows to be bad, and go on without it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/data`;
    lastLine(await task("synthesize", "--out", data, "--tracks", "8", "--frames", "12", "--size", "48"));
    const { tracks } = await readDataset(data, { labelSet: "expression", split: "validation" });
    const bad = imagePath(tracks[0], 0);
    const whole = await Deno.readFile(bad);
    await Deno.writeFile(bad, whole.subarray(0, whole.length >> 1));

    const first = await task("prepare", "--data", data);
    const { sets, effort, unreadable, index } = lastLine(first);
    assertEquals([unreadable, index, effort.decoded], [1, `${data}/fervid.index`, effort.crops]);
    assertEquals(
      sets.map(({ labelSet, split, unreadable }: Record<string, unknown>) => [labelSet, split, unreadable])
        .slice(
          0,
          2,
        ),
      [["expression", "train", 0], ["expression", "validation", 1]],
    );
    for (const { kept, annotated, unlabelled, missingCrop } of sets) {
      assertEquals(kept, annotated - unlabelled - missingCrop);
    }
    assertMatch(first.stdout, /expression validation +2 /);
    assertStringIncludes(first.stdout, `${bad.replace("/00", ", frame ").split(",")[0]}`);
    assertStringIncludes(first.stdout, "videos in both expression train and expression validation: none");
    assertEquals(lastLine(await task("prepare", "--data", data)).effort.decoded, 0);

    const architecture = { width: 4, size: 32 };
    const run = {
      preset: "tiny",
      data: { root: data },
      models: { cnn: { architecture } },
      recipe: { epochs: 1, batchSize: 8 },
    };
    const file = `${folder}/run.json`;
    await Deno.writeTextFile(file, JSON.stringify(run));
    const refused = messageOf(await task("train", "--run", file, "--out", `${folder}/a`));
    assertStringIncludes(refused, `Cannot start: 1 image cannot be used, says ${index}: ${bad}: `);

    // The same bits with the index, without it, and with one that is somewhere else.
    const skip = ["--run", file, "--on-bad-image", "skip"];
    const indexed = await task("train", ...skip, "--out", `${folder}/b`);
    lastLine(indexed);
    assertMatch(indexed.stdout, /index: .*fervid.index, all \d+ files and folders as they were/);
    const elsewhere = `${folder}/elsewhere.index`;
    await Deno.rename(index, elsewhere);
    const without = await task("train", ...skip, "--out", `${folder}/c`);
    lastLine(without);
    assert(!without.stdout.includes("index: "), without.stdout);
    const named = await task("train", ...skip, "--out", `${folder}/d`, "--set", `data.index=${elsewhere}`);
    lastLine(named);
    assertStringIncludes(named.stdout, `index: ${elsewhere}, all `);
    const records = await Promise.all(
      ["b", "c", "d"].map(async (name) =>
        JSON.parse(await Deno.readTextFile(`${folder}/${name}/record.json`))
      ),
    );
    for (const { networks, badImages, data } of records) {
      assertEquals(networks.cnn.weightsSha256, records[0].networks.cnn.weightsSha256);
      assertEquals([networks.cnn.scores, badImages, data], [
        records[0].networks.cnn.scores,
        records[0].badImages,
        records[0].data,
      ]);
    }

    const missing = messageOf(
      await task("train", ...skip, "--out", `${folder}/e`, "--set", "data.index=none.index"),
    );
    assertStringIncludes(missing, "Cannot open the index none.index");
    await Deno.writeTextFile(index, "broken");
    const broken = await task("evaluate", "--weights", `${folder}/b/cnn.safetensors`, "--data", data);
    assertStringIncludes(broken.stdout, "does not begin as one; the data is read without it");
    assertStringIncludes(messageOf(broken), bad); // found when it is decoded
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("prepare: what is wrong is told at the end, a folder without data or without room for the index at once", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/data`;
    lastLine(await task("synthesize", "--out", data, "--tracks", "4", "--frames", "9", "--size", "32"));
    const [track] = [...Deno.readDirSync(`${data}/annotations/AU_Set/Train_Set`)];
    await Deno.writeTextFile(`${data}/annotations/AU_Set/Train_Set/${track.name}`, "AU1,AU2\n");
    const [wrong, nowhere, unwritable] = await Promise.all([
      task("prepare", "--data", data),
      task("prepare", "--data", `${folder}/none`),
      task("prepare", "--data", data, "--index", `${data}/synthetic.json/x.index`),
    ]);
    assertStringIncludes(messageOf(wrong), "1 problems, listed above");
    assertStringIncludes(
      wrong.stdout,
      `problem: Cannot read annotations ${data}/annotations/AU_Set/Train_Set/`,
    );
    assertStringIncludes(wrong.stdout, "expression train"); // the other sets are told all the same
    assertStringIncludes(messageOf(nowhere), "it does not exist");
    await Deno.stat(`${folder}/none`).then(() => assert(false, "a folder was made"), () => {});
    assertStringIncludes(messageOf(unwritable), "--index FILE puts the index elsewhere");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("prepare: Ctrl-C keeps what was decoded", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/data`;
    lastLine(await task("synthesize", "--out", data, "--tracks", "4", "--frames", "9", "--size", "32"));
    const [{ name: track }] = [...Deno.readDirSync(`${data}/cropped_aligned`)];
    const crops = `${data}/cropped_aligned/${track}`;
    const [{ name }] = [...Deno.readDirSync(crops)];
    const bytes = await Deno.readFile(`${crops}/${name}`);
    for (let frame = 100; frame < 8000; frame++) {
      await Deno.writeFile(`${crops}/${String(frame).padStart(5, "0")}.jpg`, bytes);
    }
    const child = taskCommand("prepare", "--data", data).spawn();
    const decoder = new TextDecoder();
    const errors = child.stderr.getReader();
    for (let text = ""; !text.includes("decoding crops");) {
      const { value, done } = await errors.read();
      assert(!done, text);
      text += decoder.decode(value);
    }
    child.kill("SIGINT");
    errors.releaseLock();
    await child.stderr.cancel();
    const stdout = await new Response(child.stdout).text();
    assertEquals((await child.status).code, 130, stdout);
    assertEquals(JSON.parse(stdout.trim().split("\n").at(-1)!).interrupted, true);
    const { effort } = lastLine(await task("prepare", "--data", data));
    assert(effort.decoded > 0 && effort.decoded < effort.crops, JSON.stringify(effort));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
