import { assert, assertEquals } from "@std/assert";
import {
  imagePath,
  readBoth,
  readDataset,
  sharedVideos,
  withoutVideos,
} from "../../../data/aff_wild2/mod.ts";
import type { Dataset, ReadProgress } from "../../../data/aff_wild2/mod.ts";
import { actionUnitText, assertFails, expressionText, memoryFiles, upTo, withTracks } from "./_fixture.ts";

const TRAIN = { labelSet: "expression", split: "train" } as const;
const TRAIN_UNITS = { labelSet: "action_units", split: "train" } as const;

/** Bytes held by a dataset's arrays, their buffers whole. */
function bytesOf({ tracks }: Dataset): number {
  return tracks.reduce(
    (sum, { frames, labels }) => sum + frames.buffer.byteLength + labels.buffer.byteLength,
    0,
  );
}

Deno.test("dataset: a frame is kept when it has a crop and a label", () =>
  withTracks({
    // Frame 1 has a gap at the start, 4 and 5 one in the middle; 3 and 5 are not annotated.
    "EXPR_Set/Train_Set/video1": { text: expressionText(0, 1, -1, 3, -1, 5, 6), crops: [2, 3, 6, 7] },
  }, async (root) => {
    const dataset = await readDataset(root, TRAIN);
    assertEquals([dataset.root, dataset.labelSet, dataset.split], [root, "expression", "train"]);
    assertEquals(dataset.labelWidth, 1);
    assertEquals(dataset.skipped, []);
    assertEquals(dataset.tracks, [{
      name: "video1",
      video: "video1",
      imageFolder: `${root}/cropped_aligned/video1`,
      annotatedFrames: 7,
      frames: Int32Array.of(2, 6, 7),
      labels: Int8Array.of(1, 5, 6),
      uncropped: { frames: Int32Array.of(1, 4), labels: Int8Array.of(0, 3) },
      dropped: { unlabelled: 2, missingCrop: 2, unlabelledCrops: 0 },
    }]);
    const path = imagePath(dataset.tracks[0], 1);
    assertEquals(path, `${root}/cropped_aligned/video1/00006.jpg`);
    assert((await Deno.stat(path)).isFile);
  }));

