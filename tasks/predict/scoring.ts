/**
 * Predictions of any system against the annotations: a CSV with the columns that `predict` writes, or a folder of the
 * challenge's submission files.
 *
 * @module
 */
import { readSubmission } from "../../data/aff_wild2/submission.ts";
import {
  ACTION_UNITS,
  type Dataset,
  EXPRESSIONS,
  type LabelSet,
  UNLABELLED,
} from "../../data/aff_wild2/types.ts";
import { actionUnitMetrics, argmaxRows, expressionMetrics } from "../../models/metrics.ts";
import { nearest, UserError } from "../run/cli.ts";
import { allLabels } from "../run/frames.ts";
import type { Metrics } from "../run/inference.ts";
import { type CsvRecord, readCsv } from "./csv.ts";
import { UNIT_THRESHOLD } from "./sinks.ts";

/** What an annotated frame without a prediction gets: nothing (an error), the nearest one, or it is not counted. */
export type MissingPolicy = "error" | "nearest" | "leave-out";

/** One track's predictions by frame number: a class, or twelve 0/1. */
export type TrackPredictions = Map<number, readonly number[]>;

/** What a scoring found. */
export interface Scoring {
  readonly metrics: Metrics;
  /** annotated frames */
  readonly frames: number;
  /** of these, without a prediction of their own */
  readonly missing: number;
}

/** Whether a path is a folder. */
async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    throw new UserError(
      `Cannot read ${path}: ${(error as Error).message}; expected a CSV or a folder of submission files`,
    );
  }
}

/**
 * Reads predictions of a dataset's tracks. In a CSV a row belongs to the track of its column `track`; a track that is
 * not in there takes the rows whose `input` it is, of each frame the largest face.
 *
 * @throws {UserError} if a file cannot be read or has no prediction of any track
 */
export async function readPredictions(
  path: string,
  dataset: Dataset,
): Promise<Map<string, TrackPredictions>> {
  const labelSet = dataset.labelSet as LabelSet;
  const names = dataset.tracks.map(({ name }) => name);
  const predictions = await isFolder(path)
    ? await readFolder(path, names, labelSet)
    : await readTable(path, new Set(names), labelSet);
  if (predictions.size > 0) return predictions;
  throw new UserError(
    `Cannot score ${path}: it has no prediction of any of the ${names.length} tracks; expected tracks such as ${
      names[0]
    }`,
  );
}

async function readFolder(
  folder: string,
  names: readonly string[],
  labelSet: LabelSet,
): Promise<Map<string, TrackPredictions>> {
  const width = labelSet === "expression" ? 1 : ACTION_UNITS.length;
  const tracks = new Map<string, TrackPredictions>();
  const there = new Set(Array.from(Deno.readDirSync(folder), ({ name }) => name));
  for (const name of names) {
    if (!there.has(`${name}.txt`)) continue;
    const { frameCount, predictions } = await readSubmission(`${folder}/${name}.txt`, labelSet);
    const track: TrackPredictions = new Map();
    for (let i = 0; i < frameCount; i++) {
      const values = Array.from(predictions.subarray(i * width, (i + 1) * width));
      if (!values.includes(UNLABELLED)) track.set(i + 1, values);
    }
    tracks.set(name, track);
  }
  return tracks;
}

/** Reads a row's prediction; undefined where it has none. */
type RowReader = (record: CsvRecord, fail: (message: string) => UserError) => readonly number[] | undefined;

/** A column's number; undefined where it is empty. */
function numberIn(record: CsvRecord, name: string, fail: (message: string) => UserError): number | undefined {
  const text = record.get(name)!;
  if (text === "") return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw fail(`${name} is ${JSON.stringify(text)}; expected a number`);
  return value;
}

function numbersOf(names: readonly string[]): (...args: Parameters<RowReader>) => number[] | undefined {
  return (record, fail) => {
    const values = names.map((name) => numberIn(record, name, fail));
    const given = values.filter((value) => value !== undefined);
    if (given.length === 0) return undefined;
    if (given.length < names.length) {
      throw fail(`some of ${names.join(", ")} are empty; expected all or none`);
    }
    return given;
  };
}

/** How a table with these columns says what it predicts. */
function rowReader(columns: readonly string[], labelSet: LabelSet): RowReader | undefined {
  const has = (names: readonly string[]) => names.every((name) => columns.includes(name));
  if (labelSet === "action_units") {
    const units = numbersOf(ACTION_UNITS);
    return has(ACTION_UNITS)
      ? (record, fail) => units(record, fail)?.map((p) => p > UNIT_THRESHOLD ? 1 : 0)
      : undefined;
  }
  if (has(EXPRESSIONS)) {
    const probabilities = numbersOf(EXPRESSIONS);
    return (record, fail) => {
      const values = probabilities(record, fail);
      return values && [argmaxRows(values, EXPRESSIONS.length)[0]];
    };
  }
  if (!has(["expression"])) return undefined;
  return (record, fail) => {
    const name = record.get("expression")!;
    if (name === "") return undefined;
    const number = EXPRESSIONS.findIndex((expression, i) => expression === name || String(i) === name);
    if (number >= 0) return [number];
    const meant = nearest(name, EXPRESSIONS);
    throw fail(
      `expression is ${JSON.stringify(name)}; expected one of ${EXPRESSIONS.join(", ")}, or 0 to 6` +
        (meant === undefined ? "" : `; did you mean ${meant}?`),
    );
  };
}

