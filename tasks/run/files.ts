/**
 * Files that appear whole or not at all.
 *
 * @module
 */
import { basename, dirname, join, resolve } from "node:path";
import { writeWhole } from "../../data/whole_file.ts";
import { UserError } from "./cli.ts";

/**
 * Writes bytes; what was there before stays until all of them are on the disk.
 *
 * @throws {UserError} if that fails: what was there before is kept, and nothing lies beside it
 */
export async function writeBytesAtomic(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeWhole(path, (put) => put(bytes));
  } catch (error) {
    throw new UserError(
      `Cannot write ${path}: ${(error as Error).message}; what was there before, if anything, is kept`,
    );
  }
}

/** Writes a text as {@link writeBytesAtomic} does. */
export async function writeTextAtomic(path: string, text: string): Promise<void> {
  await writeBytesAtomic(path, new TextEncoder().encode(text));
}

/**
 * Makes the folder of a file and proves that the file can be written, before hours of training.
 *
 * @throws {UserError} if it cannot, or the path is a folder's
 */
export async function requireWritable(path: string): Promise<void> {
  if (/[\\/]$/.test(path)) {
    throw new UserError(`Cannot write to ${path}: it ends as a folder; expected a file's path`);
  }
  const there = await Deno.stat(path).catch(() => undefined); // what is wrong with the folder shows below
  if (there?.isDirectory) {
    throw new UserError(`Cannot write to ${path}: it is a folder; expected a file's path`);
  }
  await requireWritableFolder(dirname(path));
}

/**
 * Makes a folder and proves that files can be written into it.
 *
 * @throws {UserError} if they cannot
 */
export async function requireWritableFolder(folder: string): Promise<void> {
  const probe = join(folder, `.write-probe-${Deno.pid}.tmp`);
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(probe, "");
    await Deno.remove(probe);
  } catch (error) {
    throw new UserError(
      `Cannot write to ${folder}: ${(error as Error).message}; expected a folder that can be written`,
    );
  }
}

/** Whether there is a file or folder. */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Whether two paths are of one file, which need not be there yet. */
export async function isSameFile(a: string, b: string): Promise<boolean> {
  return await realPath(resolve(a)) === await realPath(resolve(b));
}

/** Links are followed as far as there is something. */
async function realPath(path: string): Promise<string> {
  try {
    return await Deno.realPath(path);
  } catch {
    const folder = dirname(path);
    return folder === path ? path : join(await realPath(folder), basename(path));
  }
}
