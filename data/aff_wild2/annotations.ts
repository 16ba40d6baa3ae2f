/**
 * Parses EXPR and AU annotation files straight from their bytes: line 1 is a header, line k + 1 labels frame k.
 *
 * @module
 */
import { ACTION_UNITS, EXPRESSIONS, type LabelSet, UNLABELLED } from "./types.ts";

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const SPACE = 32;
const COMMA = 44;
const MINUS = 45;
const ZERO = 48;

/** The header that a label set's files begin with. */
export function headerOf(labelSet: LabelSet): string {
  return (labelSet === "expression" ? EXPRESSIONS : ACTION_UNITS).join(",");
}

function checkHeader(line: string, labelSet: LabelSet, path: string): void {
  const given = line.replace(/^\uFEFF/, "").split(",").map((name) => name.trim().toLowerCase()).join(",");
  const wanted = headerOf(labelSet);
  if (given !== wanted.toLowerCase()) {
    throw new Error(`Cannot read ${path}: line 1 is "${line.slice(0, 120)}"; expected "${wanted}"`);
  }
}

/**
 * Parses one file.
 *
 * @param bytes the file
 * @param path named in errors
 * @returns [frames] labels 0..6, or [frames, 12] of 0/1; -1 where a frame is not annotated
 * @throws {Error} for another header; {RangeError} for a label outside its range or a line of another width
 */
export function parseAnnotations(bytes: Uint8Array, labelSet: LabelSet, path: string): Int8Array {
  const width = labelSet === "expression" ? 1 : ACTION_UNITS.length;
  const highest = labelSet === "expression" ? EXPRESSIONS.length - 1 : 1;
  let position = bytes.indexOf(LINE_FEED);
  if (position < 0) position = bytes.length;
  checkHeader(new TextDecoder().decode(bytes.subarray(0, position)).trimEnd(), labelSet, path);
  position++;

  const values = new Int8Array(Math.ceil((bytes.length - position) / 2) + 1);
  let count = 0;
  let lineNumber = 1;
  while (position < bytes.length) {
    lineNumber++;
    let end = bytes.indexOf(LINE_FEED, position);
    if (end < 0) end = bytes.length;
    let last = end;
    while (last > position && (bytes[last - 1] === CARRIAGE_RETURN || bytes[last - 1] === SPACE)) last--;
    if (last > position) {
      const parsed = parseLine(bytes, position, last, highest, values, count);
      if (parsed !== width) throw badLine(bytes, position, last, lineNumber, labelSet, path);
      count += width;
    } else if (hasMoreText(bytes, end)) {
      throw badLine(bytes, position, last, lineNumber, labelSet, path);
    }
    position = end + 1;
  }
  return values.slice(0, count);
}

/** Writes the line's values at `values[at..]` and returns how many there were; -1 if one is out of range. */
function parseLine(
  bytes: Uint8Array,
  start: number,
  end: number,
  highest: number,
  values: Int8Array,
  at: number,
): number {
  let parsed = 0;
  let i = start;
  for (;;) {
    while (i < end && bytes[i] === SPACE) i++;
    const negative = bytes[i] === MINUS;
    if (negative) i++;
    const digit = i < end ? bytes[i] - ZERO : -1;
    if (digit < 0 || digit > 9) return -1;
    const value = negative ? -digit : digit;
    if (value > highest || value < UNLABELLED || (negative && digit === 0)) return -1;
    values[at + parsed++] = value;
    i++;
    while (i < end && bytes[i] === SPACE) i++;
    if (i >= end) return parsed;
    if (bytes[i++] !== COMMA) return -1;
  }
}

function hasMoreText(bytes: Uint8Array, from: number): boolean {
  for (let i = from; i < bytes.length; i++) {
    if (bytes[i] !== LINE_FEED && bytes[i] !== CARRIAGE_RETURN && bytes[i] !== SPACE) return true;
  }
  return false;
}

function badLine(
  bytes: Uint8Array,
  start: number,
  end: number,
  lineNumber: number,
  labelSet: LabelSet,
  path: string,
): RangeError {
  const text = new TextDecoder().decode(bytes.subarray(start, Math.min(end, start + 60)));
  const wanted = labelSet === "expression"
    ? "one integer from 0 to 6, or -1"
    : "twelve comma-separated values of 0, 1 or -1";
  return new RangeError(`Cannot read ${path}: line ${lineNumber} is "${text}"; expected ${wanted}`);
}
