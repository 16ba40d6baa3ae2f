/**
 * Predictions as CSV: one row per labelled frame.
 *
 * @module
 */
import { JOINT_CLASSES } from "../../data/aff_wild2/mod.ts";
import { ACTION_UNITS, type Dataset, EXPRESSIONS, type LabelSet } from "../../data/aff_wild2/types.ts";
import { UserError } from "./cli.ts";
import { writeTextAtomic } from "./files.ts";
import type { LabelledFrames } from "./frames.ts";

/** The names of the columns. */
function columnsOf({ labelSet, classNames, labelWidth }: Omit<LabelledFrames, "tracks">): string[] {
  const units = labelWidth === 1 ? [] : classNames.slice(-12).map((unit) => `label_${unit}`);
  const labelNames = labelSet === "action_units" ? units : ["label", ...units];
  return ["track", "frame", ...labelNames, ...classNames];
}

/**
 * Writes track, frame, label (expression) and the probabilities of every kept frame, in the dataset's order.
 *
 * @param probabilities [frames, classes]
 */
export async function writePredictions(
  path: string,
  dataset: Dataset,
  probabilities: Float32Array,
): Promise<void> {
  const names = dataset.classNames;
  const lines = [columnsOf(dataset).join(",")];
  let row = 0;
  for (const { name, frames, labels } of dataset.tracks) {
    for (let i = 0; i < frames.length; i++, row++) {
      const truth = labels.subarray(i * dataset.labelWidth, (i + 1) * dataset.labelWidth);
      const values = probabilities.subarray(row * names.length, (row + 1) * names.length);
      lines.push([name, frames[i], ...truth, ...Array.from(values, (value) => value.toFixed(6))].join(","));
    }
  }
  await writeTextAtomic(path, lines.join("\n") + "\n");
}

/** What a file of predictions holds. */
export interface Predictions {
  readonly frames: LabelledFrames;
  /** [frames, classes], to six digits */
  readonly probabilities: Float32Array;
}

/**
 * Reads what {@link writePredictions} wrote.
 *
 * @throws {UserError} if the file is missing, or its columns are not those of the label set
 */
export async function readPredictions(path: string, labelSet: LabelSet | "joint"): Promise<Predictions> {
  const wrong = (what: string) => new UserError(`Cannot read predictions ${path}: ${what}`);
  const text = await Deno.readTextFile(path).catch((error) => {
    throw wrong(`${error.message}; expected a run's CSV`);
  });
  const [header, ...lines] = text.trimEnd().split("\n");
  const names = { expression: EXPRESSIONS, action_units: ACTION_UNITS, joint: JOINT_CLASSES }[labelSet];
  const labelWidth =
    { expression: 1, action_units: ACTION_UNITS.length, joint: 1 + ACTION_UNITS.length }[labelSet];
  const wanted = columnsOf({ labelSet, classNames: names, labelWidth }).join(",");
  if (header !== wanted) throw wrong(`its columns are ${header}; expected ${wanted}`);
  const probabilities = new Float32Array(lines.length * names.length);
  const rows = lines.map((line, row) => {
    const [track, ...cells] = line.split(",");
    const values = cells.map(Number);
    if (values.length !== 1 + labelWidth + names.length || !values.every(Number.isFinite)) {
      throw wrong(
        `line ${row + 2} is ${JSON.stringify(line)}; expected a track and ${
          1 + labelWidth + names.length
        } numbers`,
      );
    }
    probabilities.set(values.slice(1 + labelWidth), row * names.length);
    return { track, frame: values[0], labels: values.slice(1, 1 + labelWidth) };
  });
  const tracks = [...Map.groupBy(rows, ({ track }) => track)].map(([name, of]) => ({
    name,
    frames: Int32Array.from(of, ({ frame }) => frame),
    labels: Int8Array.from(of.flatMap(({ labels }) => labels)),
  }));
  return { frames: { labelSet, classNames: names, labelWidth, tracks }, probabilities };
}
