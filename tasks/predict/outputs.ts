/**
 * What is refused before anything is written: flags that would do nothing, outputs in place of inputs or of each other.
 *
 * @module
 */
import { UserError } from "../run/cli.ts";
import { isSameFile } from "../run/files.ts";
import { type Clip, PIPE } from "./clips.ts";

/**
 * Outputs must be files of their own.
 *
 * @param outputs paths by flag; undefined where nothing is written
 * @param read other files that are read
 * @throws {UserError} if one of them is an input, or the same file as another one
 */
export async function requireOwnOutputs(
  outputs: Readonly<Record<string, string | undefined>>,
  clips: readonly Clip[],
  read: readonly string[] = [],
): Promise<void> {
  const sources = clips.flatMap((clip) =>
    clip.kind === "crops" || typeof clip.source !== "string" ? [] : clip.source
  );
  const taken: string[] = [];
  for (const [flag, path] of Object.entries(outputs)) {
    if (path === undefined) continue;
    for (const other of [...sources, ...read]) {
      if (await isSameFile(path, other)) {
        throw new UserError(`Cannot write ${flag} ${path}: it is read, too; expected a file of its own`);
      }
    }
    for (const other of taken) {
      if (await isSameFile(path, outputs[other]!)) {
        throw new UserError(`Cannot write ${flag} ${path}: ${other} is the same; expected a file of its own`);
      }
    }
    taken.push(flag);
  }
}

/** What is checked of a command line. */
export interface CheckedFlags {
  readonly submission?: string;
  readonly missing?: string;
  readonly repeat: number;
}

/**
 * Flags must do something.
 *
 * @throws {UserError} if one would not
 */
export function requireUsableFlags(
  { submission, missing, repeat }: CheckedFlags,
  inputs: readonly string[],
): void {
  if (missing !== undefined && submission === undefined) {
    throw new UserError(`Cannot run predict: --missing is ${missing}; expected --submission DIR with it`);
  }
  if (repeat > 1 && inputs.includes(PIPE)) {
    throw new UserError(`Cannot run predict: --repeat is ${repeat}; expected files, a pipe is read once`);
  }
  if (inputs.filter((input) => input === PIPE).length > 1) {
    throw new UserError(`Cannot run predict: ${PIPE} is given twice; expected standard input once`);
  }
}

/**
 * The challenge's files are of tracks and videos.
 *
 * @throws {UserError} for a single picture
 */
export function requireSubmittable(clips: readonly Clip[]): void {
  const picture = clips.find(({ kind }) => kind === "image");
  if (picture === undefined) return;
  throw new UserError(
    `Cannot write --submission of ${picture.name}: it is a single picture; expected videos or folders of crops`,
  );
}
