/**
 * The folder of a synthetic set: marked with its parameters, so that a whole set is kept, another one is replaced, and
 * a folder that holds anything else is never touched.
 *
 * @module
 */
import { writeWhole } from "../whole_file.ts";

const MARKER = "synthetic.json";
/** Images under way at once. */
const CONCURRENCY = 8;

/** What a set was made from; equal parameters give equal bytes. */
export type SetParameters = Readonly<
  { kind: string; version: number } & Record<string, string | number | boolean>
>;

interface Marker {
  readonly parameters: SetParameters;
  readonly complete: boolean;
  readonly images: number;
}

/** The marker of a set, if the folder holds one; an error if it holds anything else. */
async function readMarker(out: string): Promise<Marker | undefined> {
  let entries: string[];
  try {
    entries = Array.from(Deno.readDirSync(out), (entry) => entry.name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new Error(
      `Cannot synthesize into ${out}: ${(error as Error).message}; expected a new or empty folder`,
      { cause: error },
    );
  }
  if (entries.length === 0) return undefined;
  const marker = entries.includes(MARKER)
    ? parseMarker(await Deno.readTextFile(`${out}/${MARKER}`))
    : undefined;
  if (marker === undefined) {
    throw new Error(
      `Cannot synthesize into ${out}: it holds ${
        entries.sort().slice(0, 4).join(", ")
      } and is no synthetic set; ` +
        `expected a new or empty folder`,
    );
  }
  return marker;
}

/** The marker in a text, or undefined if it is none: only a folder with a true marker is ever replaced. */
function parseMarker(text: string): Marker | undefined {
  let value: Partial<Marker> | null;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { parameters, complete, images } = value ?? {};
  const valid = typeof parameters === "object" && parameters !== null && typeof complete === "boolean" &&
    Number.isInteger(images);
  return valid ? value as Marker : undefined;
}

async function writeMarker(out: string, marker: Marker): Promise<void> {
  await writeWhole(`${out}/${MARKER}`, (put) => put(new TextEncoder().encode(JSON.stringify(marker))));
}

/**
 * Makes the folder ready for a set.
 *
 * @param folders what a set of another making leaves behind, to be removed
 * @returns the number of images if the set is there already; undefined if it is to be made
 * @throws {Error} if the folder holds something else
 */
export async function beginSet(
  out: string,
  parameters: SetParameters,
  folders: readonly string[],
): Promise<number | undefined> {
  const marker = await readMarker(out);
  if (marker !== undefined) {
    const same = JSON.stringify(marker.parameters) === JSON.stringify(parameters);
    if (same && marker.complete) return marker.images;
    // First, so that a set half removed is never taken for a whole one.
    await writeMarker(out, { ...marker, complete: false });
    for (const folder of folders) {
      await Deno.remove(`${out}/${folder}`, { recursive: true }).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
  }
  await Deno.mkdir(out, { recursive: true });
  await writeMarker(out, { parameters, complete: false, images: 0 });
  return undefined;
}

/** Marks the set as whole. */
export async function finishSet(out: string, parameters: SetParameters, images: number): Promise<void> {
  await writeMarker(out, { parameters, complete: true, images });
}

/**
 * Does `count` pieces of work, several at once. All that has begun has ended before an error is thrown, so that
 * nothing is written after it.
 */
export async function inParallel(
  count: number,
  signal: AbortSignal | undefined,
  work: (i: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    try {
      while (next < count) {
        signal?.throwIfAborted();
        await work(next++);
      }
    } catch (error) {
      next = count;
      throw error;
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: CONCURRENCY }, worker));
  const failed = ended.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
