/**
 * The two things the reader asks of a disk, as an interface, so that a test or another store can stand in for
 * it; and the one place that turns a failed access into a message.
 *
 * @module
 */

/** Access to folders and files. Errors are Deno's own (`Deno.errors.NotFound`, ...). */
export interface Files {
  /** The names in a folder, in any order. */
  list(folder: string): Promise<readonly string[]>;
  /** The bytes of a file. */
  read(file: string): Promise<Uint8Array>;
}

/** Bytes beyond which a file is not even read; the set's largest one has a million. */
const MAX_TEXT_BYTES = 1 << 28;

/** The local disk. */
export const diskFiles: Files = {
  // Synchronous inside: 0.8 us an entry against 3 us for the asynchronous iterator, and one folder holds
  // some 5000 entries, so the event loop waits for milliseconds only.
  // deno-lint-ignore require-await
  async list(folder) {
    const names: string[] = [];
    for (const entry of Deno.readDirSync(folder)) names.push(entry.name);
    return names;
  },
  async read(file) {
    const { isFile, isDirectory, size } = Deno.statSync(file); // 4 us; 45 us as a promise
    if (!isFile && !isDirectory) throw new Error("it is no file"); // reading from a pipe would wait for ever
    if (size > MAX_TEXT_BYTES) throw new Error(`it has ${size} bytes, more than ${MAX_TEXT_BYTES}`);
    return await Deno.readFile(file);
  },
};

/** Why an access failed, in words. */
export function reasonOf(error: unknown, path: string): string {
  if (error instanceof Deno.errors.NotFound) return "it does not exist";
  if (error instanceof Deno.errors.NotADirectory) return "it is not a folder";
  if (error instanceof Deno.errors.IsADirectory) return "it is a folder, not a file";
  if (error instanceof Deno.errors.NotCapable) {
    return `Deno was started without permission to read it (--allow-read=${path})`;
  }
  if (error instanceof Deno.errors.PermissionDenied) return "its permissions do not let this user read it";
  return error instanceof Error ? error.message : String(error);
}

/**
 * The names in a folder, sorted by code unit.
 *
 * @param what what the folder is, e.g. `the data folder`, for the message
 * @throws {Error} if the folder cannot be listed: the message names it and says why
 */
export async function listFolder(files: Files, folder: string, what: string): Promise<string[]> {
  try {
    return [...await files.list(folder)].sort();
  } catch (error) {
    throw new Error(`Cannot read ${what} ${folder}: ${reasonOf(error, folder)}`, { cause: error });
  }
}

/**
 * The names in a folder as {@linkcode listFolder} gives them, or `undefined` if there is no folder there.
 *
 * @throws {Error} if there is one and it cannot be listed
 */
export async function listFolderIfThere(
  files: Files,
  folder: string,
  what: string,
): Promise<string[] | undefined> {
  try {
    return await listFolder(files, folder, what);
  } catch (error) {
    const cause = (error as Error).cause;
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

/**
 * The bytes of a file.
 *
 * @param what what the file is, e.g. `the annotations`, for the message
 * @throws {Error} if it cannot be read: the message names it and says why
 */
export async function readBytes(files: Files, file: string, what: string): Promise<Uint8Array> {
  try {
    return await files.read(file);
  } catch (error) {
    throw new Error(`Cannot read ${what} ${file}: ${reasonOf(error, file)}`, { cause: error });
  }
}
