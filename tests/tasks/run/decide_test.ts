import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { UserError } from "../../../tasks/run/cli.ts";
import { decideExisting, requireSameData, withLives } from "../../../tasks/run/earlier.ts";
import type { NetworkOutcome, RunRecord } from "../../../tasks/run/record.ts";
import {
  computedElsewhere,
  firstDifference,
  requireReplayedData,
  requireReplayFolder,
} from "../../../tasks/run/replayed.ts";
import { runFacts } from "../../../tasks/run/report/facts.ts";
import { toRunFile } from "../../../tasks/run/run_file.ts";
import { DATA, OUTCOME, recordOf, RUN } from "./_record.ts";
import { contextFor, inFolder } from "./_run.ts";

async function write(folder: string, changes: Partial<RunRecord> = {}): Promise<void> {
  await Deno.writeTextFile(`${folder}/record.json`, JSON.stringify(recordOf(changes)));
}

Deno.test("the same run is gone on with, one of its name that was not finished is replaced, another is not", () =>
  inFolder(async (folder) => {
    const decide = async (run = RUN, overwrite = false, data = DATA) => {
      const decided = await decideExisting(folder, run, {
        task: "demo",
        overwrite,
        data: () => Promise.resolve(data),
      });
      return [decided.existing, decided.record?.status];
    };
    const seed2 = { ...RUN, seed: 2 };
    assertEquals(await decide(), ["refuse", undefined]);
    await write(folder);
    assertEquals(await decide(), ["overwrite", "finished"]);
    assertEquals(await decide({ ...RUN, data: { ...RUN.data, onBadImage: "skip" } }), [
      "overwrite",
      "finished",
    ]);
    const refused = await assertRejects(() => decide(seed2), UserError, "seed differ; expected --overwrite");
    assertStringIncludes(refused.message, "(demo, finished)");
    assertEquals(await decide(seed2, true), ["overwrite", undefined]);
    await assertRejects(
      () => decide(RUN, false, { ...DATA, annotations: "c" }),
      UserError,
      "data's annotations",
    );
    await assertRejects(() => decide(RUN, false, { ...DATA, images: "c" }), UserError, "the data's images");
    const init = { file: "f", newHead: true, sha256: "1" };
    await write(folder, { run: toRunFile({ ...RUN, init }) });
    assertEquals(await decide({ ...RUN, init }), ["overwrite", "finished"]);
    const other = { ...RUN, init: { ...init, sha256: "2" } };
    await assertRejects(() => decide(other), UserError, "init.sha256 differ");

    await write(folder, { status: "interrupted" });
    assertEquals(await decide(), ["resume", "interrupted"]);
    assertEquals(await decide(seed2), ["overwrite", undefined]);
    await assertRejects(
      () => decide({ ...seed2, name: "other" }),
      UserError,
      "another run (demo, interrupted)",
    );
    await Deno.writeTextFile(`${folder}/record.json`, "no record");
    await assertRejects(() => decide(), UserError, "Cannot read record");
    assertEquals(await decide(RUN, true), ["overwrite", undefined]);
  }));

Deno.test("a run is gone on with on the data that it began with only", () => {
  const earlier = { record: recordOf(), life: recordOf(), leftOut: [] };
  requireSameData(earlier, { ...DATA }, "record.json");
  for (const key of ["annotations", "images", "imageBytes"]) {
    assertThrows(() => requireSameData(earlier, { ...DATA, [key]: "c" }, "record.json"), UserError, key);
  }
});

Deno.test("a replay is compared to the last bit: losses, scores, weights and predictions", () => {
  const a = recordOf();
  const [epoch] = OUTCOME.epochs;
  const difference = (changes: Partial<NetworkOutcome>, exact = true) =>
    firstDifference("cnn", a, recordOf({ networks: { cnn: { ...OUTCOME, ...changes } } }), exact);
  assertEquals(difference({}), undefined);
  assertEquals(difference({ weightsSha256: "x" }), "cnn: weightsSha256 was w and is x");
  assertEquals(difference({ predictionsSha256: "x" }), "cnn: predictionsSha256 was p and is x");
  assertEquals(difference({ weightsSha256: "x", predictionsSha256: "x" }, false), undefined);
  assertEquals(difference({ epochs: [] }), "cnn has 1 epochs in the record and 0 here");
  for (const key of ["trainLoss", "validationF1", "validationAccuracy", "validationScore"] as const) {
    const changed = (by: number) => ({ epochs: [{ ...epoch, [key]: epoch[key] + by }] });
    assertStringIncludes(difference(changed(1e-9))!, `cnn epoch 1: ${key} was`);
    assertEquals(difference(changed(0.02), false), undefined);
    assertStringIncludes(difference(changed(0.2), false)!, key);
  }
  requireReplayedData("record.json", a, recordOf());
  const other = recordOf({ data: { ...DATA, images: "c" } });
  assertThrows(() => requireReplayedData("record.json", a, other), UserError, "the data's images changed");
});

Deno.test("a replay replaces an earlier replay, and no other run", () =>
  inFolder(async (folder) => {
    const given = `${folder}/given`;
    const out = `${folder}/out`;
    for (const path of [given, out]) await Deno.mkdir(path);
    await write(given);
    const check = (to: string) => requireReplayFolder(to, `${given}/record.json`, recordOf(), RUN);
    assertEquals(await check(out), "refuse"); // checkpoints without a record
    await assertRejects(() => check(given), UserError, "that is the run itself; expected another --out");
    await write(out); // a copy
    await assertRejects(() => check(out), UserError, "that is the run itself");
    await write(out, { startedAt: "2026-01-02T00:00:00.000Z" });
    assertEquals(await check(out), "overwrite");
    await write(out, { startedAt: "2026-01-02T00:00:00.000Z", run: toRunFile({ ...RUN, seed: 2 }) });
    await assertRejects(() => check(out), UserError, "there is the record of another run");
  }));

Deno.test("a record keeps what computed in each life of its run", () => {
  const { versions, adapter, variants } = recordOf();
  const life = { versions, adapter, variants };
  const earlier = { record: recordOf(), life, leftOut: [] };
  const context = contextFor();
  assertEquals(withLives({ ...life }, undefined, context), life);
  assertEquals(withLives({ ...life }, earlier, context), life);
  const tuned = { ...life, variants: "tuned" };
  assertEquals(withLives(tuned, earlier, context), { ...tuned, earlierLives: [life] });
  assertEquals(context.lines, ["resuming with another variants: the record keeps both"]);
  const third = { ...earlier, record: recordOf({ earlierLives: [life] }), life: tuned };
  const kept = withLives(life, third, context);
  assertEquals(kept, { ...life, earlierLives: [life, tuned] });
  const facts = new Map(runFacts(recordOf(kept)));
  assertStringIncludes(facts.get("computed before it was resumed")!, "variants: tuned");
  assertEquals(new Map(runFacts(recordOf())).has("computed before it was resumed"), false);
  assertEquals(computedElsewhere(recordOf(kept)), true);
  assertEquals(computedElsewhere(recordOf({ earlierLives: [life] })), false);
  const adapters = [{ ...life, adapter: { ...adapter, description: "another" } }];
  assertEquals(computedElsewhere(recordOf({ earlierLives: adapters })), true);
});
