/**
 * Predictions as CSV: one row per labelled frame.
 *
 * @module
 */
import type { Dataset } from "../../data/aff_wild2/types.ts";
import { writeTextAtomic } from "./files.ts";

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
  const units = dataset.labelWidth === 1 ? [] : names.slice(-12).map((unit) => `label_${unit}`);
  const labelNames = dataset.labelSet === "action_units" ? units : ["label", ...units];
  const lines = [["track", "frame", ...labelNames, ...names].join(",")];
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
