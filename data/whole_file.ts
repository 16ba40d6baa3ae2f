/**
 * Files that appear whole or not at all: written to a temporary name beside them, flushed to the disk, renamed. The
 * name is new each time, so that neither another writer of the file nor a file that happens to have it is in the way.
 * A process that is killed while it writes leaves its `FILE.<process>-<random>.tmp` behind, which nothing reads: it can
 * be deleted.
 *
 * @module
 */

/** A name beside a file's, which no file has yet. */
export function temporaryName(path: string): string {
  const random = crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
  return `${path}.${Deno.pid}-${random}.tmp`;
}

/**
 * Writes a file in parts.
 *
 * @param write gives the parts to `put`, one after the other
 * @throws whatever `write` throws or the file system reports; a file that was there before stays as it was
 */
export async function writeWhole(
  path: string,
  write: (put: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const temporary = temporaryName(path);
  const file = await Deno.open(temporary, { write: true, createNew: true });
  try {
    try {
      await write(async (bytes) => {
        for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
      });
      await file.sync();
    } finally {
      file.close();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {}); // the first error is the one to report
    throw error;
  }
}
