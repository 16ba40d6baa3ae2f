/**
 * A picture of what the synthetic faces look like: one person a row, one expression a column, at the apex.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import sharp, { type OverlayOptions } from "sharp";
import { EXPRESSIONS } from "../aff_wild2/types.ts";
import { RandomStream } from "../random.ts";
import { lettering } from "./lettering.ts";
import { renderPixels } from "./render.ts";
import { planTrack } from "./track.ts";

const CAPTION = 26;

/**
 * Renders the sheet as PNG.
 *
 * @param people rows
 * @param size side of a face in pixels
 */
export async function contactSheet(seed: number, people = 6, size = 160): Promise<Uint8Array> {
  const width = EXPRESSIONS.length * size;
  const height = CAPTION + people * size;
  const captions = EXPRESSIONS.map((name, e) => lettering(name, (e + 0.5) * size, 7, Math.min(2, size / 62)));
  const header = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${CAPTION}">${
    captions.join("")
  }</svg>`;
  const tiles: OverlayOptions[] = [{ input: Buffer.from(header), left: 0, top: 0 }];
  for (let person = 0; person < people; person++) {
    const frames = 40;
    for (const e of EXPRESSIONS.keys()) {
      const plan = planTrack(seed, `sheet${person}`, frames, [e]);
      const apex = plan.states.findLastIndex(({ expression }) => expression === e) - 8;
      const scene = { ...plan.scene(Math.max(0, apex)), occluder: undefined, blur: 0, blink: 0 };
      const input = Buffer.from(await renderPixels(scene, size, new RandomStream(seed, "sheet", person, e)));
      const raw = { width: size, height: size, channels: 3 } as const;
      tiles.push({ input, raw, left: e * size, top: CAPTION + person * size });
    }
  }
  const create = { width, height, channels: 3, background: "#222" } as const;
  return new Uint8Array(await sharp({ create }).composite(tiles).png().toBuffer());
}
