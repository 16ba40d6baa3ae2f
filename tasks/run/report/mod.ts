/**
 * A report of any file that a task wrote.
 *
 * @module
 */
import { benchContent } from "../../bench/file.ts";
import { UserError } from "../cli.ts";
import { parseContent, readContent } from "../content.ts";
import { renderBenchMarkdown } from "./bench_markdown.ts";
import { renderBenchReport } from "./bench_report.ts";
import type { Html } from "./html.ts";
import { profileSchema, renderProfileReport } from "./profile_report.ts";
import { readRunReport } from "./read_run.ts";
import { renderRunReport } from "./run_report.ts";
import { renderTablesReport, tablesSchema } from "./tables_report.ts";

/** Kinds of files that have a report. */
export type ReportKind = "run" | "tables" | "bench" | "profile";

/** What a file holds, by what it says of itself. */
function kindOf(content: unknown): ReportKind | undefined {
  if (typeof content !== "object" || content === null) return undefined;
  if ("format" in content && content.format === "fervid-record") return "run";
  if ("format" in content && content.format === "fervid-tables") return "tables";
  if ("parts" in content && "kernels" in content && "layers" in content) return "profile";
  if (isKernelProfile(content)) return undefined;
  if ("results" in content && Array.isArray(content.results) && "bandwidth_gbs" in content) return "bench";
  return undefined;
}

/** Of `profile --kernel`, with and without `--wgsl`: a bench has its Deno in `versions`. */
function isKernelProfile(content: object): boolean {
  return "results" in content && ("kernel" in content || "edited_ms" in content);
}

const read = (path: string) =>
  readContent({ path, action: "report", expected: "a JSON file that a task wrote" });

/**
 * Renders a bench's file as Markdown.
 *
 * @throws {UserError} if it cannot be read, or is of another task
 */
export async function renderFileAsMarkdown(path: string): Promise<{ kind: ReportKind; text: string }> {
  const content = await read(path);
  const kind = kindOf(content);
  if (kind === "bench") return { kind, text: renderBenchMarkdown(benchContent(content, path, "report")) };
  throw new UserError(
    `Cannot report ${path} as Markdown; expected the JSON of bench, or an --out that is .html`,
  );
}

/**
 * Renders a file.
 *
 * @throws {UserError} if it cannot be read, is none of those that have a report, or lacks what its report shows
 */
export async function renderFile(path: string): Promise<{ kind: ReportKind; html: Html }> {
  const content = await read(path);
  const kind = kindOf(content);
  const of = (expected: string) => ({ path, action: "report", expected });
  switch (kind) {
    case "run":
      return { kind, html: await renderRunReport(await readRunReport(path)) };
    case "tables":
      return {
        kind,
        html: renderTablesReport(parseContent(tablesSchema, content, of("what reproduce wrote"))),
      };
    case "bench":
      return { kind, html: renderBenchReport(benchContent(content, path, "report")) };
    case "profile":
      return {
        kind,
        html: renderProfileReport(parseContent(profileSchema, content, of("what profile wrote"))),
      };
  }
  const known =
    "a record.json (train, demo, pretrain, replay), a tables.json (reproduce), the JSON of bench, or that " +
    "of a network's profile";
  const said = typeof content === "object" && content !== null && isKernelProfile(content)
    ? "it is the profile of one kernel, which has no report"
    : "it says of itself nothing that is known";
  throw new UserError(`Cannot report ${path}: ${said}; expected ${known}`);
}
