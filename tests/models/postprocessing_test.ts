import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { applyTemperature, calibrationOf, fitTemperature } from "../../models/calibration.ts";
import { searchSmoothedWeights } from "../../models/ensemble.ts";
import { foldTracks, select } from "../../models/selection.ts";
import { interpolateGaps, smooth, SMOOTHINGS } from "../../models/smoothing.ts";
import { applyThresholds, bestThresholds, searchThresholds } from "../../models/thresholds.ts";

const seed = 20211; // fixed: that an honest score is below an optimistic one is likely, not certain
const random = new RandomStream(seed, "postprocessing");

/** Rows that sum to 1. */
function drawRows(count: number, classes: number): Float32Array {
  const rows = Float32Array.from({ length: count * classes }, () => random.uniform(0.01, 1));
  return applyTemperature(rows, classes, 1);
}

Deno.test("folds keep tracks together; the choice for a fold does not look at it", () => {
  const folds = foldTracks([7, 7, 3, 3, 9], 5);
  assertEquals([folds.count, [...folds.of]], [3, [1, 1, 0, 0, 2]]);
  // Candidate i is best in fold i alone: each fold's choice is another one's.
  const { perFold } = select(3, folds, (candidate, counted) => counted(candidate) ? 1 : 0);
  perFold.forEach((candidate, fold) => assert(candidate !== fold));
  const { chosen } = select(4, folds, (candidate) => candidate % 2, (candidate) => -candidate);
  assertEquals(chosen, 3);
});

Deno.test("smoothing equals its definition, frame by frame, over gaps and short tracks", () => {
  const tracks = [[1, 2, 3, 7, 8, 20], [5], [1, 3]].map((frames) => ({ frames }));
  const rows = drawRows(9, 3);
  for (const smoothing of SMOOTHINGS) {
    const actual = smooth(rows, 3, tracks, smoothing);
    let offset = 0;
    for (const { frames } of tracks) {
      frames.forEach((frame, i) => {
        const weights = frames.map((other) => {
          const distance = Math.abs(other - frame);
          if (smoothing.shape === "box") return distance <= smoothing.width ? 1 : 0;
          return distance <= 3 * smoothing.width ? Math.exp(-0.5 * (distance / smoothing.width) ** 2) : 0;
        });
        const total = weights.reduce((a, b) => a + b);
        for (let c = 0; c < 3; c++) {
          const sum = weights.reduce((acc, weight, j) => acc + weight * rows[(offset + j) * 3 + c], 0);
          assertAlmostEquals(actual[(offset + i) * 3 + c], sum / total, 1e-6, `seed ${seed}`);
        }
      });
      offset += frames.length;
    }
  }
  assertThrows(() => smooth(rows, 3, tracks.slice(1), SMOOTHINGS[1]), RangeError, "27 for 3 frames");
});

Deno.test("gaps are filled linearly, ends by the nearest", () => {
  const filled = interpolateGaps(Float32Array.of(1, 0, 0, 1), 2, [2, 6], 8);
  assertEquals([...filled].filter((_, i) => i % 2 === 0), [1, 1, 0.75, 0.5, 0.25, 0, 0, 0]);
  assertThrows(() => interpolateGaps(new Float32Array(0), 2, [], 3), RangeError, "no predicted frame");
});

Deno.test("smoothing is chosen where neighbouring frames help", () => {
  const clips = Array.from(
    { length: 10 },
    () => ({ frames: Int32Array.from({ length: 60 }, (_, i) => i + 1) }),
  );
  const labels = Int32Array.from({ length: 600 }, (_, i) => Math.floor(i / 60) % 3);
  const rows = drawRows(600, 3);
  labels.forEach((label, i) => rows[i * 3 + label] += 0.15);
  const search = searchSmoothedWeights([rows], labels, clips, SMOOTHINGS, { classes: 3 });
  assert(search.smoothing.width >= 5, JSON.stringify(search.smoothing));
  const plain = searchSmoothedWeights([rows], labels, clips, SMOOTHINGS.slice(0, 1), { classes: 3 });
  assert(search.honest.score > plain.honest.score + 0.1, `seed ${seed}`);
});

