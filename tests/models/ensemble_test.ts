import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { combine, searchWeights, simplexPoints } from "../../models/ensemble.ts";
import { RandomStream } from "../../data/random.ts";

Deno.test("simplex points sum to 1 and are all there", () => {
  const points = simplexPoints(3, 20);
  assertEquals(points.length, 231);
  for (const point of points) assertAlmostEquals(point.reduce((a, b) => a + b), 1, 1e-12);
  assertEquals(simplexPoints(1, 20), [[1]]);
});

Deno.test("the sum of probabilities is weighted", () => {
  assertEquals([...combine([Float32Array.of(1, 0), Float32Array.of(0, 1)], [0.25, 0.75])], [0.25, 0.75]);
});

/** One-hot rows that are right with the given probability. */
function guesses(labels: Int32Array, right: number, random: RandomStream): Float32Array {
  const rows = new Float32Array(labels.length * 7);
  labels.forEach((label, i) => rows[i * 7 + (random.chance(right) ? label : random.integer(7))] = 1);
  return rows;
}

Deno.test("the search prefers the better network, and its honest score is not the optimistic one's", () => {
  const random = new RandomStream(3, "ensemble test");
  const labels = Int32Array.from({ length: 600 }, () => random.integer(7));
  const tracks = Int32Array.from(labels, (_, i) => Math.floor(i / 50));
  const good = guesses(labels, 0.9, random);
  const bad = guesses(labels, 0.1, random);
  const search = searchWeights([bad, good], labels, tracks);
  assert(search.weights[1] > search.weights[0]);
  assertAlmostEquals(search.weights[0] + search.weights[1], 1, 1e-12);
  assertEquals(search.foldWeights.length, 10);
  assert(search.honest.score <= search.optimistic.score);
  assertEquals(search.honest.confusion.counts.reduce((a, b) => a + b), 600);
});

Deno.test("by hand: each track is scored with the weights that are best on the others; ties go to the most even", () => {
  // Frames of each track, and who is right on all of them.
  const sets = [[10, 1, 0], [6, 0, 1], [6, 0, 1], [4, 1, 1]];
  const labels = sets.flatMap(([count]) => Array.from({ length: count }, (_, i) => i % 2));
  const tracks = sets.flatMap(([count], track) => new Array<number>(count).fill(track));
  const [a, b] = [1, 2].map((column) =>
    Float32Array.from(labels.flatMap((label, i) => {
      const guess = sets[tracks[i]][column] === 1 ? label : 1 - label;
      return [1 - guess, guess];
    }))
  );
  const search = searchWeights([a, b], labels, tracks, { step: 1, classes: 2 });
  assertEquals(search.weights, [0, 1]);
  assertEquals(search.foldWeights, [[0, 1], [1, 0], [1, 0], [0, 1]]);
  assertAlmostEquals(search.optimistic.accuracy, 16 / 26, 1e-12);
  assertAlmostEquals(search.honest.accuracy, 4 / 26, 1e-12);
  assertEquals(searchWeights([a, a], labels, tracks, { step: 0.25, classes: 2 }).weights, [0.5, 0.5]);
});

Deno.test("one track alone is scored on itself; other lengths are refused", () => {
  const labels = Int32Array.of(0, 1);
  const rows = Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0);
  const alone = searchWeights([rows], labels, [4, 4]);
  assertEquals([alone.honest.accuracy, alone.crossValidated], [1, false]);
  assertEquals(searchWeights([rows], labels, [4, 5]).crossValidated, true);
  assertThrows(() => searchWeights([rows.subarray(1)], labels, [4, 4]), RangeError, "[2, 7]");
  for (const step of [0.3, 0.4, 0.002, 0, NaN]) {
    assertThrows(
      () => searchWeights([rows, rows], labels, [4, 4], { step }),
      RangeError,
      `in steps of ${step}`,
    );
  }
});
