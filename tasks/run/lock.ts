/**
 * One run at a time in an output folder.
 *
 * @module
 */
import { join } from "node:path";
import { UserError } from "./cli.ts";

/**
 * Takes a folder for this run. The system drops the lock with its process, however that ends, so none is ever stale.
 *
 * @throws {UserError} if another run has it
 */
export async function lockFolder(folder: string): Promise<Disposable> {
  const path = join(folder, ".lock");
  while (true) {
    const file = await Deno.open(path, { read: true, write: true, create: true });
    if (!await file.tryLock(true)) {
      file.close();
      const pid = (await Deno.readTextFile(path).catch(() => "")).trim();
      throw new UserError(
        `Cannot start the run: another one${
          pid === "" ? "" : ` (process ${pid})`
        } writes to ${folder}; expected another --out, or that run to end first`,
      );
    }
    // The holder before may have removed the file between our open and our lock.
    const there = await Deno.stat(path).catch(() => undefined);
    if (there?.ino !== (await file.stat()).ino) {
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
