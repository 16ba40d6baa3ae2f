/**
 * The sections on predicted frames that the reports of a run and of an evaluation share.
 *
 * @module
 */
import { ACTION_UNITS, EXPRESSIONS } from "../../../data/aff_wild2/types.ts";
import { countClasses } from "../../../data/aff_wild2/mod.ts";
import type { Dataset } from "../../../data/aff_wild2/types.ts";
import { NETWORK_TITLES } from "../../../models/networks.ts";
import type { Effect, Refinement } from "../refine.ts";
import {
  type Change,
  changeChart,
  classCountsChart,
  classF1Chart,
  confusionChart,
  reliabilityChart,
  smallConfusion,
  type SplitCounts,
} from "./charts.ts";
import { fixed, type Html, type Section, sideBySide, table, titled } from "./html.ts";
import { type FrameImage, frameImages } from "./images.ts";
import { confidentMistakes, expressionFrames, sampleFrames, unitMistakes } from "./mistakes.ts";
import { expressionLegend, ramp, unitsInWords } from "./plot.ts";
import {
  type ExpressionView,
  expressionView,
  type PredictedFrames,
  type UnitView,
  unitView,
} from "./predictors.ts";
import { simplexChart } from "./simplex.ts";
import { expressionTimelines, unitTimelines } from "./timeline.ts";

/** The counts of a dataset for {@link countsSection}. */
export function countsOf(dataset: Dataset): SplitCounts {
  const frames = dataset.tracks.reduce((sum, track) => sum + track.frames.length, 0);
  return { split: dataset.split, frames, tracks: dataset.tracks.length, classes: countClasses(dataset) };
}

/** How often each class is in the data. */
export function countsSection(splits: readonly SplitCounts[] | null): Section | null {
  if (splits === null || splits.length === 0 || splits[0].classes.length > 24) return null;
  return {
    title: "The data: frames of each class",
    note:
      "Bars: share of the split's frames; numbers: frames. F1 weighs all classes alike, however rare they are.",
    body: classCountsChart(splits),
  };
}

/** What each refinement beyond the paper brings. */
export function refinementSection(
  refinement: Refinement | null,
  singles: ReadonlyMap<string, number>,
  others: readonly Change[],
): Section | null {
  const effects = refinement?.effects ?? [];
  const changes = [...others, ...effects.flatMap((effect) => changeOf(effect, effects, singles))];
  if (changes.length === 0) return null;
  const columns = [
    { title: "predictor" },
    { title: "F1" },
    { title: "accuracy" },
    { title: "score" },
    { title: "what was chosen on all frames", text: true },
  ];
  const rows = effects.map((
    { name, f1, accuracy, score, note },
  ) => [name, fixed(f1), fixed(accuracy), fixed(score), note]);
  return {
    title: "What the refinements bring",
    note:
      "Beyond the paper. Smoothing averages the probabilities of neighbouring frames of a track; flip averages those of a " +
      "frame and of its mirror image; interpolation fills in the annotated frames without a crop, which no network saw; thresholds are chosen for each action unit. Every setting is chosen on other tracks than " +
      "those it is scored on, so a setting that does not help can lose.",
    body: changeChart(changes) + (rows.length === 0 ? "" : table(columns, rows)),
  };
}

/** A refinement's score beside the score of the row without it. */
function changeOf(
  { name, score }: Effect,
  effects: readonly Effect[],
  singles: ReadonlyMap<string, number>,
): Change[] {
  const at = name.lastIndexOf(" + ");
  if (at < 0) return [];
  const without = name.slice(0, at);
  const from = effects.find((effect) => effect.name === without)?.score ?? singles.get(without);
  return from === undefined ? [] : [{ of: name, from, to: score }];
}

/** How far probabilities can be trusted. */
export function reliabilitySection(refinement: Refinement | null): Section | null {
  const calibration = refinement?.calibration ?? null;
  if (calibration === null) return null;
  const { temperature, before, after } = calibration;
  const scaled = `with a temperature (${temperature.toFixed(2)} on all frames)`;
  return {
    title: "How far the probabilities can be trusted",
    note:
      `A predictor is reliable where of all frames with confidence p a share p is right: on the dashed line. Below it, it is too ` +
      `sure. Expected calibration error: ${before.error.toFixed(3)} as it is, ${
        after.error.toFixed(3)
      } ${scaled} that was fitted on ` +
      `other tracks than those it is measured on (Guo et al. 2017).`,
    body: reliabilityChart(new Map([["as it is", before], ["with temperature", after]])),
  };
}

