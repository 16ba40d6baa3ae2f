import { assertEquals } from "@std/assert";
import { readJoint, splitJointLabels, splitJointProbabilities } from "../../../data/aff_wild2/mod.ts";
import { actionUnitText, assertFails, expressionText, upTo, withTracks } from "./_fixture.ts";

const UNITS = "1,0,0,0,0,0,0,0,0,0,0,1";
const OTHER_UNITS = "0,1,1,0,0,0,0,0,0,0,1,0";

Deno.test("joint: frames of either label set, labels of both; leaking videos leave training and are listed", () =>
  withTracks({
    "EXPR_Set/Train_Set/video1": { text: expressionText(3, -1, 5), crops: upTo(4) },
    "EXPR_Set/Train_Set/video2_left": { text: expressionText(1), crops: [1] },
    "EXPR_Set/Validation_Set/video3": { text: expressionText(6, 6), crops: [1, 2] },
    "AU_Set/Train_Set/video1": { text: actionUnitText(-1, UNITS, OTHER_UNITS, UNITS), crops: upTo(4) },
    "AU_Set/Train_Set/video3": { text: actionUnitText(UNITS, UNITS), crops: [1, 2] },
    "AU_Set/Validation_Set/video2_right": { text: actionUnitText(UNITS), crops: [1] },
  }, async (root) => {
    const { train, validation, excludedVideos } = await readJoint(root);
    assertEquals(excludedVideos, ["video2", "video3"]);
    assertEquals(train.tracks.map(({ name }) => name), ["video1"]);
    assertEquals([...train.tracks[0].frames], [1, 2, 3, 4]);
    const { expressions, units } = splitJointLabels(train.tracks[0].labels);
    assertEquals([...expressions], [3, -1, 5, -1]);
    assertEquals([...units.subarray(0, 12)], new Array(12).fill(-1));
    const unitsOf = (row: number) => units.subarray(12 * row, 12 * (row + 1)).join();
    assertEquals([1, 2, 3].map(unitsOf), [UNITS, OTHER_UNITS, UNITS]);
    assertEquals(train.skipped.map(({ name, reason }) => `${name}: ${reason}`), [
      "video2_left: its video is in the action units' validation set",
      "video3: its video is in the expressions' validation set",
    ]);
    assertEquals(validation.tracks.map(({ name }) => name), ["video2_right", "video3"]);
    assertEquals([train.labelWidth, train.classNames.length], [13, 19]);
  }));

Deno.test("joint: no track left for training is an error", () =>
  withTracks({
    "EXPR_Set/Train_Set/video1": { text: expressionText(1), crops: [1] },
    "EXPR_Set/Validation_Set/video2": { text: expressionText(1), crops: [1] },
    "AU_Set/Train_Set/video2": { text: actionUnitText(1), crops: [1] },
    "AU_Set/Validation_Set/video3": { text: actionUnitText(1), crops: [1] },
  }, (root) => assertFails(() => readJoint(root), Error, "none is")));

Deno.test("joint: probabilities come apart at the seventh", () => {
  const { expressions, units } = splitJointProbabilities(Float32Array.from({ length: 38 }, (_, i) => i));
  assertEquals([...expressions], [0, 1, 2, 3, 4, 5, 6, 19, 20, 21, 22, 23, 24, 25]);
  assertEquals([units.length, units[0], units[12]], [24, 7, 26]);
});
