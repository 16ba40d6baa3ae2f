/**
 * Plain-text tables for terminals and logs.
 *
 * @module
 */
import type { PublishedRow } from "../../models/metrics.ts";

/** Columns padded to their widest cell; the first is aligned left, the others right. */
export function textTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((title, c) =>
    rows.reduce((most, row) => Math.max(most, row[c].length), title.length)
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, c) => c === 0 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])).join("  ").trimEnd();
  return [line(header), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)];
}

/** A row of our tables. */
export interface ResultRow {
  readonly name: string;
  readonly f1: number;
  readonly accuracy: number;
  readonly score: number;
}

/** Our rows with the paper's beside them; the paper's were measured on other data. */
export function comparisonTable(rows: readonly ResultRow[], published: readonly PublishedRow[]): string[] {
  const fixed = (value: number | undefined) => value === undefined ? "-" : value.toFixed(4);
  const cells = rows.map(({ name, f1, accuracy, score }) => {
    const paper = published.find((row) => row.name === name);
    return [
      name,
      fixed(f1),
      fixed(accuracy),
      fixed(score),
      fixed(paper?.f1),
      fixed(paper?.accuracy),
      fixed(paper?.score),
    ];
  });
  return textTable(["model", "F1", "accuracy", "score", "paper F1", "paper accuracy", "paper score"], cells);
}
