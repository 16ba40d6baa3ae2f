/**
 * JSON files that one task wrote and another reads.
 *
 * @module
 */
import type { z } from "zod";
import { UserError } from "./cli.ts";

/** What the messages say of a file. */
export interface ContentOf {
  readonly path: string;
  /** what is done with it: `report`, `compare with` */
  readonly action: string;
  readonly expected: string;
}

function refusal({ path, action, expected }: ContentOf, why: string): UserError {
  return new UserError(`Cannot ${action} ${path}: ${why}; expected ${expected}`);
}

/** @throws {UserError} if there is no such file, or it is no JSON */
export async function readContent(of: ContentOf): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(of.path));
  } catch (error) {
    throw refusal(
      of,
      error instanceof Deno.errors.NotFound ? "there is no such file" : (error as Error).message,
    );
  }
}

/** @throws {UserError} that names the first wrong place, if the content is not what the schema says */
export function parseContent<T>(schema: z.ZodType<T>, content: unknown, of: ContentOf): T {
  const read = schema.safeParse(content);
  if (read.success) return read.data;
  const [{ path: where, message }] = read.error.issues;
  throw refusal(of, `${where.join(".") || "the file"}: ${message}`);
}
