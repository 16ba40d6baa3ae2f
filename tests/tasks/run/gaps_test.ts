import { assert, assertAlmostEquals, assertEquals, assertGreater } from "@std/assert";
import { EXPRESSIONS } from "../../../data/aff_wild2/types.ts";
import { oneTrackLine } from "../../../tasks/run/evaluation.ts";
import type { LabelledFrames } from "../../../tasks/run/frames.ts";
import { everyAnnotatedFrame } from "../../../tasks/run/gaps.ts";
import { smoothThere } from "../../../tasks/run/left_out.ts";
import { refine } from "../../../tasks/run/refine.ts";

const CLASSES = EXPRESSIONS.length;

/** A track whose frames are all `label`, some without a crop. */
function track(name: string, label: number, cropped: number[], uncropped: number[]) {
  const labels = (frames: number[]) => new Int8Array(frames.length).fill(label);
  return {
    name,
    frames: Int32Array.from(cropped),
    labels: labels(cropped),
    uncropped: { frames: Int32Array.from(uncropped), labels: labels(uncropped) },
  };
}

function datasetOf(...tracks: LabelledFrames["tracks"]): LabelledFrames {
  return { labelSet: "expression", classNames: EXPRESSIONS, labelWidth: 1, tracks };
}

Deno.test("everyAnnotatedFrame: frames without a crop come back in their places", () => {
  const first = track("a", 3, [2, 5, 6], [1, 3, 8]);
  const second = track("b", 4, [1], []);
  const every = everyAnnotatedFrame(datasetOf(first, second))!;
  assertEquals(every.uncropped, 3);
  assertEquals([...every.dataset.tracks[0].frames], [1, 2, 3, 5, 6, 8]);
  assertEquals([...every.dataset.tracks[0].labels], [3, 3, 3, 3, 3, 3]);
  assertEquals([...every.dataset.tracks[1].frames], [1]);

  const values = Float32Array.from([0.2, 0.8, 0.5, 0.5, 0.1, 0.9, 0.7, 0.3]); // [4, 2]
  const zero = every.widen(values, 2, "zero");
  const expected = [0, 0, 0.2, 0.8, 0, 0, 0.5, 0.5, 0.1, 0.9, 0, 0, 0.7, 0.3];
  expected.forEach((value, i) => assertAlmostEquals(zero[i], value, 1e-6));
  const filled = every.widen(values, 2, "interpolate");
  // Frame 3 lies a third of the way from 2 to 5; 1 and 8 take the nearest frame's.
  const linear = [0.2, 0.8, 0.2, 0.8, 0.3, 0.7, 0.5, 0.5, 0.1, 0.9, 0.1, 0.9, 0.7, 0.3];
  linear.forEach((value, i) => assertAlmostEquals(filled[i], value, 1e-6));
});

Deno.test("everyAnnotatedFrame: nothing to fill in where every frame has a crop, or it is not known", () => {
  assertEquals(everyAnnotatedFrame(datasetOf(track("a", 1, [1, 2], []))), undefined);
  const { uncropped: _, ...unknown } = track("a", 1, [1, 2], []);
  assertEquals(everyAnnotatedFrame(datasetOf(unknown)), undefined);
});

Deno.test("refine: with one track nothing is cross-validated, and that is said", () => {
  const settings = { step: 0.5, folds: 3, smoothing: true, interpolation: false };
  const expressions = (...names: string[]) => datasetOf(...names.map((name) => track(name, 1, [1, 2], [])));
  const units = (...names: string[]): LabelledFrames => ({
    labelSet: "action_units",
    classNames: ["AU1"],
    labelWidth: 1,
    tracks: names.map((name) => track(name, 1, [1, 2], [])),
  });
  for (const [dataset, classes] of [[expressions, CLASSES], [units, 1]] as const) {
    for (const names of [["a"], ["a", "b"]]) {
      const frames = dataset(...names);
      const values = new Float32Array(2 * names.length * classes).fill(1 / classes);
      assertEquals(refine(new Map([["cnn", values]]), frames, settings).crossValidated, names.length > 1);
      assertEquals(oneTrackLine(frames) === undefined, names.length > 1);
    }
  }
});

