/**
 * Aff-Wild2 on disk, in the layout of its 2021 edition.
 *
 * @module
 */
export { headerOf, parseAnnotations } from "./annotations.ts";
export { classCounts, readDataset, type ReadOptions, sharedVideos } from "./dataset.ts";
export { findLayout, type Layout, videoOf } from "./layout.ts";
export { type DatasetReport, reportDataset, summarize, type TrackReport } from "./report.ts";
export * from "./types.ts";
export { inferenceWindow, TrainingWindows, type Window } from "./windows.ts";
