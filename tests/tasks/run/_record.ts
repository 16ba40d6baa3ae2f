/** A record, for tests that need no run. */
import type { NetworkOutcome, RunRecord } from "../../../tasks/run/record.ts";
import { resolveRun, toRunFile } from "../../../tasks/run/run_file.ts";

/** A run. */
export const RUN = resolveRun({ name: "demo", data: { root: "x" }, models: { cnn: {} } }, "the test");
/** Its data. */
export const DATA = { annotations: "a", images: "b", imageBytes: null };
/** What came of its network. */
export const OUTCOME: NetworkOutcome = {
  checkpoint: "cnn.safetensors",
  epochs: [{
    epoch: 1,
    learningRate: 1,
    trainLoss: 2,
    validationScore: 0.5,
    validationF1: 0.4,
    validationAccuracy: 0.6,
    seconds: 1,
  }],
  weightsSha256: "w",
  predictionsSha256: "p",
  scores: null,
};

/** The record of a finished run that never was. */
export function recordOf(changes: Partial<RunRecord> = {}): RunRecord {
  return {
    format: "fervid-record",
    version: 1,
    status: "finished",
    error: null,
    startedAt: "2026-01-01T00:00:00.000Z",
    updatedAt: "2026-01-01T00:00:00.000Z",
    run: toRunFile(RUN),
    changedKeys: [],
    versions: { deno: "2", v8: "1", tfjs: "4", fervid: "0", commit: null, dirty: null },
    adapter: { description: "none", vendor: "", architecture: "" } as RunRecord["adapter"],
    variants: "shipped",
    data: DATA,
    badImages: [],
    networks: { cnn: OUTCOME },
    ensemble: [],
    refinement: null,
    ...changes,
  };
}
