/**
 * The annotation text files: line 1 is a header, line k + 1 labels frame k. Parsed from bytes into typed
 * arrays.
 *
 * @module
 */
import { ACTION_UNITS, EXPRESSIONS, type LabelSet, UNLABELLED } from "./types.ts";

/** What a label set's text files look like. */
export interface LabelFormat {
  /** the column names of the header line */
  readonly columns: readonly string[];
  /** values a line */
  readonly width: 1 | 12;
  /** largest value; the smallest is -1, not annotated */
  readonly largest: number;
}

/** The text format of each label set. */
export const LABEL_FORMATS: Readonly<Record<LabelSet, LabelFormat>> = {
  expression: { columns: EXPRESSIONS, width: 1, largest: EXPRESSIONS.length - 1 },
  action_units: { columns: ACTION_UNITS, width: 12, largest: 1 },
};

/** The labels of one file. */
export interface Annotations {
  /** label lines = frames of the video */
  readonly count: number;
  /** [count] or, for action units, [count, 12]; -1 is not annotated */
  readonly labels: Int8Array;
}

const NEWLINE = 10;
const COMMA = 44;
const MINUS = 45;
const ZERO = 48;

/** Space, tab or carriage return. */
function isBlank(byte: number): boolean {
  return byte === 32 || byte === 9 || byte === 13;
}

/** Characters of a file that an error quotes. */
const MOST_QUOTED = 200;

/** A text as errors quote it. */
function quoted(text: string): string {
  const trimmed = text.trim();
  return trimmed.length > MOST_QUOTED ? `"${trimmed.slice(0, MOST_QUOTED)}..."` : `"${trimmed}"`;
}

/** Checks the header line; blanks around a name are forgiven. */
function checkHeader(text: string, labelSet: LabelSet, file: string): void {
  const { columns } = LABEL_FORMATS[labelSet];
  const wanted = columns.join(",");
  const given = text.split(",").map((name) => name.trim()).join(",");
  if (given === wanted) return;
  const hint = given === `${EXPRESSIONS.join(",")},Other` ? " (the class Other is of 2022 or later)" : "";
  throw new Error(
    `Cannot read annotations ${file}: expected the header "${wanted}" but line 1 is ${quoted(text)}${hint}`,
  );
}

/**
 * Parses label lines until the first one that is not well-formed.
 *
 * @param labels [lines * width], filled
 * @returns how many lines are well-formed
 */
function parseLines(
  bytes: Uint8Array,
  start: number,
  end: number,
  format: LabelFormat,
  labels: Int8Array,
): number {
  const { width, largest } = format;
  let at = start;
  let line = 0;
  for (; at < end; line++) {
    for (let column = 0; column < width; column++) {
      while (at < end && isBlank(bytes[at])) at++;
      const negative = at < end && bytes[at] === MINUS;
      if (negative) at++;
      const firstDigit = at;
      let value = 0;
      for (; at < end; at++) {
        const digit = bytes[at] - ZERO;
        if (digit < 0 || digit > 9) break;
        value = value * 10 + digit;
      }
      if (at === firstDigit || value > (negative ? 1 : largest)) return line;
      while (at < end && isBlank(bytes[at])) at++;
      const last = column === width - 1;
      if (last ? at < end && bytes[at] !== NEWLINE : at >= end || bytes[at] !== COMMA) return line;
      at++;
      labels[line * width + column] = negative ? -value : value;
    }
  }
  return line;
}

