import { assertAlmostEquals, assertEquals } from "@std/assert";
import type { FacesFrame } from "../../../tasks/predict/frames.ts";
import { Timeline } from "../../../tasks/predict/timeline.ts";
import type { Prediction } from "../../../tasks/predict/predictor.ts";

Deno.test("a gap is filled, however long it is", () => {
  const last = 300_001;
  const smoothing = { shape: "box", width: 0 } as const;
  const timeline = new Timeline("clip", { smoothing, fillGaps: true, onlyTrack: "crops" });
  const frames = Array.from({ length: last }, (_, i) => ({
    number: i + 1,
    faces: i === 0 || i === last - 1 ? [{ track: "crops" }] : [],
    ended: [],
  })) as unknown as FacesFrame[];
  const prediction = (frame: number, value: number) =>
    ({ track: "crops", frame, values: new Float32Array([value, 1 - value]) }) as Prediction;
  const rows = timeline.push(frames, [prediction(1, 0), prediction(last, 1)], true);
  assertEquals([rows.length, rows[0].state, rows[1].state, rows[last - 1].state], [
    last,
    "found",
    "filled",
    "found",
  ]);
  assertAlmostEquals(rows[150_000].values![0], 0.5, 1e-3);
});