/** All sections on predicted frames. */
export async function frameSections(given: PredictedFrames): Promise<(Section | null)[]> {
  const missing = new Set<string>();
  const image = frameImages(given.imagePath, (path) => missing.add(path));
  const expressions = expressionView(given);
  const units = unitView(given);
  const sections = [
    ...(expressions === null ? [] : await expressionSections(expressions, given, image)),
    ...(units === null ? [] : await unitSections(units, given.imagePath !== null, image)),
  ];
  if (missing.size === 0) return sections;
  const [first] = missing;
  const gone =
    `${missing.size} images that belong here are gone or cannot be used, e.g. ${first}; empty boxes stand for them.`;
  return [...sections, { title: "Missing images", note: gone, body: "" }];
}

async function expressionSections(
  view: ExpressionView,
  { settings, probabilities, imagePath }: PredictedFrames,
  image: FrameImage,
): Promise<(Section | null)[]> {
  const { predictors, best, labels, ensemble } = view;
  const name = best.name === "ensemble" ? "the ensemble" : best.name;
  const scored = predictors.flatMap(({ name, metrics }) => metrics === null ? [] : [{ name, metrics }]);
  const others = scored.filter((row) => row.name !== best.name);
  const simplex = ensemble === null ? null : simplexChart({
    names: ensemble.networks.map((network) => NETWORK_TITLES[network]),
    probabilities: ensemble.networks.map((network) => probabilities.get(network)!),
    labels,
    weights: ensemble.weights,
    step: settings.step,
  });
  const crossValidated = ensemble === null
    ? ""
    : ensemble.crossValidated
    ? " The ensemble's are cross-validated: each track with weights chosen on others."
    : " The ensemble's are optimistic: there is one track, on which its weights were chosen.";
  const without = imagePath === null ? " There are no images: the data is gone or has changed." : "";
  return [
    simplex === null ? null : {
      title: "The ensemble's weights",
      note:
        "The score of every weighted sum of the networks' probabilities, on the same frames that the weights are chosen on: " +
        `this picture is optimistic, ${
          ensemble?.crossValidated ? "the tables are not" : "and so are the tables, since there is one track"
        }. ` +
        "Of equal scores the most even weights are chosen.",
      body: simplex,
    },
    {
      title: `Confusion matrix of ${name}`,
      note: `Each cell: frames, and their share of the annotated expression (its row).${crossValidated}`,
      body: confusionChart(best.metrics.confusion, name) + confusionsOf(others),
    },
    {
      title: "F1 of each expression",
      note: `F1 is the harmonic mean of precision and recall.${crossValidated}`,
      body: classF1Chart(
        EXPRESSIONS,
        scored.map(({ name, metrics }) => ({ name, values: metrics.perClassF1 })),
      ),
    },
    {
      title: "Tracks over time",
      note:
        `From a track with many mistakes of ${name} to one with few. At the right the share of frames that are right.${without}`,
      body: expressionLegend() + await expressionTimelines(view, image),
    },
    {
      title: "The most confident mistakes",
      note:
        `Frames that ${name} is most sure of and wrong. Bold: annotated; bars: the three highest probabilities, blue for the annotated one. At most two frames of a track.${without}`,
      body: await expressionFrames(view, confidentMistakes(view), image),
    },
    {
      title: "A sample of frames",
      note: `Evenly spaced among all. ✓ where ${name} is right.${without}`,
      body: await expressionFrames(view, sampleFrames(view), image),
    },
  ];
}

function confusionsOf(
  predictors: readonly { name: string; metrics: ExpressionView["best"]["metrics"] }[],
): Html {
  if (predictors.length === 0) return "";
  const charts = predictors.map(({ name, metrics }) => titled(name, smallConfusion(metrics.confusion, name)));
  return titled("The others, in percent of the row", "") + sideBySide(...charts);
}

async function unitSections(view: UnitView, hasImages: boolean, image: FrameImage): Promise<Section[]> {
  const { predictors } = view;
  const { name } = predictors[predictors.length - 1];
  const without = hasImages ? "" : " There are no images: the data is gone or has changed.";
  return [
    {
      title: "F1 of each action unit",
      note: `A unit counts as active above a probability of .5. ${unitsInWords()}.`,
      body: classF1Chart(
        ACTION_UNITS,
        predictors.map(({ name, perUnitF1 }) => ({ name, values: perUnitF1 })),
      ),
    },
    {
      title: "Action units over time",
      note:
        `Shades: ${name}'s probability; orange: annotated as active. From a track with many mistakes to one with few.${without}`,
      body: ramp("probability", [0, 1], "blues") + await unitTimelines(view, image),
    },
    {
      title: "The most confident mistakes on action units",
      note:
        `Decisions that ${name} is most sure of and wrong. Bold: the unit and how it is annotated. At most two of a track.${without}`,
      body: await unitMistakes(view, image),
    },
  ];
}