/** The error for a line that {@linkcode parseLines} refused; `line` counts from 1, the header included. */
function badLine(text: string, line: number, labelSet: LabelSet, file: string): Error {
  const { columns, width, largest } = LABEL_FORMATS[labelSet];
  const where = `Cannot read annotations ${file}, line ${line}`;
  if (text.trim() === "") {
    return new Error(`${where}: expected the label of frame ${line - 1} but it is empty`);
  }
  const values = text.split(",").map((value) => value.trim());
  if (values.length !== width) {
    const wanted = width === 1 ? "one value" : `${width} comma-separated values`;
    return new Error(`${where}: expected ${wanted} but got ${values.length}: ${quoted(text)}`);
  }
  const range = `${UNLABELLED} (not annotated) to ${largest}`;
  for (let column = 0; column < width; column++) {
    const value = values[column];
    const of = width === 1 ? "the label" : columns[column];
    if (!/^-?\d+$/.test(value)) {
      return new Error(`${where}: expected ${of} to be a whole number, ${range}, but got ${quoted(value)}`);
    }
    if (Number(value) < UNLABELLED || Number(value) > largest) {
      return new RangeError(
        `${where}: expected ${of} to be in ${range} but got ${value.slice(0, MOST_QUOTED)}`,
      );
    }
  }
  return new Error(`${where}: expected labels in ${range} but got ${quoted(text)}`);
}

/** Where the 0-based line begins, counting newlines from `start`. */
function lineStart(bytes: Uint8Array, start: number, line: number): number {
  let at = start;
  for (let i = 0; i < line; i++) at = bytes.indexOf(NEWLINE, at) + 1;
  return at;
}

/**
 * Parses one annotation file. Forgiven: blanks around names and values, CRLF, a byte order mark, blank lines
 * at the end.
 *
 * @param bytes the file's content
 * @param file its path, for messages
 * @throws {RangeError} if a label is outside its range: the message has file, line, value and range
 * @throws {Error} if the header has other names or another order, or a line is not well-formed
 */
export function parseAnnotations(bytes: Uint8Array, labelSet: LabelSet, file: string): Annotations {
  const format = LABEL_FORMATS[labelSet];
  const text = new TextDecoder();
  const newline = bytes.indexOf(NEWLINE);
  const headerEnd = newline < 0 ? bytes.length : newline;
  checkHeader(text.decode(bytes.subarray(0, headerEnd)), labelSet, file);

  const start = Math.min(headerEnd + 1, bytes.length);
  let end = bytes.length;
  while (end > start && (isBlank(bytes[end - 1]) || bytes[end - 1] === NEWLINE)) end--;
  let count = end > start ? 1 : 0;
  for (let i = start; i < end; i++) if (bytes[i] === NEWLINE) count++;

  const labels = new Int8Array(count * format.width);
  const good = parseLines(bytes, start, end, format, labels);
  if (good < count) {
    const from = lineStart(bytes, start, good);
    const to = bytes.indexOf(NEWLINE, from);
    const line = text.decode(bytes.subarray(from, to < 0 ? bytes.length : to));
    throw badLine(line, good + 2, labelSet, file);
  }
  return { count, labels };
}

/**
 * The text of an annotation file, header included, lines ended by `\n`.
 *
 * @param labels [frames] or [frames, 12], values as {@linkcode parseAnnotations} returns them
 * @throws {RangeError} if the length is no multiple of the label width or a value is outside its range
 */
export function formatAnnotations(labels: ArrayLike<number>, labelSet: LabelSet): string {
  const { columns, width, largest } = LABEL_FORMATS[labelSet];
  if (labels.length % width !== 0) {
    throw new RangeError(
      `Cannot write annotations: expected a multiple of ${width} values but got ${labels.length}`,
    );
  }
  const lines = [columns.join(",")];
  for (let at = 0; at < labels.length; at += width) {
    const values: number[] = [];
    for (let column = 0; column < width; column++) {
      const value = labels[at + column];
      if (!Number.isInteger(value) || value < UNLABELLED || value > largest) {
        throw new RangeError(
          `Cannot write annotations: expected the label of frame ${at / width + 1} to be in ` +
            `${UNLABELLED} to ${largest} but got ${value}`,
        );
      }
      values.push(value);
    }
    lines.push(values.join(","));
  }
  return lines.join("\n") + "\n";
}
