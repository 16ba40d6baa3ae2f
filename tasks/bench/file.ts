/**
 * The file that `deno task bench --json FILE` writes and `--compare FILE` reads.
 *
 * @module
 */
import tfjs from "@tensorflow/tfjs/package.json" with { type: "json" };
import { z } from "zod";
import type { BenchResult } from "../../kernels/runtime/bench_case.ts";
import type { AdapterRecord } from "../../kernels/runtime/device.ts";
import type { Peaks } from "../../kernels/runtime/peak.ts";
import { UserError } from "../run/cli.ts";
import { parseContent, readContent } from "../run/content.ts";

const EXPECTED = "a file of deno task bench --json";

const times = z.array(z.number().nonnegative()).min(1).readonly();
const bySide = z.object({ ours: z.number(), stock: z.number() });

/** What is read of a file, of this version or an earlier one. */
const benchSchema = z.object({
  adapter: z.object({ description: z.string(), software: z.boolean().optional() }),
  peak_gflops: z.number(),
  bandwidth_gbs: z.number(),
  versions: z.object({ deno: z.string(), tfjs: z.string() }).optional(),
  /** when it began, in ISO 8601 */
  date: z.string().optional(),
  /** false while cases are missing */
  finished: z.boolean().optional(),
  compared_with: z.object({ file: z.string(), date: z.string().nullable() }).optional(),
  results: z.array(z.object({
    op: z.string(),
    case: z.string(),
    ours_ms: z.number().positive(),
    stock_ms: z.number(),
    ratio: z.number(),
    gflops: z.number().nullable(),
    percent_of_roofline: z.number().nullable(),
    dispatches: bySide,
    samples: z.object({ ours: times, stock: times })
      .refine(({ ours, stock }) => ours.length === stock.length, "ours and stock differ in length"),
    /** against the run of `compared_with` */
    change: z.object({
      change: z.number(),
      noise: z.number(),
      verdict: z.enum(["regression", "gain", "same"]),
      old_ms: z.number(),
    }).optional(),
  })).min(1).readonly(),
});

/** The content of a file that was read. */
export type BenchContent = z.infer<typeof benchSchema>;

/** A case of the file. */
export type FileResult = BenchResult & Pick<BenchContent["results"][number], "change">;

/** The content of a file that is written. */
export type BenchFile = Omit<BenchContent, "adapter" | "results"> & {
  readonly adapter: AdapterRecord;
  readonly results: readonly FileResult[];
};

/** What the head of a new file says. */
export function fileHead(adapter: AdapterRecord, { gflops, bandwidth }: Peaks): Omit<BenchFile, "results"> {
  return {
    adapter,
    peak_gflops: gflops,
    bandwidth_gbs: bandwidth,
    versions: { deno: Deno.version.deno, tfjs: tfjs.version },
    date: new Date().toISOString(),
  };
}

/** The text of a file; samples have five digits. */
export function fileText(content: BenchFile): string {
  const short = (samples: readonly number[]) => samples.map((ms) => Number(ms.toPrecision(5)));
  const results = content.results.map((result) => ({
    ...result,
    samples: { ours: short(result.samples.ours), stock: short(result.samples.stock) },
  }));
  const text = JSON.stringify({ ...content, results }, null, 2);
  // A list of numbers on one line: a diff of two files is read case by case. No text has a line's end in it.
  return text.replace(/\[\n[-\d.e,\s]+\]/g, (list) => list.replace(/\s+/g, "").replaceAll(",", ", ")) + "\n";
}

/**
 * What bench wrote.
 *
 * @param action what is done with it, for the message
 * @throws {UserError} if it is not what bench writes
 */
export function benchContent(content: unknown, path: string, action: string): BenchContent {
  return parseContent(benchSchema, content, { path, action, expected: EXPECTED });
}

/**
 * Reads an earlier run.
 *
 * @throws {UserError} if there is none, or it is not what bench writes
 */
export async function readOldBench(path: string): Promise<BenchContent> {
  const action = "compare with";
  return benchContent(await readContent({ path, action, expected: EXPECTED }), path, action);
}

/**
 * Makes sure that two runs can be compared.
 *
 * @throws {UserError} if they are of different adapters
 */
export function requireSameAdapter(
  path: string,
  old: Pick<BenchContent, "adapter">,
  adapter: AdapterRecord,
): void {
  if (old.adapter.description === adapter.description) return;
  throw new UserError(
    `Cannot compare with ${path}: it was measured on ${old.adapter.description}, and this is ${adapter.description}; ` +
      `expected a file of this adapter, or --other-adapter`,
  );
}
