/**
 * Tuned variants: reading the file that `deno task tune` writes, and using it where a task is told to.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { AdapterRecord } from "../../kernels/runtime/device.ts";
import { useChoices } from "../../kernels/runtime/tuner.ts";
import { TUNE_CASES } from "../tune/cases.ts";
import { type Context, UserError } from "./cli.ts";
import { noteVariants } from "./computed_by.ts";

/**
 * The file's content; undefined if there is no such file.
 *
 * @throws {UserError} if it cannot be read, or is no JSON
 */
export async function readChoices(path: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new UserError(
      `Cannot read ${path}: ${(error as Error).message}; expected a file of deno task tune`,
    );
  }
}

/** What the tuner says against a file's content, with the file's name and what to do about it. */
export function refusedChoices(path: string, error: unknown, advice: string): unknown {
  if (!(error instanceof TypeError || error instanceof RangeError)) return error;
  return new UserError(`Cannot use ${path}: ${error.message.replace(/^Cannot use /, "")}; ${advice}`);
}

/**
 * Uses a file's variants, or the shipped defaults if none is given, and says which.
 *
 * @returns `shipped`, or the file and its SHA-256, for the record
 * @throws {UserError} if there is no such file, it cannot be read, or it is of another adapter
 */
export async function applyChoices(
  path: string | undefined,
  adapter: AdapterRecord,
  context: Context,
): Promise<string> {
  const used = await useFile(path, adapter, context);
  noteVariants(used);
  return used;
}

async function useFile(
  path: string | undefined,
  adapter: AdapterRecord,
  context: Context,
): Promise<string> {
  if (path === undefined) {
    context.log("variants: the shipped defaults");
    return "shipped";
  }
  const file = await readChoices(path);
  if (file === undefined) {
    throw new UserError(`Cannot use ${path}: there is no such file; run deno task tune`);
  }
  const { used, stale } = await useChoices(file, adapter, TUNE_CASES).catch((error) => {
    throw refusedChoices(path, error, "run deno task tune");
  });
  const left = stale === 0 ? "" : `; ${stale} of other shaders are not used: run deno task tune`;
  context.log(`variants: ${used} tuned ones of ${path}, the shipped defaults elsewhere${left}`);
  return `${path} sha256:${createHash("sha256").update(JSON.stringify(file)).digest("hex")}`;
}
