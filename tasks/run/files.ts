/**
 * Files that appear whole or not at all.
 *
 * @module
 */
import { UserError } from "./cli.ts";

/** Writes bytes to a temporary file, flushes it and renames it; what was there before stays until then. */
export async function writeBytesAtomic(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`;
  {
    using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
    await file.sync();
  }
  await Deno.rename(temporary, path);
}

/** Writes a text as {@link writeBytesAtomic} does. */
export async function writeTextAtomic(path: string, text: string): Promise<void> {
  await writeBytesAtomic(path, new TextEncoder().encode(text));
}

/**
 * Makes the folder of a file and proves that it can be written, before hours of training.
 *
 * @throws {UserError} if it cannot be written
 */
export async function requireWritable(path: string): Promise<void> {
  const folder = path.replace(/\/[^/]*$/, "") || ".";
  const probe = `${folder}/.write-probe-${Deno.pid}.tmp`;
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
