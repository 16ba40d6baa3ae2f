/**
 * One run at a time in an output folder, and temporary files that processes do not share. The system drops a lock with
 * its process, however that ends: none is ever stale.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import { temporaryName } from "../../data/whole_file.ts";
import { UserError } from "./cli.ts";

/**
 * Takes a folder for this run.
 *
 * @throws {UserError} if another run has it
 */
export async function lockFolder(folder: string): Promise<Disposable> {
  const path = join(folder, ".lock");
  while (true) {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    // A file system without locks is no reason not to train.
    if (!await file.tryLock(true).catch(() => true)) {
      file.close();
      const pid = (await Deno.readTextFile(path).catch(() => "")).trim();
      throw new UserError(
        `Cannot start the run: another one${
          pid === "" ? "" : ` (process ${pid})`
        } writes to ${folder}; expected another --out, or that run to end first`,
      );
    }
    if (!isAt(file, path)) { // the holder before removed it between our open and our lock
      file.close();
      continue;
    }
    await file.truncate();
    await file.write(new TextEncoder().encode(`${Deno.pid}\n`));
    return {
      [Symbol.dispose]() {
        try {
          Deno.removeSync(path);
        } catch {
          // somebody removed it, or the whole folder
        }
        file.close();
      },
    };
  }
}

/** Whether a path is still that of an open file. */
function isAt(file: Deno.FsFile, path: string): boolean {
  try {
    return Deno.statSync(path).ino === file.statSync().ino;
  } catch {
    return false;
  }
}

/** A new file that is to become the one at `path`, under a name of its own, locked; those of dead processes go. */
export function createTemporary(path: string): { readonly file: Deno.FsFile; readonly temporary: string } {
  removeAbandoned(path);
  while (true) {
    const temporary = temporaryName(path);
    const file = Deno.openSync(temporary, { write: true, createNew: true });
    try {
      file.lockSync(true);
    } catch {
      // a file system without locks: nobody removes it there
    }
    if (isAt(file, temporary)) return { file, temporary };
    file.close(); // somebody took it for abandoned before it was locked
  }
}

/** Removes the temporary files of a path whose processes were killed: they can be of many gigabytes. */
function removeAbandoned(path: string): void {
  const [folder, name] = [dirname(path), basename(path)];
  for (const entry of [...Deno.readDirSync(folder)]) {
    if (!entry.isFile || !entry.name.startsWith(`${name}.`) || !entry.name.endsWith(".tmp")) continue;
    try {
      using file = Deno.openSync(join(folder, entry.name), { write: true });
      if (file.tryLockSync(true)) Deno.removeSync(join(folder, entry.name));
    } catch {
      // gone by now, or of no use to know
    }
  }
}
