import { assertEquals } from "@std/assert";
import { findLayout, listSplit, videoOfTrack } from "../../../data/aff_wild2/mod.ts";
import { assertFails, expressionText, memoryFiles, withFolder, withTracks, writeTracks } from "./_fixture.ts";

const TRACKS = { "EXPR_Set/Train_Set/video1": { text: expressionText(0), crops: [1] } };

Deno.test("layout: both spellings, a trailing slash, and a mix of spellings", async () => {
  const annotationSpellings = ["annotations", "Annotation/annotations"];
  const cropSpellings = ["cropped_aligned", "Cropped_aligned_image/cropped_aligned"];
  for (const annotations of annotationSpellings) {
    for (const crops of cropSpellings) {
      await withFolder(async (root) => {
        await writeTracks(root, TRACKS, { annotations, crops });
        const wanted = { root, annotations: `${root}/${annotations}`, crops: `${root}/${crops}` };
        assertEquals(await findLayout(root), wanted);
        assertEquals(await findLayout(`${root}/`), wanted);
      });
    }
  }
});

Deno.test("layout: both spellings at once are not guessed between", () =>
  withTracks(TRACKS, async (root) => {
    await writeTracks(root, TRACKS, { annotations: "Annotation/annotations", crops: "cropped_aligned" });
    await assertFails(() => findLayout(root), Error, root, "annotations/ or Annotation/annotations/", "both");
  }));

Deno.test("layout: other editions are recognised", async () => {
  const editions = [
    ["annotations/EXPR_Set/Training_Set", "2020"],
    ["Annotation/annotations/AU_Set/Training_Set", "2020"],
    ["EXPR_Classification_Challenge/Train_Set", "2022 or later"],
    ["Third ABAW Annotations/EXPR_Classification_Challenge/Train_Set", "2022 or later"],
    ["annotations/EXPR_Recognition_Challenge/Train_Set", "2022 or later"],
    ["6th_ABAW_Annotations/AU_Detection_Challenge/Train_Set", "2022 or later"],
  ];
  for (const [folder, edition] of editions) {
    await withFolder(async (root) => {
      await Deno.mkdir(`${root}/${folder}`, { recursive: true });
      await Deno.mkdir(`${root}/cropped_aligned/video1`, { recursive: true });
      const marker = folder.replace(/\/Train_Set$/, "");
      const parts = [`${root}/${marker}`, `layout of ${edition}`, "2021 edition", "changed between years"];
      await assertFails(() => findLayout(root), Error, ...parts);
    });
  }
});

Deno.test("layout: a 2021 tree with another edition's set beside it is refused", () =>
  withTracks(TRACKS, async (root) => {
    await Deno.mkdir(`${root}/annotations/AU_Detection_Challenge/Train_Set`, { recursive: true });
    await assertFails(
      () => findLayout(root),
      Error,
      "AU_Detection_Challenge",
      "2022 or later",
      "never mixed",
    );
  }));

Deno.test("layout: files that merely sound like annotations do not disturb", () =>
  withTracks(TRACKS, async (root) => {
    await Deno.writeTextFile(`${root}/annotations.zip`, "");
    await Deno.writeTextFile(`${root}/.DS_Store`, "");
    await Deno.mkdir(`${root}/cropped_aligned_new_50_vids`);
    assertEquals((await findLayout(root)).annotations, `${root}/annotations`);
  }));

Deno.test("layout: missing, empty and wrong roots each have their message", () =>
  withFolder(async (root) => {
    await assertFails(() => findLayout(`${root}/none`), Error, `${root}/none`, "does not exist");
    await Deno.mkdir(`${root}/empty`);
    await assertFails(() => findLayout(`${root}/empty`), Error, `${root}/empty`, "empty", "cropped_aligned/");
    await Deno.writeTextFile(`${root}/file`, "");
    await assertFails(() => findLayout(`${root}/file`), Error, `${root}/file`, "not a folder");
    await assertFails(() => findLayout(root), Error, "expected annotations/ or", "found empty, file");
    await Deno.mkdir(`${root}/inside/EXPR_Set/Train_Set`, { recursive: true });
    await assertFails(() => findLayout(`${root}/inside`), Error, "annotations folder itself", "folder above");
  }));

Deno.test("layout: a missing or empty top folder", () =>
  withFolder(async (root) => {
    await Deno.mkdir(`${root}/annotations/EXPR_Set/Train_Set`, { recursive: true });
    await assertFails(() => findLayout(root), Error, "expected cropped_aligned/ or", "found annotations");
    await Deno.mkdir(`${root}/cropped_aligned`);
    await assertFails(() => findLayout(root), Error, `${root}/cropped_aligned but it is empty`);
  }));

Deno.test("layout: an unreadable folder", async () => {
  const files = {
    ...memoryFiles({}, {}),
    list: () => Promise.reject(new Deno.errors.PermissionDenied("os error 13")),
  };
  await assertFails(() => findLayout("data", files), Error, "Cannot read", "data", "permissions do not let");
});

Deno.test({
  name: "layout: a folder that Deno may not read",
  permissions: { read: false },
  fn: () => assertFails(() => findLayout("data"), Error, "Cannot read", "--allow-read=data"),
});

Deno.test("layout: a split lists its .txt files by name, hidden and other files left out", () =>
  withTracks({
    "EXPR_Set/Train_Set/video2_left": { text: expressionText(0), crops: [1] },
    "EXPR_Set/Train_Set/video2": { text: expressionText(0), crops: [1] },
    "EXPR_Set/Train_Set/10-60-1280x720": { text: expressionText(0), crops: [1] },
  }, async (root) => {
    const layout = await findLayout(root);
    const folder = `${root}/annotations/EXPR_Set/Train_Set`;
    for (const name of [".DS_Store", "._video2.txt", "notes.md"]) {
      await Deno.writeTextFile(`${folder}/${name}`, "");
    }
    const tracks = ["10-60-1280x720", "video2", "video2_left"];
    assertEquals(await listSplit(layout, "expression", "train"), { folder, tracks });
  }));

Deno.test("layout: a missing and an empty split", () =>
  withTracks(TRACKS, async (root) => {
    const layout = await findLayout(root);
    const missing = () => listSplit(layout, "action_units", "validation");
    await assertFails(
      missing,
      Error,
      "validation annotations (action_units)",
      "Validation_Set",
      "does not exist",
    );
    const folder = `${root}/annotations/AU_Set/Validation_Set`;
    await Deno.mkdir(folder, { recursive: true });
    await assertFails(missing, Error, folder, "it is empty");
    await Deno.writeTextFile(`${folder}/.DS_Store`, "");
    await assertFails(missing, Error, folder, "found only .DS_Store");
  }));

Deno.test("layout: only a trailing _left or _right is stripped to find the video", () => {
  const videos = { "video59_right": "video59", "video2": "video2", "10-60-1280x720_left": "10-60-1280x720" };
  for (const [track, video] of Object.entries(videos)) assertEquals(videoOfTrack(track), video);
  assertEquals(videoOfTrack("turn_left_2"), "turn_left_2");
});
