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
import { beginSet, finishSet, inParallel } from "./set_folder.ts";
import { renderJpeg } from "./render.ts";
import { planTrack } from "./track.ts";

/** Raised when the drawing changes, so that a set of an older drawing is not taken for the same. */
const VERSION = 7;
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
  const wanted = { kind: "tracks", version: VERSION, tracks, frames, seed, size, balanced };
  const plans = planSet(tracks, frames, seed, balanced);
  const total = plans.reduce((sum, plan) => sum + plan.frames, 0);
  const kept = await beginSet(out, wanted, ["annotations", "cropped_aligned"]);
  if (kept !== undefined) return { tracks, frames: total, images: kept, seconds: seconds(), reused: true };
  let images = 0;
  let done = 0;
  for (const plan of plans) {
    images += await writeTrack(out, plan, seed, size, signal, () => options.onProgress?.(++done, total));
  }
  // Last, so that a reader refuses a set whose making was interrupted.
  for (const plan of plans) await writeAnnotations(out, plan, seed);
  await finishSet(out, wanted, images);
  return { tracks, frames: total, images, seconds: seconds(), reused: false };
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
  await inParallel(frames, signal, async (frame) => {
    if (!missing.has(frame)) {
      const noise = new RandomStream(seed, "noise", name, frame);
      await Deno.writeFile(
        `${folder}/${imageName(frame + 1)}`,
        await renderJpeg(plan.scene(frame), size, noise),
      );
    }
    onFrame();
  });
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