Deno.test("a temperature undoes another, and calibrates", () => {
  const sharp = drawRows(4000, 4);
  const labels = Int32Array.from({ length: 4000 }, (_, i) => {
    let left = random.uniform(0, 1);
    for (let c = 0; c < 3; c++) if ((left -= sharp[i * 4 + c]) < 0) return c;
    return 3;
  });
  const overconfident = applyTemperature(sharp, 4, 0.4);
  const temperature = fitTemperature(overconfident, labels, 4);
  assertAlmostEquals(temperature, 2.5, 0.3, `seed ${seed}`);
  const before = calibrationOf(overconfident, labels, 4);
  const after = calibrationOf(applyTemperature(overconfident, 4, temperature), labels, 4);
  assert(after.error < before.error / 2, `seed ${seed}: ${before.error} -> ${after.error}`);
  assertEquals(after.bins.reduce((sum, { count }) => sum + count, 0), 4000);
});

Deno.test("calibration by hand: two bins", () => {
  const { error, bins } = calibrationOf(Float32Array.of(0.9, 0.1, 0.8, 0.2, 0.4, 0.6), [0, 1, -1], 2, 2);
  assertEquals(bins.map(({ count }) => count), [0, 2]);
  assertAlmostEquals(error, Math.abs(0.85 - 0.5), 1e-6);
});

Deno.test("thresholds: by hand, ties, no positives, and honest below optimistic", () => {
  const probabilities = Float32Array.of(0.1, 0.2, 0.3, 0.35, 0.05);
  assertAlmostEquals(bestThresholds(probabilities, [0, 1, 1, 1, -1], 1)[0], 0.15, 1e-6);
  // Taken for a 0, the highest would move the threshold below .4.
  const unsure = Float32Array.of(0.9, 0.8, 0.6, 0.5, 0.4);
  assertAlmostEquals(bestThresholds(unsure, [-1, 1, 0, 0, 1], 1)[0], 0.7, 1e-6);
  assertAlmostEquals(bestThresholds(unsure, [0, 1, 0, 0, 1], 1)[0], 0.2, 1e-6);
  assertEquals(bestThresholds(probabilities, [0, 0, 0, 0, 0], 1), [0.5]);
  const tie = bestThresholds(Float32Array.of(0.4, 0.4, 0.1), [1, 0, 0], 1)[0];
  assertAlmostEquals(tie, 0.25, 1e-6);
  assertEquals([...applyThresholds(Float32Array.of(0.3, 0.3), [0.2, 0.5])], [1, 0]);
  // The other track's threshold is .25 for the first track, .85 for the second.
  const apart = searchThresholds(Float32Array.of(0.9, 0.8, 0.3, 0.2), [1, 0, 1, 0], [0, 0, 1, 1], 1);
  assertAlmostEquals(apart.thresholds[0], 0.25, 1e-6);
  assertEquals([apart.optimistic.f1, apart.optimistic.accuracy], [0.8, 0.75]);
  assertEquals([apart.honest.f1, apart.honest.accuracy], [0.5, 0.5]);
  const labels = Int8Array.from({ length: 400 }, () => random.chance(0.2) ? 1 : 0);
  const scores = Float32Array.from(labels, (label) => random.uniform(0, 0.3) + 0.1 * label);
  const tracks = Int32Array.from({ length: 200 }, (_, i) => i % 10);
  const { honest, optimistic, thresholds } = searchThresholds(scores, labels, tracks, 2);
  assertEquals(thresholds.length, 2);
  assert(honest.f1 <= optimistic.f1 && honest.f1 > 0.2, `seed ${seed}: ${honest.f1} ${optimistic.f1}`);
});
