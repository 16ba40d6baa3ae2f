import { assertEquals } from "@std/assert";
import { inferenceWindow, trainingWindows, WindowIndex, windowLabels } from "../../../data/aff_wild2/mod.ts";
import type { Dataset, Track } from "../../../data/aff_wild2/mod.ts";
import { assertFails, makeTrack } from "./_fixture.ts";

function makeDataset(...tracks: Track[]): Dataset {
  return {
    root: "root",
    labelSet: "expression",
    split: "train",
    classNames: [],
    labelWidth: 1,
    tracks,
    skipped: [],
  };
}

/** The first index of each training window. */
function starts(frameCount: number, length: number, stride: number): number[] {
  return trainingWindows(makeTrack(frameCount), { length, stride }).map(({ frames }) => frames[0]);
}

Deno.test("windows: training windows of 9 begin every 4 frames, the last moved back to the end", () => {
  assertEquals(starts(9, 9, 4), [0]);
  assertEquals(starts(10, 9, 4), [0, 1]);
  assertEquals(starts(13, 9, 4), [0, 4]);
  assertEquals(starts(14, 9, 4), [0, 4, 5]);
  assertEquals(starts(20, 9, 4), [0, 4, 8, 11]);
  assertEquals(starts(3, 1, 1), [0, 1, 2]);
  const windows = trainingWindows(makeTrack(10));
  assertEquals(windows[1].frames, Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
  assertEquals(windows[1].valid, new Uint8Array(9).fill(1));
});

Deno.test("windows: every frame is in a training window, none twice in one", () => {
  for (let frameCount = 1; frameCount <= 40; frameCount++) {
    const seen = new Set<number>();
    for (const { frames, valid } of trainingWindows(makeTrack(frameCount), { length: 9, stride: 4 })) {
      const counted = [...frames].filter((_, t) => valid[t] === 1);
      assertEquals(new Set(counted).size, counted.length);
      for (const i of counted) seen.add(i);
      assertEquals(Math.max(...frames) < frameCount && Math.min(...frames) >= 0, true);
    }
    assertEquals(seen.size, frameCount);
  }
});

Deno.test("windows: a short track gives one window whose repeats do not count", () => {
  const track = makeTrack(3);
  const windows = trainingWindows(track);
  assertEquals(windows.length, 1);
  assertEquals(windows[0].frames, Int32Array.of(0, 1, 2, 2, 2, 2, 2, 2, 2));
  assertEquals(windows[0].valid, Uint8Array.of(1, 1, 1, 0, 0, 0, 0, 0, 0));
  assertEquals(windowLabels(track, windows[0]), Int32Array.of(0, 1, 2, -1, -1, -1, -1, -1, -1));
  assertEquals(trainingWindows(makeTrack(1))[0].frames, new Int32Array(9));
});

Deno.test("windows: inference puts the frame in the middle and repeats the edges", () => {
  const track = makeTrack(12);
  assertEquals(inferenceWindow(track, 5, 9).frames, Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9));
  assertEquals(inferenceWindow(track, 1, 9).frames, Int32Array.of(0, 0, 0, 0, 1, 2, 3, 4, 5));
  assertEquals(inferenceWindow(track, 11, 9).frames, Int32Array.of(7, 8, 9, 10, 11, 11, 11, 11, 11));
  assertEquals(inferenceWindow(makeTrack(2), 1, 9).frames, Int32Array.of(0, 0, 0, 0, 1, 1, 1, 1, 1));
  assertEquals(inferenceWindow(track, 4, 1).frames, Int32Array.of(4));
  const labels = windowLabels(track, inferenceWindow(track, 8, 9));
  assertEquals(labels, Int32Array.of(-1, -1, -1, -1, 1, -1, -1, -1, -1));
});

Deno.test("windows: action-unit labels come twelve a position", () => {
  const track: Track = { ...makeTrack(2), labels: Int8Array.from({ length: 24 }, (_, i) => i % 2) };
  const labels = windowLabels(track, trainingWindows(track, { length: 3 })[0]);
  const frame = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1];
  assertEquals([...labels], [...frame, ...frame, ...new Array(12).fill(-1)]);
});

Deno.test("windows: an index numbers the windows of all tracks and never crosses one", () => {
  const dataset = makeDataset(makeTrack(14, "a"), makeTrack(2, "b"), makeTrack(9, "c"));
  const index = WindowIndex.training(dataset, { length: 9, stride: 4 });
  assertEquals(index.count, 5);
  const expected = dataset.tracks.flatMap((track, trackNumber) =>
    trainingWindows(track).map((window) => ({ track, trackNumber, ...window }))
  );
  assertEquals(Array.from({ length: index.count }, (_, i) => index.get(i)), expected);
  assertEquals(index.offsets, Int32Array.of(0, 3, 4, 5));
});

Deno.test("windows: the inference index scores each kept frame once, in order", () => {
  const dataset = makeDataset(makeTrack(5, "a"), makeTrack(1, "b"), makeTrack(11, "c"));
  const index = WindowIndex.inference(dataset, { length: 9 });
  assertEquals(index.count, 17);
  const scored: string[] = [];
  for (let i = 0; i < index.count; i++) {
    const { track, trackNumber, frames, valid } = index.get(i);
    assertEquals(track, dataset.tracks[trackNumber]);
    assertEquals(valid, Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 0));
    scored.push(`${track.name}${frames[4]}`);
  }
  assertEquals(
    scored,
    dataset.tracks.flatMap(({ name, frames }) => Array.from(frames, (_, i) => `${name}${i}`)),
  );
});

Deno.test("windows: 2.8 million frames are indexed in a few kilobytes", () => {
  const shared = makeTrack(5600);
  const dataset = makeDataset(...Array.from({ length: 500 }, (_, n) => ({ ...shared, name: `video${n}` })));
  const inference = WindowIndex.inference(dataset);
  assertEquals(inference.count, 2_800_000);
  assertEquals(inference.offsets.byteLength, 501 * 4);
  const training = WindowIndex.training(dataset);
  assertEquals(training.count, 500 * 1399);
  const { track, frames } = training.get(training.count - 1);
  assertEquals([track.name, frames[0], frames[8]], ["video499", 5591, 5599]);
});

Deno.test("windows: bad lengths, strides and numbers are errors", async () => {
  const track = makeTrack(12);
  const dataset = makeDataset(track);
  await assertFails(() => trainingWindows(track, { length: 0 }), RangeError, "length", "got 0");
  await assertFails(() => trainingWindows(track, { stride: 1.5 }), RangeError, "stride", "got 1.5");
  await assertFails(() => WindowIndex.training(dataset, { stride: 0 }), RangeError, "stride", "got 0");
  await assertFails(() => inferenceWindow(track, 0, 8), RangeError, "odd", "got 8");
  await assertFails(() => WindowIndex.inference(dataset, { length: 4 }), RangeError, "odd", "got 4");
  await assertFails(() => inferenceWindow(track, 12, 9), RangeError, "0 to 11", "got 12");
  await assertFails(() => WindowIndex.inference(dataset).get(-1), RangeError, "0 to 11", "got -1");
  await assertFails(() => WindowIndex.training(dataset).get(2), RangeError, "0 to 1", "got 2");
});
