/**
 * A report of any file that a task wrote.
 *
 * @module
 */
import type { BenchFile } from "../../bench/file.ts";
import { UserError } from "../cli.ts";
import { renderBenchMarkdown } from "./bench_markdown.ts";
import { renderBenchReport } from "./bench_report.ts";
import type { Html } from "./html.ts";
import { type ProfileFile, renderProfileReport } from "./profile_report.ts";
import { readRunReport } from "./read_run.ts";
import { renderRunReport } from "./run_report.ts";
import { renderTablesReport, type TablesFile } from "./tables_report.ts";

/** Kinds of files that have a report. */
export type ReportKind = "run" | "tables" | "bench" | "profile";

/** What a file holds, by what it says of itself. */
function kindOf(content: unknown): ReportKind | undefined {
  if (typeof content !== "object" || content === null) return undefined;
  if ("format" in content && content.format === "fervid-record") return "run";
  if ("format" in content && content.format === "fervid-tables") return "tables";
  if ("results" in content && "peak_gflops" in content) return "bench";
  if ("parts" in content && "kernels" in content && "layers" in content) return "profile";
  return undefined;
}

/** @throws {UserError} if the file cannot be read */
async function readContent(path: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    throw new UserError(
      `Cannot report ${path}: ${(error as Error).message}; expected a JSON file that a task wrote`,
    );
  }
}

/**
 * Renders a bench's file as Markdown.
 *
 * @throws {UserError} if it cannot be read, or is of another task
 */
export async function renderFileAsMarkdown(path: string): Promise<{ kind: ReportKind; text: string }> {
  const content = await readContent(path);
  const kind = kindOf(content);
  if (kind === "bench") return { kind, text: renderBenchMarkdown(content as BenchFile) };
  throw new UserError(
    `Cannot report ${path} as Markdown; expected the JSON of bench, or an --out that is .html`,
  );
}

/**
 * Renders a file.
 *
 * @throws {UserError} if it cannot be read, or is none of those that have a report
 */
export async function renderFile(path: string): Promise<{ kind: ReportKind; html: Html }> {
  const content = await readContent(path);
  const kind = kindOf(content);
  if (kind === "run") return { kind, html: await renderRunReport(await readRunReport(path)) };
  if (kind === "tables") return { kind, html: renderTablesReport(content as TablesFile) };
  if (kind === "bench") return { kind, html: renderBenchReport(content as BenchFile) };
  if (kind === "profile") return { kind, html: renderProfileReport(content as ProfileFile) };
  throw new UserError(
    `Cannot report ${path}: it says of itself nothing that is known; expected a record.json (train, demo, pretrain, replay), ` +
      `a tables.json (reproduce) the JSON of bench, or that of a network's profile`,
  );
}
