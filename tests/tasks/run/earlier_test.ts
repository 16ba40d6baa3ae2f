import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { CONVENTIONS } from "../../../data/input_convention.ts";
import { readSafetensors, writeSafetensors } from "../../../models/weights/safetensors.ts";
import { loadCheckpoint } from "../../../tasks/run/checkpoint.ts";
import { UserError } from "../../../tasks/run/cli.ts";
import { readRecord } from "../../../tasks/run/record.ts";
import { DivergenceError, isDivergence } from "../../../tasks/run/trainer.ts";
import { lockFolder } from "../../../tasks/run/lock.ts";
import { taskCommand } from "../_task.ts";
import { contextFor, execute, exists, inFolder, smallest } from "./_run.ts";

Deno.test("a run that replaces another takes nothing over from it, however it is gone on with", () =>
  inFolder(async (folder) => {
    const run = smallest(folder, ["cnn", "rnn"]);
    const out = `${folder}/out`;
    const seed = { overrides: ["seed=2"] };
    await execute(run, out);
    const before = await loadCheckpoint(`${out}/rnn.safetensors`);
    assertEquals(before.seed, 1);
    const context = contextFor(/^ResNet50 epoch 1/);
    await assertRejects(() => execute(run, out, "overwrite", { ...seed, context }), DOMException);
    for (const name of ["rnn.safetensors", "rnn.predictions.csv", "cnn.previous.safetensors"]) {
      assertEquals(await exists(`${out}/${name}`), false, name);
    }
    const { record } = await execute(run, out, "resume", seed);
    assertEquals((await loadCheckpoint(`${out}/rnn.safetensors`)).seed, 2);
    const { record: whole } = await execute(run, `${folder}/whole`, "refuse", seed);
    assertEquals(record.networks.rnn!.weightsSha256, whole.networks.rnn!.weightsSha256);

    // A checkpoint that somebody put there.
    await Deno.copyFile(`${folder}/whole/cnn.safetensors`, `${folder}/seed_2.safetensors`);
    const other = `${folder}/other`;
    await execute(smallest(folder), other);
    await Deno.copyFile(`${folder}/seed_2.safetensors`, `${other}/cnn.safetensors`);
    const resumed = await assertRejects(() => execute(smallest(folder), other, "resume"), UserError);
    assertStringIncludes(resumed.message, "it is another run's, with seed 2; this run has 1");

    const { tensors, metadata } = await readSafetensors(`${folder}/seed_2.safetensors`);
    const header = { ...JSON.parse(metadata.header), seed: 1 };
    const two = [header.history[0], { ...header.history[0], epoch: 2 }];
    for (
      const [changes, message] of [
        [{ labelSet: "identity" }, "it is another run's, with labelSet"],
        [{ convention: CONVENTIONS.vggface2 }, "it is another run's, with convention"],
        [{ architecture: { ...header.architecture, width: 8 } }, "its network has width 8"],
        [{ history: two }, "it has 2 epochs but the recipe 1; expected at least 2"],
      ] as const
    ) {
      const changed = { ...metadata, header: JSON.stringify({ ...header, ...changes }) };
      await writeSafetensors(`${other}/cnn.safetensors`, tensors, changed);
      const refused = await assertRejects(() => execute(smallest(folder), other, "resume"), Error);
      assertStringIncludes(refused.message, message);
    }

    // One without a record is neither gone on with nor written over.
    await Deno.remove(`${other}/record.json`);
    for (const existing of ["refuse", "resume"] as const) {
      await assertRejects(
        () => execute(smallest(folder), other, existing),
        UserError,
        "cnn.safetensors is a checkpoint without a record.json beside it",
      );
    }
    // Nor is the one that a run begins with.
    const file = `${other}/cnn.safetensors`;
    await assertRejects(
      () => execute({ ...smallest(folder), init: { file } }, other, "overwrite"),
      UserError,
      `it begins with ${file} and would write over it`,
    );
    const { models, ...rest } = smallest(folder, ["rnn"]);
    const temporal = await execute({ ...rest, models, backbone: file }, other, "overwrite");
    assertEquals(temporal.interrupted, false);
    assert(await exists(file));
    const { backboneSha256 } = temporal.record.run as { backboneSha256: string };
    assertMatch(backboneSha256, /^[0-9a-f]{64}$/);
    await assertRejects(
      () => execute({ ...rest, models, backbone: file, backboneSha256: "0" }, other, "overwrite"),
      UserError,
      `Cannot use ${file}: it has SHA-256 ${backboneSha256} but the run was made with 0`,
    );
    const wide = { rnn: { architecture: { width: 8, size: 32 } }, vgg: {} };
    const never = contextFor();
    await assertRejects(
      () =>
        execute({ ...rest, models: wide, backbone: file }, `${folder}/wide`, "refuse", { context: never }),
      UserError,
      "as the backbone: it has width 4",
    );
    assertEquals(never.lines, []); // before anything is read or trained

    await assertRejects(
      () => execute(smallest(folder, ["vgg", "rnn"]), `${folder}/none`, "refuse", { context: never }),
      UserError,
      "Cannot train rnn: it has no backbone",
    );
    assertEquals(never.lines, []);

    // A record does not say less than what was trained.
    const longer = ["recipe.epochs=2"];
    await execute({ ...rest, models, backbone: file }, other, "resume", { overrides: longer });
    await assertRejects(
      () => execute({ ...rest, models, backbone: file }, other, "resume"),
      UserError,
      "rnn was trained for 2 epochs but the recipe has 1; expected at least 2",
    );
  }));

