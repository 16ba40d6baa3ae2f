/** Runs something on a full disk: every write to an open file fails as it does there. */
export async function onFullDisk<T>(run: () => Promise<T>): Promise<T> {
  const { write } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.write = () => Promise.reject(new Error("No space left on device (os error 28)"));
  try {
    return await run();
  } finally {
    Deno.FsFile.prototype.write = write;
  }
}
