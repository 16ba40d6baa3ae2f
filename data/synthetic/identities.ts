/**
 * Synthetic faces of many people in VGGFace2's layout, for pretraining: every picture has its own expression, pose, light
 * and background, so that only the person tells pictures apart.
 *
 * @module
 */
import { EXPRESSIONS } from "../aff_wild2/types.ts";
import { RandomStream } from "../random.ts";
import { renderJpeg } from "./render.ts";
import { beginSet, finishSet, inParallel } from "./set_folder.ts";
import { planTrack } from "./track.ts";

/** Raised when the drawing changes. */
const VERSION = 4;
/** Frames of the clip that a picture is taken from. */
const CLIP = 30;

/** What to make. */
export interface IdentitiesOptions {
  readonly out: string;
  readonly identities: number;
  /** pictures of each person */
  readonly images: number;
  readonly seed: number;
  /** side of the pictures in pixels; 112 by default */
  readonly size?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** What was made. */
export interface IdentitiesResult {
  readonly identities: number;
  readonly images: number;
  /** true if the set was there already, with the same parameters */
  readonly reused: boolean;
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}

/**
 * Writes `out/train/n000001/0001_01.jpg`, ... The people are none of those of `synthesize`, whatever the seed.
 *
 * @throws {RangeError} for fewer than two people or one picture; {Error} if `out` holds something else;
 * {DOMException} if the signal aborts
 */
export async function synthesizeIdentities(options: IdentitiesOptions): Promise<IdentitiesResult> {
  const { out, identities, images, seed, size = 112, signal } = options;
  if (identities < 2 || images < 1) {
    throw new RangeError(
      `Cannot synthesize: ${identities} identities of ${images} images; expected at least 2 of at least 1`,
    );
  }
  const parameters = { kind: "identities", version: VERSION, identities, images, seed, size };
  const total = identities * images;
  if (await beginSet(out, parameters, ["train"]) !== undefined) {
    return { identities, images: total, reused: true };
  }
  let done = 0;
  for (let person = 1; person <= identities; person++) {
    const name = `n${padded(person, 6)}`;
    const folder = `${out}/train/${name}`;
    await Deno.mkdir(folder, { recursive: true });
    await inParallel(images, signal, async (image) => {
      const random = new RandomStream(seed, "picture", name, image);
      const expression = random.integer(EXPRESSIONS.length);
      const plan = planTrack(seed, `${name}/${image}`, CLIP, [expression], true, name);
      const noise = new RandomStream(seed, "noise", name, image);
      const jpeg = await renderJpeg(plan.scene(random.integer(CLIP)), size, noise);
      await Deno.writeFile(`${folder}/${padded(image + 1, 4)}_01.jpg`, jpeg);
      options.onProgress?.(++done, total);
    });
  }
  await finishSet(out, parameters, total);
  return { identities, images: total, reused: false };
}