Deno.test("one run at a time in a folder; a lock ends with its process", () =>
  inFolder(async (folder) => {
    {
      using _lock = await lockFolder(folder);
      const refused = await assertRejects(() => execute(smallest(folder), folder), UserError);
      assertStringIncludes(refused.message, `another one (process ${Deno.pid}) writes to ${folder}`);
    }
    assertEquals(await exists(`${folder}/.lock`), false);
    await Deno.writeTextFile(`${folder}/.lock`, "1\n"); // its process was killed
    using _again = await lockFolder(folder);
    assertEquals(await Deno.readTextFile(`${folder}/.lock`), `${Deno.pid}\n`);
    const file = `${folder}/run.json`;
    await Deno.writeTextFile(file, JSON.stringify(smallest(folder)));
    const { code, stderr } = await taskCommand("train", "--run", file, "--out", folder).output();
    assertEquals(code, 1);
    assertStringIncludes(new TextDecoder().decode(stderr), `another one (process ${Deno.pid}) writes`);
  }));

Deno.test("what ended a run is reported, also where the record can no longer be written", () =>
  inFolder(async (folder) => {
    const out = `${folder}/out`;
    const context = contextFor();
    const log = context.log;
    context.log = (line) => {
      log(line);
      if (!/^ResNet50 epoch 1/.test(line)) return;
      Deno.removeSync(`${out}/record.json`);
      Deno.mkdirSync(`${out}/record.json`); // no file can take its place
      throw new Error("the first error");
    };
    await assertRejects(
      () => execute(smallest(folder), out, "refuse", { context }),
      Error,
      "the first error",
    );
    assert(context.lines.some((line) => line.includes("Cannot write") && line.includes("record.json")));
  }));

Deno.test("a divergence is told with what the task's flags can do about it, and recorded without", () =>
  inFolder(async (folder) => {
    const out = `${folder}/out`;
    const overrides = ["recipe.lr=1e30", "recipe.warmupSteps=0", "recipe.epochs=3"];
    const error = await assertRejects(
      () => execute(smallest(folder), out, "refuse", { overrides }),
      DivergenceError,
      "--resume goes on from it, with a smaller --learning-rate",
    );
    const record = await readRecord(`${out}/record.json`);
    assertEquals([record.status, isDivergence(record.error)], ["failed", true]);
    assert(error.message.startsWith(record.error!) && !record.error!.includes("--resume"));
  }));
