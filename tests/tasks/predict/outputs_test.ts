/** Where `predict` writes: over no input, two runs not into one file; and flags that would do nothing. */
import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import type { Clip } from "../../../tasks/predict/clips.ts";
import { requireOwnOutputs, requireSubmittable, requireUsableFlags } from "../../../tasks/predict/outputs.ts";
import { CsvSink } from "../../../tasks/predict/sinks.ts";
import { UserError } from "../../../tasks/run/cli.ts";
import { messageOf, task } from "../_task.ts";

Deno.test("predict: an output that is an input, or another output, is refused whatever it is called", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [video, photo] = [`${folder}/x.mp4`, `${folder}/y.png`];
    for (const path of [video, photo]) await Deno.writeTextFile(path, "");
    await Deno.symlink(video, `${folder}/link.mp4`);
    const clips: Clip[] = [{ kind: "video", name: "x", source: video }, {
      kind: "image",
      name: photo,
      source: photo,
    }];
    const refused = (outputs: Record<string, string>) =>
      assertRejects(() => requireOwnOutputs(outputs, clips, [`${folder}/net.json`]), UserError);
    for (const name of ["x.mp4", "./x.mp4", "link.mp4", "y.png", "net.json"]) {
      for (const flag of ["--video", "--out", "--report"]) {
        const path = `${folder}/${name}`;
        assertStringIncludes((await refused({ [flag]: path })).message, `Cannot write ${flag} ${path}: `);
      }
    }
    const same = await refused({ "--out": `${folder}/new`, "--report": `${folder}/./new` });
    assertStringIncludes(same.message, "--out is the same");
    await requireOwnOutputs(
      { "--out": `${folder}/a`, "--report": `${folder}/b`, "--video": undefined },
      clips,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("predict: two runs at once each write a table of their own", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/rows.csv`;
    const outputs = { expressions: true, units: false };
    const row = (input: string, frame: number) => ({ input, frame, state: "none" as const });
    const names = async () =>
      (await Deno.readTextFile(path)).trimEnd().split("\n").slice(1).map((line) => line.split(",")[0]);
    const first = await CsvSink.open(path, outputs);
    await first.rows([row("first", 1), row("first", 2)]);
    const second = await CsvSink.open(path, outputs);
    await second.rows([row("second", 1)]);
    await first.rows([row("first", 3)]);
    await first.close();
    assertEquals(await names(), ["first", "first", "first"]);
    await second.close();
    assertEquals(await names(), ["second"]);
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["rows.csv"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("predict: flags that would do nothing, and pictures for a submission, are refused", () => {
  const refused = (flags: { submission?: string; missing?: string; repeat?: number }, ...inputs: string[]) =>
    assertThrows(() => requireUsableFlags({ repeat: 1, ...flags }, inputs), UserError).message;
  assertStringIncludes(refused({ missing: "nearest" }, "a.mp4"), "expected --submission DIR");
  assertStringIncludes(refused({ repeat: 2 }, "-"), "--repeat is 2");
  assertStringIncludes(refused({}, "-", "a.mp4", "-"), "- is given twice");
  requireUsableFlags({ missing: "nearest", submission: "out", repeat: 2 }, ["a.mp4"]);
  const image: Clip = { kind: "image", name: "/etc/photo.jpg", source: "/etc/photo.jpg" };
  assertThrows(() => requireSubmittable([image]), UserError, "/etc/photo.jpg: it is a single picture");
  requireSubmittable([{ kind: "video", name: "a", source: "a.mp4" }]);
});

Deno.test("predict: - twice is told before the networks are read", async () => {
  assertStringIncludes(messageOf(await task("predict", "-", "-", "--weights", "none")), "- is given twice");
});
