/**
 * The rows as CSV: `input, frame, time, track, face, x, y, width, height, score`, a column per expression and
 * `expression`, the most probable one, a column per action unit. Frames count from 1, times are seconds, boxes pixels;
 * what a row has nothing of is empty.
 *
 * @module
 */
import { ACTION_UNITS, EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import { argmaxRows } from "../../models/metrics.ts";
import { UserError } from "../run/cli.ts";
import type { Row } from "./frames.ts";

/** Which probabilities rows have. */
export interface Outputs {
  readonly expressions: boolean;
  readonly units: boolean;
}

const PLACE_COLUMNS = ["input", "frame", "time", "track", "face", "x", "y", "width", "height", "score"];

/** The names of the columns. */
export function csvColumns({ expressions, units }: Outputs): string[] {
  return [
    ...PLACE_COLUMNS,
    ...(expressions ? [...EXPRESSIONS, "expression"] : []),
    ...(units ? ACTION_UNITS : []),
  ];
}

function quote(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The most probable expression of a row's values. */
export function expressionOf(values: Float32Array): number {
  return argmaxRows(values.subarray(0, EXPRESSIONS.length), EXPRESSIONS.length)[0];
}

/** A line of the table, without its end. */
export function csvLine(row: Row, { expressions, units }: Outputs): string {
  const { input, frame, time, track, state, box, score, values } = row;
  const pixels = box === undefined
    ? ["", "", "", ""]
    : [box.x, box.y, box.width, box.height].map((v) => v.toFixed(1));
  const fields = [quote(input), String(frame), time?.toFixed(4) ?? "", quote(track ?? ""), state, ...pixels];
  fields.push(score?.toFixed(4) ?? "");
  const split = expressions ? EXPRESSIONS.length : 0;
  const fixed = (from: number, count: number) =>
    values === undefined
      ? new Array<string>(count).fill("")
      : Array.from(values.subarray(from, from + count), (p) => p.toFixed(6));
  if (expressions) {
    fields.push(...fixed(0, split), values === undefined ? "" : EXPRESSIONS[expressionOf(values)]);
  }
  if (units) fields.push(...fixed(split, ACTION_UNITS.length));
  return fields.join(",");
}

/** Splits a line of CSV; quoted fields may hold commas and doubled quotes, but no line break. */
export function splitCsvLine(line: string): string[] {
  if (!line.includes('"')) return line.split(",");
  const fields: string[] = [];
  const pattern = /(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/y;
  do {
    const match = pattern.exec(line);
    if (match === null) throw new Error(`its quotes do not match: ${line}`);
    fields.push(match[1]?.replaceAll('""', '"') ?? match[2]);
  } while (pattern.lastIndex < line.length);
  if (line.endsWith(",")) fields.push("");
  return fields;
}

/** A line by the names of its columns. */
export type CsvRecord = ReadonlyMap<string, string>;

/**
 * Reads a table line by line, never more than a piece of the file in memory.
 *
 * @param wanted columns that must be there
 * @throws {UserError} if the file cannot be read, lacks a column, or a line has another number of fields
 */
export async function* readCsv(
  path: string,
  wanted: readonly string[],
): AsyncGenerator<{ line: number; record: CsvRecord }, void, void> {
  let columns: string[] | undefined;
  let number = 0;
  for await (const text of lines(path)) {
    number++;
    const fields = splitCsvLine(text);
    if (columns === undefined) {
      columns = fields.map((name) => name.trim());
      const missing = wanted.filter((name) => !columns!.includes(name));
      if (missing.length > 0) {
        throw new UserError(
          `Cannot read ${path}: line 1 names ${text}; expected the columns ${wanted.join(", ")}`,
        );
      }
      continue;
    }
    if (text === "") continue;
    if (fields.length !== columns.length) {
      throw new UserError(
        `Cannot read ${path}, line ${number}: it has ${fields.length} fields; expected ${columns.length}`,
      );
    }
    yield { line: number, record: new Map(columns.map((name, i) => [name, fields[i].trim()])) };
  }
  if (columns === undefined) {
    throw new UserError(`Cannot read ${path}: it is empty; expected a line with the columns' names`);
  }
}

async function* lines(path: string): AsyncGenerator<string, void, void> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    throw new UserError(`Cannot read ${path}: ${(error as Error).message}; expected a CSV file`);
  }
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of file.readable) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/);
    rest = parts.pop()!;
    yield* parts;
  }
  if (rest !== "") yield rest;
}
