import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ACTION_UNITS, type Dataset, EXPRESSIONS } from "../../../data/aff_wild2/types.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { createNetwork, type TemporalNetwork } from "../../../models/networks.ts";
import { predictWindows, scoreFrames } from "../../../tasks/run/inference.ts";

await initializeDevice();

/** Tracks of three and four frames, numbered 11, 12, ... */
function datasetOf(labelSet: "expression" | "action_units"): Dataset {
  const [classNames, labelWidth] = labelSet === "expression" ? [EXPRESSIONS, 1] : [ACTION_UNITS, 12];
  const tracks = [["a", 3], ["b", 4]].map(([name, count]) => ({
    name: String(name),
    video: String(name),
    imageFolder: "",
    dropped: { unlabelled: 0, missingCrop: 0, unlabelledCrops: 0 },
    annotatedFrames: Number(count),
    frames: Int32Array.from({ length: Number(count) }, (_, i) => 11 + i),
    labels: new Int8Array(Number(count) * labelWidth),
  }));
  return { root: "", labelSet, split: "validation", classNames, labelWidth, tracks, skipped: [] };
}

Deno.test("probabilities that are NaN are refused with the frame, the track and the class", async () => {
  const sizes = { width: 2, size: 32, classes: 7, embedding: 4, layers: 1, hidden: 3, bidirectional: false };
  const network = createNetwork({ network: "rnn", ...sizes }, 1) as TemporalNetwork;
  const values = new Float32Array(7 * 64).fill(0.5);
  const features = {
    width: 64,
    bad: new Map(),
    gather: (rows: ArrayLike<number>) =>
      Promise.resolve(
        Float32Array.from(Array.from(rows).flatMap((r) => [...values.subarray(64 * r, 64 * r + 64)])),
      ),
    close() {},
  };
  try {
    const dataset = datasetOf("expression");
    assertEquals((await predictWindows(network, dataset, features, 3)).length, 49);
    values[64 * 5 + 7] = NaN; // of the third frame of b, and of the window in whose middle it is
    await assertRejects(
      () => predictWindows(network, dataset, features, 3),
      RangeError,
      "frame 13 of b has NaN for Neutral",
    );
  } finally {
    network.dispose();
  }
});

Deno.test("scores refuse NaN", () => {
  const units = new Float32Array(7 * 12);
  units[3 * 12 + 5] = NaN;
  assertThrows(() => scoreFrames(units, datasetOf("action_units")), RangeError, "row 3 of the predictions");
  const expressions = new Float32Array(7 * 7);
  expressions[6 * 7] = NaN;
  assertThrows(
    () => scoreFrames(expressions, datasetOf("expression")),
    RangeError,
    "row 6 of the predictions",
  );
});
