/**
 * The 2021 edition of Aff-Wild2 on disk: tracks of frames, windows of frames, reports, submission files.
 *
 * ```ts
 * const dataset = await readDataset("Aff-Wild2", { labelSet: "expression", split: "train" });
 * console.log(summaryLines(reportDataset(dataset)).join("\n"));
 * const windows = WindowIndex.training(dataset, { length: 9, stride: 4 });
 * const { track, frames } = windows.get(0);
 * console.log(imagePath(track, frames[0]));
 * ```
 *
 * @module
 */
export * from "./types.ts";
export { diskFiles, type Files } from "./files.ts";
export * from "./layout.ts";
export * from "./annotations.ts";
export * from "./dataset.ts";
export * from "./dataset_index.ts";
export * from "./joint.ts";
export * from "./report.ts";
export * from "./windows.ts";
export * from "./submission.ts";
