/**
 * Writes a synthetic set in exactly Aff-Wild2's 2021 layout: JPEG crops, EXPR_Set and AU_Set, both splits.
 *
 * @module
 */
import { formatAnnotations, LABEL_SET_FOLDERS, SPLIT_FOLDERS } from "../aff_wild2/mod.ts";
import { ACTION_UNITS, imageName, UNLABELLED } from "../aff_wild2/types.ts";
import { RandomStream } from "../random.ts";
import { UNIT_THRESHOLD } from "./expressions.ts";
import { type PlannedTrack, planSet } from "./plan.ts";
import { renderJpeg } from "./render.ts";
import { planTrack } from "./track.ts";

const MARKER = "synthetic.json";
/** Raised when the drawing changes, so that a set of an older drawing is not taken for the same. */
const VERSION = 3;
/** Frames under way at once. */
const CONCURRENCY = 8;
/** Share of frames without a crop (3.7 % in the real set), and of runs without a label, per track. */
const MISSING_SHARE = 0.037;
const UNLABELLED_SHARE = 0.03;

/** What to make. */
export interface SynthesisOptions {
  readonly out: string;
  readonly tracks: number;
  /** frames of each track */
  readonly frames: number;
  readonly seed: number;
  /** side of the crops in pixels; 112 by default */
  readonly size?: number;
  /** about as many frames of each expression, instead of the real set's imbalance */
  readonly balanced?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What was made. */
export interface SynthesisResult {
  readonly tracks: number;
  readonly frames: number;
  readonly images: number;
  readonly seconds: number;
  /** true if the set was there already, with the same parameters */
  readonly reused: boolean;
}

interface Marker {
  readonly version: number;
  readonly tracks: number;
  readonly frames: number;
  readonly seed: number;
  readonly size: number;
  readonly balanced: boolean;
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
  const numbers = ["version", "tracks", "frames", "seed", "size", "images"] as const;
  if (typeof value?.complete !== "boolean" || typeof value.balanced !== "boolean") return undefined;
  return numbers.every((key) => Number.isInteger(value[key])) ? value as Marker : undefined;
}

/** The smallest value of each number that is taken. */
const SMALLEST = { tracks: 2, frames: 1, seed: 0, size: 16 };

function checkNumbers(numbers: typeof SMALLEST): void {
  for (const [name, least] of Object.entries(SMALLEST)) {
    const given = numbers[name as keyof typeof SMALLEST];
    if (!Number.isSafeInteger(given) || given < least) {
      throw new RangeError(`Cannot synthesize: ${name} is ${given}; expected an integer, at least ${least}`);
    }
  }
}

/**
 * Makes a set. A set that is there already with the same parameters is kept; one with others is replaced.
 * The same parameters give the same bytes.
 *
 * @throws {Error} if `out` holds something else; {DOMException} if the signal aborts
 */
export async function synthesize(options: SynthesisOptions): Promise<SynthesisResult> {
  const { out, tracks, frames, seed, size = 112, balanced = false, signal } = options;
  checkNumbers({ tracks, frames, seed, size });
  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1000;
  const wanted = { version: VERSION, tracks, frames, seed, size, balanced };
  const marker = await readMarker(out);
  const plans = planSet(tracks, frames, seed, balanced);
  const total = plans.reduce((sum, plan) => sum + plan.frames, 0);
  if (marker !== undefined) {
    const same = Object.entries(wanted).every(([key, value]) => marker[key as keyof Marker] === value);
    if (same && marker.complete) {
      return { tracks, frames: total, images: marker.images, seconds: seconds(), reused: true };
    }
    for (const folder of ["annotations", "cropped_aligned"]) await removeFolder(`${out}/${folder}`);
  }
  await Deno.mkdir(out, { recursive: true });
  await Deno.writeTextFile(`${out}/${MARKER}`, JSON.stringify({ ...wanted, complete: false, images: 0 }));
  let images = 0;
  let done = 0;
  for (const plan of plans) {
    images += await writeTrack(out, plan, seed, size, signal, () => options.onProgress?.(++done, total));
  }
  // Last, so that a reader refuses a set whose making was interrupted.
  for (const plan of plans) await writeAnnotations(out, plan, seed);
  await Deno.writeTextFile(`${out}/${MARKER}`, JSON.stringify({ ...wanted, complete: true, images }));
  return { tracks, frames: total, images, seconds: seconds(), reused: false };
}

async function removeFolder(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Frames (0-based) that lie in random runs which cover about `share` of them. */
function randomRuns(random: RandomStream, frames: number, share: number, longest: number): Set<number> {
  const chosen = new Set<number>();
  const mean = (1 + longest) / 2;
  for (let frame = 0; frame < frames; frame++) {
    if (!random.chance(share / mean)) continue;
    const end = Math.min(frames, frame + 1 + random.integer(longest));
    for (; frame < end; frame++) chosen.add(frame);
  }
  return chosen;
}

async function writeTrack(
  out: string,
  planned: PlannedTrack,
  seed: number,
  size: number,
  signal: AbortSignal | undefined,
  onFrame: () => void,
): Promise<number> {
  const { name, frames, expressions, dense } = planned;
  const plan = planTrack(seed, name, frames, expressions, dense);
  const short = frames < 9;
  const missing = short
    ? new Set<number>()
    : randomRuns(new RandomStream(seed, "missing", name), frames, MISSING_SHARE, 4);
  const folder = `${out}/cropped_aligned/${name}`;
  await Deno.mkdir(folder, { recursive: true });
  let next = 0;
  const worker = async () => {
    while (next < frames) {
      signal?.throwIfAborted();
      const frame = next++;
      if (!missing.has(frame)) {
        const noise = new RandomStream(seed, "noise", name, frame);
        await Deno.writeFile(
          `${folder}/${imageName(frame + 1)}`,
          await renderJpeg(plan.scene(frame), size, noise),
        );
      }
      onFrame();
    }
  };
  // Every worker has ended before an error is reported, so that nothing is written after it.
  const stopped = await Promise.allSettled(
    Array.from({ length: CONCURRENCY }, () =>
      worker().catch((error) => {
        next = frames;
        throw error;
      })),
  );
  const failed = stopped.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
  return frames - missing.size;
}

async function writeAnnotations(out: string, planned: PlannedTrack, seed: number): Promise<void> {
  const { name, split, frames, expressions, dense, crlf } = planned;
  const { states } = planTrack(seed, name, frames, expressions, dense);
  for (const labelSet of ["expression", "action_units"] as const) {
    const width = labelSet === "expression" ? 1 : ACTION_UNITS.length;
    const unlabelled = frames < 9
      ? new Set<number>()
      : randomRuns(new RandomStream(seed, "unlabelled", labelSet, name), frames, UNLABELLED_SHARE, 6);
    const labels = new Int8Array(frames * width).fill(UNLABELLED);
    for (let frame = 0; frame < frames; frame++) {
      if (unlabelled.has(frame)) continue;
      const { expression, intensities } = states[frame];
      if (labelSet === "expression") labels[frame] = expression;
      else {ACTION_UNITS.forEach((unit, u) =>
          labels[frame * width + u] = intensities[unit] > UNIT_THRESHOLD ? 1 : 0
        );}
    }
    const folder = `${out}/annotations/${LABEL_SET_FOLDERS[labelSet]}/${SPLIT_FOLDERS[split]}`;
    await Deno.mkdir(folder, { recursive: true });
    const text = formatAnnotations(labels, labelSet);
    await Deno.writeTextFile(`${folder}/${name}.txt`, crlf ? text.replaceAll("\n", "\r\n") : text);
  }
}
