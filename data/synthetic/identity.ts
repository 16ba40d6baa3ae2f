/**
 * Who a face belongs to: shape, skin, hair, brows, eyes, nose, mouth, glasses, beard.
 *
 * @module
 */
import type { RandomStream } from "../random.ts";

/** An RGB colour, 0..255. */
export type Rgb = readonly [number, number, number];

/** A person. Lengths are in pixels of a 112-pixel crop. */
export interface Identity {
  readonly skin: Rgb;
  readonly hair: Rgb;
  readonly lips: Rgb;
  readonly iris: Rgb;
  /** half the width of the face at the cheeks */
  readonly faceWidth: number;
  /** from the eyes' height to the chin */
  readonly jawLength: number;
  /** half the width of the jaw as a share of faceWidth */
  readonly jawWidth: number;
  readonly hairStyle: "short" | "long" | "bald" | "fringe" | "bun";
  readonly browThickness: number;
  readonly browTilt: number;
  readonly browHeight: number;
  readonly eyeDistance: number;
  readonly eyeSize: number;
  readonly noseLength: number;
  readonly noseWidth: number;
  readonly mouthWidth: number;
  readonly lipThickness: number;
  readonly mouthHeight: number;
  readonly glasses: "none" | "round" | "square";
  /** opacity of the beard, 0 = none */
  readonly beard: number;
  /** units that the face at rest shows a little, which makes single frames ambiguous */
  readonly restingBrow: number;
  readonly restingCorners: number;
  /** how strongly this person expresses, around 1 */
  readonly expressivity: number;
  readonly clothes: Rgb;
}

const SKINS: readonly Rgb[] = [
  [247, 218, 196],
  [238, 202, 174],
  [226, 184, 148],
  [204, 156, 118],
  [172, 122, 86],
  [136, 92, 64],
  [104, 70, 50],
];
const HAIRS: readonly Rgb[] = [
  [34, 28, 26],
  [58, 42, 32],
  [96, 66, 42],
  [150, 108, 66],
  [196, 160, 104],
  [142, 70, 40],
  [150, 148, 146],
];
const IRISES: readonly Rgb[] = [[70, 46, 30], [92, 66, 36], [70, 100, 120], [84, 110, 78], [52, 40, 34]];

function vary([r, g, b]: Rgb, by: number, random: RandomStream): Rgb {
  const shade = random.uniform(-by, by);
  const one = (value: number) => Math.max(0, Math.min(255, value + shade + random.uniform(-by / 3, by / 3)));
  return [one(r), one(g), one(b)];
}

/** Mixes two colours; share 0 gives the first. */
export function mix(a: Rgb, b: Rgb, share: number): Rgb {
  return [0, 1, 2].map((i) => a[i] + (b[i] - a[i]) * share) as unknown as Rgb;
}

/** Draws a person. */
export function drawIdentity(random: RandomStream): Identity {
  const skin = vary(random.pick(SKINS), 8, random);
  const bearded = random.chance(0.22);
  return {
    skin,
    hair: vary(random.pick(HAIRS), 8, random),
    lips: vary(mix(mix(skin, [176, 66, 70], 0.55), [90, 30, 34], 0.08), 8, random),
    iris: random.pick(IRISES),
    faceWidth: random.uniform(32, 37),
    jawLength: random.uniform(42, 47),
    jawWidth: random.uniform(0.62, 0.82),
    hairStyle: random.pick(
      bearded ? ["short", "bald", "fringe"] : ["short", "long", "long", "fringe", "bun", "bald"],
    ),
    browThickness: random.uniform(2.2, 4),
    browTilt: random.uniform(-1, 1),
    browHeight: random.uniform(10, 12),
    eyeDistance: random.uniform(14.5, 16.5),
    eyeSize: random.uniform(0.92, 1.12),
    noseLength: random.uniform(17, 20),
    noseWidth: random.uniform(5.5, 8),
    mouthWidth: random.uniform(11.5, 14),
    lipThickness: random.uniform(2, 3.6),
    mouthHeight: random.uniform(27, 29.5),
    glasses: random.chance(0.22) ? random.pick(["round", "square"] as const) : "none",
    beard: bearded ? random.uniform(0.25, 0.7) : 0,
    restingBrow: random.uniform(0, 0.2),
    restingCorners: random.uniform(-0.18, 0.18),
    expressivity: random.uniform(0.85, 1.1),
    clothes: [random.integer(200), random.integer(200), random.integer(200)],
  };
}
