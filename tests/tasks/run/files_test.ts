import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { UserError } from "../../../tasks/run/cli.ts";
import { isSameFile, requireWritable, writeTextAtomic } from "../../../tasks/run/files.ts";
import { messageOf, task } from "../_task.ts";
import { onFullDisk } from "../../_full_disk.ts";

/** Runs a body in an empty folder that is the current one; afterwards these names are in it. */
async function inFolder(body: (folder: string) => Promise<void>, names: readonly string[]): Promise<void> {
  const [before, folder] = [Deno.cwd(), await Deno.makeTempDir()];
  try {
    Deno.chdir(folder);
    await body(folder);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), names.toSorted());
  } finally {
    Deno.chdir(before);
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("an output's path may be a bare name, in a folder that is there, and in one that is not", () =>
  inFolder(async (folder) => {
    for (const path of ["bare.json", "./dot.json", "new/deep/er.json", `${folder}/whole.json`]) {
      await requireWritable(path);
      await writeTextAtomic(path, path);
      assertEquals(await Deno.readTextFile(path), path);
      await requireWritable(path); // it may be there already
    }
  }, ["bare.json", "dot.json", "new", "whole.json"]));

Deno.test("a folder in the place of an output is refused, and nothing is made for it", () =>
  inFolder(async (folder) => {
    await Deno.mkdir("folder");
    await Deno.symlink("folder", "link");
    for (const path of ["folder", `${folder}/folder`, "folder/", "none/", "link"]) {
      await assertRejects(() => requireWritable(path), UserError, `Cannot write to ${path}: it `);
    }
    await Deno.writeTextFile("file", "");
    await assertRejects(() => requireWritable("file/x.json"), UserError, "Cannot write to file: ");
  }, ["file", "folder", "link"]));

Deno.test("a file that cannot be written whole: what was there stays, and nothing else is left", () =>
  inFolder(async () => {
    await writeTextAtomic("a.json", "before");
    const write = () => writeTextAtomic("a.json", "after");
    await onFullDisk(() => assertRejects(write, UserError, "Cannot write a.json: No space left"));
    assertEquals(await Deno.readTextFile("a.json"), "before");
    await Deno.mkdir("folder");
    await assertRejects(() => writeTextAtomic("folder", "after"), UserError, "Cannot write folder: "); // the rename
  }, ["a.json", "folder"]));

Deno.test("two paths of one file, which need not be there", () =>
  inFolder(async (folder) => {
    await Deno.mkdir("real");
    await Deno.writeTextFile("real/a", "");
    await Deno.symlink("real", "link");
    for (const path of ["real/a", "./real/a", `${folder}/real/a`, "link/a", "link/../real/a"]) {
      assertEquals([await isSameFile("real/a", path), await isSameFile("real/b", path.replace(/a$/, "b"))], [
        true,
        true,
      ]);
      assertEquals([await isSameFile("real/a", path + "a"), await isSameFile("real/b", path + "b")], [
        false,
        false,
      ]);
    }
  }, ["link", "real"]));

Deno.test("tasks refuse a folder in the place of a file before they measure", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const outcomes = await Promise.all([
      task("bench", "--ops", "gelu", "--json", folder),
      task("profile", "--trace", folder),
      task("tune", "--ops", "gru_fwd", "--cache", `${folder}/`),
      task("roofline", "--out", `${folder}/`),
      task("synthesize", "--out", `${folder}/faces`, "--contact-sheet", folder),
      task("evaluate", "--weights", "none", "--data", folder, "--csv", folder),
    ]);
    for (const outcome of outcomes) {
      assertStringIncludes(messageOf(outcome), folder);
      assertStringIncludes(messageOf(outcome), "expected a file");
      assertEquals(outcome.stdout.includes("adapter: "), false, outcome.stdout);
    }
    assertEquals([...Deno.readDirSync(folder)], []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
