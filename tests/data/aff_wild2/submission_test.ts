import { assertEquals } from "@std/assert";
import {
  formatSubmission,
  readSubmission,
  readTrackList,
  writeSubmission,
} from "../../../data/aff_wild2/mod.ts";
import type { MissingFrames } from "../../../data/aff_wild2/mod.ts";
import { ACTION_UNIT_HEADER, assertFails, expressionText, withFolder } from "./_fixture.ts";

const TRACK = {
  labelSet: "expression" as const,
  frameCount: 8,
  frames: Int32Array.of(3, 6),
  predictions: Int8Array.of(4, 0),
};

Deno.test("submission: frames without a crop get -1", () => {
  assertEquals(formatSubmission(TRACK, "unlabelled"), expressionText(-1, -1, 4, -1, -1, 0, -1, -1));
});

Deno.test("submission: frames without a crop get the nearest prediction, the earlier of two", () => {
  assertEquals(formatSubmission(TRACK, "nearest"), expressionText(4, 4, 4, 4, 0, 0, 0, 0));
  const tied = { ...TRACK, frameCount: 5, frames: [2, 4], predictions: [1, 6] };
  assertEquals(formatSubmission(tied, "nearest"), expressionText(1, 1, 1, 6, 6));
});

Deno.test("submission: action units, twelve a line", () => {
  const predictions = [1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0];
  const track = { labelSet: "action_units" as const, frameCount: 2, frames: [2], predictions };
  const line = predictions.join(",");
  const none = new Array(12).fill(-1).join(",");
  assertEquals(formatSubmission(track, "unlabelled"), `${ACTION_UNIT_HEADER}\n${none}\n${line}\n`);
  assertEquals(formatSubmission(track, "nearest"), `${ACTION_UNIT_HEADER}\n${line}\n${line}\n`);
});

Deno.test("submission: what is written is read back", () =>
  withFolder(async (folder) => {
    const path = await writeSubmission(folder, "video59_right", TRACK, "unlabelled");
    assertEquals(path, `${folder}/video59_right.txt`);
    const back = await readSubmission(path, "expression");
    assertEquals(back, { frameCount: 8, predictions: Int8Array.of(-1, -1, 4, -1, -1, 0, -1, -1) });
    await assertFails(() => readSubmission(path, "action_units"), Error, path, ACTION_UNIT_HEADER);
    const nowhere = `${folder}/none`;
    await assertFails(() => writeSubmission(nowhere, "a", TRACK, "unlabelled"), Error, `${nowhere}/a.txt`);
  }));

Deno.test("submission: a track without a prediction", async () => {
  const none = { ...TRACK, frameCount: 2, frames: [], predictions: [] };
  assertEquals(formatSubmission(none, "unlabelled"), expressionText(-1, -1));
  await assertFails(() => formatSubmission(none, "nearest"), RangeError, "at least one prediction");
});

Deno.test("submission: frames and predictions outside their range are errors", async () => {
  const write = (change: Partial<typeof TRACK>, missing: MissingFrames = "unlabelled") => () =>
    formatSubmission({ ...TRACK, ...change }, missing);
  await assertFails(write({ frames: Int32Array.of(0, 6) }), RangeError, "1 to 8", "got 0");
  await assertFails(write({ frames: Int32Array.of(3, 9) }), RangeError, "1 to 8", "got 9");
  await assertFails(write({ frames: Int32Array.of(6, 6) }), RangeError, "ascending", "6 after 6");
  await assertFails(write({ predictions: Int8Array.of(4) }), RangeError, "2 values", "got 1");
  await assertFails(write({ predictions: Int8Array.of(4, 7) }), RangeError, "0 to 6", "got 7 for frame 6");
  await assertFails(write({ predictions: Int8Array.of(-1, 0) }), RangeError, "0 to 6", "got -1 for frame 3");
  await assertFails(write({ frameCount: 1.5 }), RangeError, "got 1.5");
});

Deno.test("submission: the list of test tracks", () =>
  withFolder(async (folder) => {
    const path = `${folder}/test_set_Expr_Challenge.txt`;
    await Deno.writeTextFile(path, "video9_left\r\n10-60-1280x720\r\n\r\n");
    assertEquals(await readTrackList(path), ["video9_left", "10-60-1280x720"]);
    await Deno.writeTextFile(path, "a\nb\na\n");
    await assertFails(() => readTrackList(path), Error, path, "a twice");
    await Deno.writeTextFile(path, "\n");
    await assertFails(() => readTrackList(path), Error, path, "empty");
    await assertFails(() => readTrackList(`${folder}/none.txt`), Error, "none.txt", "does not exist");
  }));
