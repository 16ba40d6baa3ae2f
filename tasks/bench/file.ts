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
import type { Change } from "./compare.ts";

/** A case of the file. */
export interface FileResult extends BenchResult {
  /** against the run of `compared_with` */
  readonly change?: Change;
}

/** The content of the file. */
export interface BenchFile {
  readonly adapter: AdapterRecord;
  readonly peak_gflops: number;
  readonly bandwidth_gbs: number;
  readonly versions?: { readonly deno: string; readonly tfjs: string };
  /** when it began, in ISO 8601 */
  readonly date?: string;
  /** false while cases are missing */
  readonly finished?: boolean;
  readonly compared_with?: { readonly file: string; readonly date: string | null };
  readonly results: readonly FileResult[];
}

/** What is read of the run that a bench is compared with. */
const oldSchema = z.object({
  adapter: z.object({ description: z.string() }),
  versions: z.object({ deno: z.string(), tfjs: z.string() }).optional(),
  date: z.string().optional(),
  results: z.array(z.object({
    op: z.string(),
    case: z.string(),
    ours_ms: z.number().positive(),
    samples: z.object({
      ours: z.array(z.number().nonnegative()).min(1).readonly(),
      stock: z.array(z.number().nonnegative()).min(1).readonly(),
    }).refine(({ ours, stock }) => ours.length === stock.length, "ours and stock differ in length"),
  })),
});

/** An earlier run. */
export type OldBench = z.infer<typeof oldSchema>;

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
 * Reads an earlier run.
 *
 * @throws {UserError} if there is none, or it is not what bench writes
 */
export async function readOldBench(path: string): Promise<OldBench> {
  const fail = (why: string) =>
    new UserError(
      `Cannot compare with ${path}: ${why}; expected a file of deno task bench --json`,
    );
  let content: unknown;
  try {
    content = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw fail("there is no such file");
    throw fail((error as Error).message);
  }
  const read = oldSchema.safeParse(content);
  if (read.success) return read.data;
  const [{ path: where, message }] = read.error.issues;
  throw fail(`${where.join(".") || "the file"}: ${message}`);
}

/**
 * Makes sure that two runs can be compared.
 *
 * @throws {UserError} if they are of different adapters
 */
export function requireSameAdapter(path: string, old: OldBench, adapter: AdapterRecord): void {
  if (old.adapter.description === adapter.description) return;
  throw new UserError(
    `Cannot compare with ${path}: it was measured on ${old.adapter.description}, and this is ${adapter.description}; ` +
      `expected a file of this adapter, or --other-adapter`,
  );
}