Deno.test("refine: interpolated frames are scored beside the same frames taken as Neutral", () => {
  const tracks = EXPRESSIONS.flatMap((_, label) =>
    [0, 1, 2].map((copy) => track(`${label}_${copy}`, label, [1, 2, 4, 6], [3, 5]))
  );
  const dataset = datasetOf(...tracks);
  const right = (classes: number) =>
    Float32Array.from(
      tracks.flatMap(({ labels }) =>
        [...labels].flatMap((label) => Array.from({ length: classes }, (_, c) => c === label ? 0.7 : 0.05))
      ),
    );
  const settings = { step: 0.5, folds: 3, smoothing: false, interpolation: true };
  const probabilities = new Map([["cnn", right(CLASSES)] as const]);
  const { effects } = refine(probabilities, dataset, settings);
  assertEquals(effects.map(({ name }) => name), [
    "ResNet50",
    "ResNet50, every annotated frame",
    "ResNet50, every annotated frame + interpolation",
  ]);
  const [plain, neutral, interpolated] = effects;
  assertEquals(plain.accuracy, 1);
  assertEquals(interpolated.accuracy, 1);
  assertAlmostEquals(neutral.accuracy, (4 + 2 / 7) / 6, 1e-9); // of each track 4 of 6; Neutral's are right
  assertGreater(interpolated.score, neutral.score);
  assert(neutral.note.includes("42 frames"), neutral.note);
  assertEquals(refine(probabilities, dataset, { ...settings, interpolation: false }).effects.length, 1);
});

Deno.test("refine: frames whose image was left out are no neighbours of others", () => {
  const random = (i: number) => 0.5 + Math.sin(12.9898 * (i + 1)) / 2.1;
  const frames = [1, 2, 4, 6, 7];
  const tracks = EXPRESSIONS.flatMap((_, label) =>
    [0, 1, 2].map((copy) => track(`${label}_${copy}`, label, frames, [3, 5]))
  );
  const values = Float32Array.from({ length: tracks.length * frames.length * CLASSES }, (_, i) => random(i));
  // The third frame of each track, and the whole last track, are left out.
  const there = (t: number, i: number) => i !== 2 && t < tracks.length - 1;
  const zeros = tracks.map(({ labels, ...rest }, t) => ({
    ...rest,
    labels: labels.map((label, i) => there(t, i) ? label : -1),
  }));
  const rows = tracks.flatMap((_, t) => frames.map((_, i) => there(t, i)));
  const blanked = values.map((value, i) => rows[Math.floor(i / CLASSES)] ? value : 0);
  const fewer = tracks.map((whole, t) => {
    const kept = frames.filter((_, i) => there(t, i));
    return { ...whole, ...track("", whole.labels[0], kept, []), uncropped: whole.uncropped };
  });
  const gone = values.filter((_, i) => rows[Math.floor(i / CLASSES)]);
  const settings = { step: 0.5, folds: 3, smoothing: true, interpolation: true };
  const effectsOf = (all: Float32Array, dataset: LabelledFrames) =>
    refine(new Map([["cnn", all]]), dataset, settings).effects;
  assertEquals(effectsOf(blanked, datasetOf(...zeros)), effectsOf(gone, datasetOf(...fewer)));

  const smoothing = { shape: "box", width: 2 } as const;
  const smoothed = smoothThere(blanked, datasetOf(...zeros), smoothing);
  const alone = smoothThere(gone, datasetOf(...fewer), smoothing);
  assertEquals(smoothed.filter((_, i) => rows[Math.floor(i / CLASSES)]), alone);
  assert(smoothed.every((value, i) => rows[Math.floor(i / CLASSES)] || value === 0));
});
