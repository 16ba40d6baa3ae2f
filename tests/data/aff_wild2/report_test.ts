import { assert, assertEquals } from "@std/assert";
import {
  readDataset,
  reportDataset,
  summaryLines,
  trackLines,
  withoutVideos,
} from "../../../data/aff_wild2/mod.ts";
import { actionUnitText, expressionText, upTo, withTracks } from "./_fixture.ts";

const TRACKS = {
  "EXPR_Set/Train_Set/video1": { text: expressionText(0, 0, 6, -1, 3), crops: [1, 2, 3, 4, 6] },
  "EXPR_Set/Train_Set/video2_left": { text: expressionText(4, 4), crops: upTo(2) },
  "EXPR_Set/Train_Set/video2_right": { text: expressionText(4, -1) },
  "EXPR_Set/Train_Set/video3": { text: expressionText(5, 5, -1), crops: upTo(3) },
};

function readTrain(root: string) {
  return readDataset(root, { labelSet: "expression", split: "train" });
}

Deno.test("report: what was dropped, per track and in all", () =>
  withTracks(TRACKS, async (root) => {
    const dataset = withoutVideos(await readTrain(root), ["video3"], "its video is elsewhere");
    const report = reportDataset(dataset);
    assertEquals(report.totals, {
      tracks: 2,
      skippedTracks: 2,
      videos: 2,
      annotated: 12,
      kept: 5,
      unlabelled: 3,
      missingCrop: 2,
      excluded: 2,
      unlabelledCrops: 1,
    });
    assertEquals(report.tracks.map(({ name }) => name), ["video1", "video2_left", "video2_right", "video3"]);
    for (const track of report.tracks) {
      assertEquals(track.annotated, track.kept + track.unlabelled + track.missingCrop + track.excluded);
    }
    assertEquals(report.tracks[0], {
      name: "video1",
      video: "video1",
      annotated: 5,
      kept: 3,
      unlabelled: 1,
      missingCrop: 1,
      excluded: 0,
      unlabelledCrops: 1,
    });
    assertEquals(report.tracks[3].skipped, "its video is elsewhere");
    assertEquals(JSON.parse(JSON.stringify(report)), report);
  }));

Deno.test("report: the class counts are of kept frames", () =>
  withTracks({
    ...TRACKS,
    "AU_Set/Train_Set/video1": {
      text: actionUnitText("1,0,0,0,0,0,0,0,0,0,0,1", "1,1,0,0,0,0,0,0,0,0,0,-1", "1,0,1,0,0,0,0,0,0,0,0,0"),
      crops: upTo(3),
    },
  }, async (root) => {
    const expression = reportDataset(await readTrain(root));
    assertEquals(expression.classes.map(({ frames }) => frames), [2, 0, 0, 0, 2, 2, 1]);
    assertEquals(expression.classes[6].name, "Surprise");
    const units = reportDataset(await readDataset(root, { labelSet: "action_units", split: "train" }));
    assertEquals(units.classes.map(({ frames }) => frames), [2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  }));

Deno.test("report: two tracks of one video count as one video", () =>
  withTracks({
    "EXPR_Set/Train_Set/video2_left": { text: expressionText(4), crops: [1] },
    "EXPR_Set/Train_Set/video2_right": { text: expressionText(4), crops: [1] },
  }, async (root) => {
    const { totals } = reportDataset(await readTrain(root));
    assertEquals([totals.tracks, totals.videos], [2, 1]);
  }));

Deno.test("report: the table", () =>
  withTracks(TRACKS, async (root) => {
    const report = reportDataset(withoutVideos(await readTrain(root), ["video3"], "its video is elsewhere"));
    assertEquals(trackLines(report), [
      "track         annotated  kept  unlabelled  no crop  excluded  extra crops  note",
      "video1                5     3           1        1         0            1",
      "video2_left           2     2           0        0         0            0",
      "video2_right          2     0           1        1         0            0  " +
      `skipped: it has no crop folder (${root}/cropped_aligned/video2_right)`,
      "video3                3     0           1        0         2            0  skipped: its video is elsewhere",
      "all 4 tracks         12     5           3        2         2            1",
    ]);
    const dropped = trackLines(report, "dropped");
    assertEquals(dropped.length, 5);
    assert(!dropped.some((line) => line.startsWith("video2_left")));
  }));

Deno.test("report: the summary", () =>
  withTracks(TRACKS, async (root) => {
    const lines = summaryLines(reportDataset(await readTrain(root)));
    assertEquals(lines.slice(0, 4), [
      "expression train: 3 tracks of 3 videos, 1 skipped",
      "7 of 12 annotated frames kept: 3 unlabelled, 2 without a crop; crops beyond the last label: 1",
      "  Neutral    2  28.6 %",
      "  Anger      0   0.0 %",
    ]);
    assertEquals(lines.length, 9);
  }));