Deno.test("dataset: an action-unit frame is dropped if any of the twelve is -1", () =>
  withTracks({
    "AU_Set/Train_Set/video1": {
      text: actionUnitText(1, "0,0,0,0,0,0,0,0,0,0,0,-1", -1, 0, "0,1,0,1,0,1,0,1,0,1,0,1"),
      crops: upTo(5),
    },
  }, async (root) => {
    const dataset = await readDataset(root, TRAIN_UNITS);
    const [track] = dataset.tracks;
    assertEquals(dataset.labelWidth, 12);
    assertEquals(track.frames, Int32Array.of(1, 4, 5));
    const labels = [1, 0].flatMap((value) => new Array<number>(12).fill(value));
    assertEquals([...track.labels], [...labels, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    assertEquals(track.dropped, { unlabelled: 2, missingCrop: 0, unlabelledCrops: 0 });
  }));

Deno.test("dataset: one image more than labels, foreign files, a six-digit frame", () =>
  withTracks({
    "EXPR_Set/Train_Set/video1": {
      // Frame 3 has no crop: no foreign name may be taken for it.
      text: expressionText(4, 4, 4),
      crops: [1, 2, 4, 100000],
      others: [".DS_Store", "Thumbs.db", "._00003.jpg", "000003.jpg", "3.jpg", "00003.png", "0003a.jpg"],
    },
  }, async (root) => {
    const [track] = (await readDataset(root, TRAIN)).tracks;
    assertEquals(track.frames, Int32Array.of(1, 2));
    assertEquals(track.dropped, { unlabelled: 0, missingCrop: 1, unlabelledCrops: 2 });
  }));

Deno.test("dataset: crops numbered from 0 are an error", () =>
  withTracks({
    "EXPR_Set/Train_Set/video1": { text: expressionText(4, 4), crops: [0, 1] },
  }, (root) => assertFails(() => readDataset(root, TRAIN), Error, "cropped_aligned/video1", "00000.jpg")));

Deno.test("dataset: side tracks are tracks of their video, in order of name", () =>
  withTracks({
    "EXPR_Set/Train_Set/video59_right": { text: expressionText(1), crops: [1] },
    "EXPR_Set/Train_Set/video59": { text: expressionText(2), crops: [1] },
    "EXPR_Set/Train_Set/video7_left": { text: expressionText(3), crops: [1] },
    "EXPR_Set/Train_Set/video7_right": { text: expressionText(4), crops: [1] },
    "EXPR_Set/Train_Set/10-60-1280x720": { text: expressionText(5), crops: [1] },
  }, async (root) => {
    const { tracks } = await readDataset(root, TRAIN);
    assertEquals(tracks.map(({ name, video, labels }) => [name, video, labels[0]]), [
      ["10-60-1280x720", "10-60-1280x720", 5],
      ["video59", "video59", 2],
      ["video59_right", "video59", 1],
      ["video7_left", "video7", 3],
      ["video7_right", "video7", 4],
    ]);
    assert(tracks[2].imageFolder.endsWith("/video59_right"));
  }));

Deno.test("dataset: tracks without a usable frame are skipped, each with its reason", () =>
  withTracks({
    "EXPR_Set/Train_Set/a_good": { text: expressionText(1, 2), crops: [2] },
    "EXPR_Set/Train_Set/b_no_folder": { text: expressionText(1, -1, 2) },
    "EXPR_Set/Train_Set/c_no_crops": { text: expressionText(1), crops: [], others: [".DS_Store"] },
    "EXPR_Set/Train_Set/d_unlabelled": { text: expressionText(-1, -1), crops: [1, 2] },
    "EXPR_Set/Train_Set/e_header_only": { text: expressionText(), crops: [1] },
    "EXPR_Set/Train_Set/f_apart": { text: expressionText(1, -1, -1), crops: [2, 3, 4] },
  }, async (root) => {
    const seen: ReadProgress[] = [];
    const { tracks, skipped } = await readDataset(root, {
      ...TRAIN,
      onTrack: (progress) => seen.push(progress),
    });
    assertEquals(tracks.map(({ name }) => name), ["a_good"]);
    assertEquals(skipped.map(({ name, reason }) => [name, reason]), [
      ["b_no_folder", `it has no crop folder (${root}/cropped_aligned/b_no_folder)`],
      ["c_no_crops", "its crop folder has no NNNNN.jpg (other files: 1)"],
      ["d_unlabelled", "none of its 2 frames is labelled"],
      ["e_header_only", "its annotation file has no label line"],
      ["f_apart", "none of its 1 labelled frames has a crop"],
    ]);
    assertEquals(skipped[0].dropped, { unlabelled: 1, missingCrop: 2, unlabelledCrops: 0 });
    assertEquals(skipped[0].annotatedFrames, 3);
    assertEquals(skipped[4].dropped, { unlabelled: 2, missingCrop: 1, unlabelledCrops: 1 });
    assertEquals(
      seen.map(({ done, total, kept }) => [done, total, kept]),
      upTo(6).map((n) => [n, 6, n === 1 ? 1 : 0]),
    );
    assertEquals(seen[1], { split: "train", done: 2, total: 6, name: "b_no_folder", kept: 0 });
  }));

Deno.test("dataset: no usable track at all is an error with the reasons", () =>
  withTracks({
    "EXPR_Set/Train_Set/video1": { text: expressionText(-1), crops: [1] },
    "EXPR_Set/Train_Set/video2": { text: expressionText(1) },
  }, (root) =>
    assertFails(
      () => readDataset(root, TRAIN),
      Error,
      root,
      "none of 2",
      "video1: none of its 1 frames is labelled",
      "video2: it has no crop folder",
    )));

Deno.test("dataset: a bad label names the file on disk and its line", () =>
  withTracks({
    "EXPR_Set/Train_Set/video1": { text: expressionText(0, 9), crops: [1] },
  }, async (root) => {
    const file = `${root}/annotations/EXPR_Set/Train_Set/video1.txt`;
    await assertFails(() => readDataset(root, TRAIN), RangeError, file, "line 3", "got 9");
  }));

Deno.test("dataset: an unreadable annotation file and an unreadable crop folder are errors", async () => {
  const folders = {
    "root": ["annotations", "cropped_aligned"],
    "root/annotations": ["EXPR_Set"],
    "root/annotations/EXPR_Set": ["Train_Set"],
    "root/annotations/EXPR_Set/Train_Set": ["video1.txt"],
    "root/cropped_aligned": ["video1"],
  };
  const text = new TextEncoder().encode(expressionText(1));
  const disk = memoryFiles(folders, { "root/annotations/EXPR_Set/Train_Set/video1.txt": text });
  const denied = () => Promise.reject(new Deno.errors.PermissionDenied("os error 13"));
  const noFile = { ...disk, read: denied };
  await assertFails(
    () => readDataset("root", { ...TRAIN, files: noFile }),
    Error,
    "video1.txt",
    "permissions",
  );
  const noCrops = {
    ...disk,
    list: (folder: string) => folder.endsWith("/video1") ? denied() : disk.list(folder),
  };
  const wanted = ["the crops of video1", "root/cropped_aligned/video1", "permissions"];
  await assertFails(() => readDataset("root", { ...TRAIN, files: noCrops }), Error, ...wanted);
});

Deno.test("dataset: videos in both splits are found, by video and not by track", () =>
  withTracks({
    "EXPR_Set/Train_Set/video1_left": { text: expressionText(1), crops: [1] },
    "EXPR_Set/Train_Set/video2": { text: expressionText(1), crops: [1] },
    "EXPR_Set/Validation_Set/video1_right": { text: expressionText(2), crops: [1] },
    "EXPR_Set/Validation_Set/video3": { text: expressionText(2), crops: [1] },
    "AU_Set/Train_Set/video3": { text: actionUnitText(0, 1), crops: [1] },
    "AU_Set/Train_Set/video4": { text: actionUnitText(0), crops: [1] },
  }, async (root) => {
    const both = await readBoth(root, { labelSet: "expression" });
    assertEquals(both.sharedVideos, ["video1"]);
    assertEquals(both.train.tracks.map(({ name }) => name), ["video1_left", "video2"]);
    assertEquals(both.validation.tracks.map(({ name }) => name), ["video1_right", "video3"]);

    const units = await readDataset(root, TRAIN_UNITS);
    const shared = sharedVideos(units, both.validation);
    assertEquals(shared, ["video3"]);
    const clean = withoutVideos(units, shared, "its video is in the expression validation set");
    assertEquals(clean.tracks.map(({ name }) => name), ["video4"]);
    assertEquals(clean.skipped, [{
      name: "video3",
      video: "video3",
      reason: "its video is in the expression validation set",
      annotatedFrames: 2,
      dropped: { unlabelled: 0, missingCrop: 1, unlabelledCrops: 0 },
      excludedFrames: 1,
    }]);
    assertEquals(sharedVideos(clean, both.validation), []);
    await assertFails(() => withoutVideos(units, ["video3", "video4"], "x"), Error, "none is");
  }));

Deno.test("dataset: 500 tracks with 2.8 million label lines take 5 bytes a kept frame", async () => {
  const frames = 5600;
  const labels = Int8Array.from({ length: frames }, (_, i) => i % 8 - 1);
  const text = new TextEncoder().encode(expressionText(...labels));
  const crops = upTo(frames).filter((frame) => frame % 28 !== 0).map((frame) =>
    `${String(frame).padStart(5, "0")}.jpg`
  );
  const names = upTo(500).map((n) => `video${String(n).padStart(3, "0")}`);
  const folder = "root/annotations/EXPR_Set/Train_Set";
  const disk = memoryFiles({
    "root": ["annotations", "cropped_aligned"],
    "root/annotations": ["EXPR_Set"],
    "root/annotations/EXPR_Set": ["Train_Set"],
    [folder]: names.map((name) => `${name}.txt`),
    "root/cropped_aligned": names,
    ...Object.fromEntries(names.map((name) => [`root/cropped_aligned/${name}`, crops])),
  }, Object.fromEntries(names.map((name) => [`${folder}/${name}.txt`, text])));
  const dataset = await readDataset("root", { ...TRAIN, files: disk });
  // An eighth is unlabelled: frames 1, 9, ..; of 200 frames without a crop, none of those is (28 n is even).
  const kept = frames - frames / 8 - frames / 28;
  assertEquals(dataset.tracks.length, 500);
  for (const track of dataset.tracks) assertEquals(track.frames.length, kept);
  assertEquals(bytesOf(dataset), 500 * kept * 5);
});
