import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { calibrationOf } from "../../models/calibration.ts";
import { applyThresholds } from "../../models/thresholds.ts";
import {
  actionUnitMetrics,
  argmaxRows,
  confusionMatrix,
  expressionMetrics,
  majorityBaseline,
  uniformBaseline,
} from "../../models/metrics.ts";

Deno.test("expression metrics equal the hand-computed ones", () => {
  // Class 0: tp 2 fp 1 fn 1; class 1: tp 1 fp 1 fn 0; class 2: tp 0 fp 0 fn 1; class 3: nowhere.
  const metrics = expressionMetrics([0, 0, 0, 1, 2], [0, 0, 1, 1, 0], 4);
  assertAlmostEquals(metrics.perClassF1[0], 4 / 6, 1e-12);
  assertAlmostEquals(metrics.perClassF1[1], 2 / 3, 1e-12);
  assertEquals(metrics.perClassF1.slice(2), [0, 0]); // zero_division=0
  assertAlmostEquals(metrics.f1, (4 / 6 + 2 / 3) / 4, 1e-12);
  assertAlmostEquals(metrics.accuracy, 3 / 5, 1e-12);
  assertAlmostEquals(metrics.score, 0.67 * metrics.f1 + 0.33 * 0.6, 1e-12);
});

Deno.test("a perfect prediction scores 1 and frames with -1 are left out", () => {
  const metrics = expressionMetrics([0, 1, 2, 3, 4, 5, 6, -1], [0, 1, 2, 3, 4, 5, 6, 3]);
  assertEquals([metrics.f1, metrics.accuracy], [1, 1]);
  assertEquals(metrics.confusion.counts.reduce((a, b) => a + b), 7);
});

Deno.test("the confusion matrix has truth in rows and refuses classes out of range", () => {
  assertEquals([...confusionMatrix([0, 0, 1], [1, 1, 0], 2).counts], [0, 2, 1, 0]);
  assertThrows(() => confusionMatrix([0], [7], 7), RangeError, "prediction 7");
  assertThrows(() => confusionMatrix([0, 1], [0], 7), RangeError, "1 of them for 2 labels");
});

Deno.test("action units: mean binary F1, both accuracies, -1 left out", () => {
  const truth = [1, 0, 1, 1, 0, -1];
  const given = [1, 0, 0, 1, 1, 1];
  const metrics = actionUnitMetrics(truth, given, 2);
  // Unit 0: tp 1 (frame 0), fn 1 (frame 1), fp 1 (frame 2); unit 1: tp 1, frame 2 left out.
  assertAlmostEquals(metrics.perUnitF1[0], 2 / 4, 1e-12);
  assertAlmostEquals(metrics.perUnitF1[1], 1, 1e-12);
  assertAlmostEquals(metrics.accuracy, 3 / 5, 1e-12);
  assertAlmostEquals(metrics.accuracyAllRight, 1 / 2, 1e-12);
  assertAlmostEquals(metrics.score, 0.5 * 0.75 + 0.5 * 0.6, 1e-12);
});

Deno.test("baselines: the majority class, and uniform draws in expectation", () => {
  const truth = [0, 0, 0, 1, 2, 2];
  assertAlmostEquals(majorityBaseline(truth, 3).accuracy, 0.5, 1e-12);
  assertAlmostEquals(uniformBaseline(truth, 3).accuracy, 1 / 3, 1e-12);
});

Deno.test("argmax takes the first of equal values", () => {
  assertEquals([...argmaxRows([0.2, 0.4, 0.4, 0.5, 0.3, 0.2], 3)], [1, 0]);
});

Deno.test("a NaN is no prediction: its row is named, wherever in it it is", () => {
  for (const place of [3, 4, 5]) {
    const values = Float32Array.of(0.2, 0.4, 0.4, 0.5, 0.3, 0.2);
    values[place] = NaN;
    assertThrows(() => argmaxRows(values, 3), RangeError, "row 1 of the predictions: it has a NaN");
    assertThrows(() => applyThresholds(values, [0.5, 0.5, 0.5]), RangeError, "row 1 of the predictions");
    assertThrows(() => calibrationOf(values, [0, 0], 3), RangeError, "row 1 of the predictions");
  }
  assertEquals([...argmaxRows([-Infinity, Infinity, 0], 3)], [1]);
});
