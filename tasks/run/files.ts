/**
 * Files that appear whole or not at all.
 *
 * @module
 */

/** Writes a text to a temporary file, flushes it and renames it; what was there before stays until then. */
export async function writeTextAtomic(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  {
    using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    const bytes = new TextEncoder().encode(text);
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
    await file.sync();
  }
  await Deno.rename(temporary, path);
}
