/**
 * Gathers a run's report from what the run left behind: the record, the predictions beside it, and the data, if it is
 * still there and the same.
 *
 * @module
 */
import { dirname } from "node:path";
import { type Dataset, imagePath } from "../../../data/aff_wild2/types.ts";
import { NETWORK_NAMES, NETWORK_TITLES, type NetworkName } from "../../../models/networks.ts";
import { UserError } from "../cli.ts";
import { fingerprintData } from "../fingerprint.ts";
import type { LabelledFrames } from "../frames.ts";
import { scoreFrames } from "../inference.ts";
import { type Predictions, readPredictions } from "../predictions.ts";
import { differingKeys, readRecord, type RunRecord } from "../record.ts";
import type { ResolvedRun } from "../run_file.ts";
import { readSplits } from "../session.ts";
import type { PredictedFrames } from "./predictors.ts";
import type { RunReport } from "./run_report.ts";
import { countsOf } from "./sections.ts";

/** The scores of predictions with six digits may differ a little from the record's. */
const SCORE_TOLERANCE = 2e-3;

/**
 * Reads what the report of a run shows.
 *
 * @param path the run's record.json
 * @throws {UserError} if the record cannot be read
 */
export async function readRunReport(path: string): Promise<RunReport> {
  const record = await readRecord(path);
  const leftOut: string[] = [];
  const data = await dataOf(record, (line) => leftOut.push(line));
  const folder = dirname(path);
  const predicted = await predictedOf(record, folder, data?.validation ?? null, (line) => leftOut.push(line));
  const counts = data === null ? null : [countsOf(data.train), countsOf(data.validation)];
  return { record, predicted, counts, leftOut };
}

/** Both splits, if they are what the run read. */
async function dataOf(
  record: RunRecord,
  leaveOut: (line: string) => void,
): Promise<{ train: Dataset; validation: Dataset } | null> {
  const { root, labelSet } = (record.run as ResolvedRun).data;
  try {
    const [train, validation] = await readSplits(root, labelSet, ["train", "validation"]);
    const now = await fingerprintData([train, validation], false);
    const changed = differingKeys({ ...record.data, imageBytes: null }, now);
    if (changed.length === 0) return { train, validation };
    leaveOut(
      `The images and the counts of the classes: the ${
        changed.join(" and ")
      } under ${root} are not the run's any more.`,
    );
  } catch (error) {
    leaveOut(`The images and the counts of the classes: ${(error as Error).message}.`);
  }
  return null;
}

async function predictedOf(
  record: RunRecord,
  folder: string,
  validation: Dataset | null,
  leaveOut: (line: string) => void,
): Promise<PredictedFrames | null> {
  const { data: { labelSet }, evaluation } = record.run as ResolvedRun;
  if (labelSet === "identity") return null;
  const probabilities = new Map<NetworkName, Float32Array>();
  let frames: LabelledFrames | undefined;
  for (const network of NETWORK_NAMES) {
    const scores = record.networks[network]?.scores;
    if (!scores) continue;
    try {
      const file = `${folder}/${network}.predictions.csv`;
      const read = await readPredictions(file, labelSet);
      requireSame(read, scores.score, frames, file);
      frames = read.frames;
      probabilities.set(network, read.probabilities);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      leaveOut(`What ${NETWORK_TITLES[network]} made of each frame: ${error.message}.`);
    }
  }
  if (frames === undefined) return null;
  const { refinement } = record;
  return {
    frames,
    probabilities,
    settings: evaluation,
    refinement,
    imagePath: validation === null ? null : imagesOf(frames, validation),
  };
}

/** Predictions of another run in the place of this one's would make a report that is wrong. */
function requireSame(
  { frames, probabilities }: Predictions,
  score: number,
  others: LabelledFrames | undefined,
  file: string,
): void {
  const found = scoreFrames(probabilities, frames).score;
  if (!(Math.abs(found - score) <= SCORE_TOLERANCE)) {
    throw new UserError(
      `Cannot use ${file}: its frames score ${found.toFixed(4)}; the record says ${score.toFixed(4)}`,
    );
  }
  const list = ({ tracks }: LabelledFrames) =>
    tracks.map(({ name, frames }) => `${name} ${frames.join(" ")}`).join("\n");
  if (others !== undefined && list(frames) !== list(others)) {
    throw new UserError(`Cannot use ${file}: its frames are not those of the networks before it`);
  }
}

/** The images of predicted frames in the data set that they are of; null if it is another. */
export function imagesOf(frames: LabelledFrames, { tracks }: Dataset): PredictedFrames["imagePath"] {
  const byName = new Map(tracks.map((track) => [track.name, track]));
  const owners = frames.tracks.map(({ name }) => byName.get(name));
  if (!owners.every((owner, t) => owner?.frames.join() === frames.tracks[t].frames.join())) return null;
  return (track, i) => imagePath(owners[track]!, i);
}