async function readTable(
  path: string,
  names: ReadonlySet<string>,
  labelSet: LabelSet,
): Promise<Map<string, TrackPredictions>> {
  const tracks = new Map<string, TrackPredictions>();
  const inputs = new Map<string, TrackPredictions>();
  const areas = new Map<string, Map<number, number>>();
  let read: RowReader | undefined;
  for await (const { line, record } of readCsv(path, ["track", "frame"])) {
    const fail = (message: string) => new UserError(`Cannot read ${path}, line ${line}: ${message}`);
    read ??= rowReader([...record.keys()], labelSet);
    if (read === undefined) {
      const wanted = labelSet === "expression"
        ? `${EXPRESSIONS.join(", ")} or expression`
        : ACTION_UNITS.join(", ");
      throw new UserError(`Cannot score ${path}: expected the columns ${wanted}`);
    }
    const frame = numberIn(record, "frame", fail);
    if (!Number.isInteger(frame) || frame! < 1) throw fail("frame is no whole number from 1 on");
    const prediction = read(record, fail);
    if (prediction === undefined) continue;
    const [track, input] = [record.get("track")!, record.get("input") ?? ""];
    if (names.has(track)) {
      if (put(tracks, track, frame!, prediction)) throw fail(`frame ${frame} of ${track} was there before`);
    } else if (names.has(input)) {
      const area = Number(record.get("width") ?? 0) * Number(record.get("height") ?? 0);
      const known = areas.get(input) ?? new Map<number, number>();
      areas.set(input, known);
      if (area < (known.get(frame!) ?? 0)) continue;
      known.set(frame!, area);
      put(inputs, input, frame!, prediction);
    }
  }
  return new Map([...inputs, ...tracks]);
}

/** True if there was one before. */
function put(
  tracks: Map<string, TrackPredictions>,
  name: string,
  frame: number,
  prediction: readonly number[],
): boolean {
  const track = tracks.get(name) ?? new Map<number, readonly number[]>();
  tracks.set(name, track);
  const before = track.has(frame);
  track.set(frame, prediction);
  return before;
}

/** The frame nearest to one; of two the earlier. */
function nearestFrame(sorted: readonly number[], frame: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < frame) low = middle + 1;
    else high = middle;
  }
  const before = sorted[Math.max(0, low - 1)];
  return Math.abs(frame - before) <= Math.abs(sorted[low] - frame) ? before : sorted[low];
}

/**
 * Scores predictions on a dataset's annotated frames.
 *
 * @throws {UserError} if a frame has no prediction, unless the policy says what it gets
 */
export function scorePredictions(
  predictions: ReadonlyMap<string, TrackPredictions>,
  dataset: Dataset,
  policy: MissingPolicy,
): Scoring {
  const { labelWidth: width } = dataset;
  const truth: number[] = [];
  const given: number[] = [];
  const lacking: string[] = [];
  const labels = allLabels(dataset);
  let [row, missing] = [0, 0];
  for (const { name, frames } of dataset.tracks) {
    const track = predictions.get(name);
    const sorted = policy === "nearest" ? [...track?.keys() ?? []].sort((a, b) => a - b) : [];
    let without = 0;
    for (const frame of frames) {
      const own = track?.get(frame);
      if (own === undefined) without++;
      const prediction = own ?? (sorted.length > 0 ? track!.get(nearestFrame(sorted, frame)) : undefined);
      if (prediction !== undefined) {
        for (let i = 0; i < width; i++) truth.push(labels[row * width + i]);
        given.push(...prediction);
      }
      row++;
    }
    missing += without;
    if (without > 0 && (policy === "error" || (policy === "nearest" && sorted.length === 0))) {
      lacking.push(`${name} ${without} of ${frames.length}`);
    }
  }
  if (lacking.length > 0) {
    const shown = lacking.slice(0, 5).join(", ") +
      (lacking.length > 5 ? `, and ${lacking.length - 5} more` : "");
    throw new UserError(
      `Cannot score the predictions: annotated frames have none: ${shown}; expected one each, or --missing nearest ` +
        "or leave-out",
    );
  }
  const metrics = dataset.labelSet === "expression"
    ? expressionMetrics(truth, given)
    : actionUnitMetrics(truth, given);
  return { metrics, frames: row, missing };
}
