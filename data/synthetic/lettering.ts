/**
 * Captions drawn as strokes: the same on every machine, with or without fonts.
 *
 * @module
 */
import { n } from "./geometry.ts";

/** Capital letters on a grid of 4 x 6: strokes of points "xy". */
const GLYPHS: Readonly<Record<string, string>> = {
  A: "06 20 46,14 34",
  D: "00 06 26 44 42 20 00",
  E: "40 00 06 46,03 33",
  F: "40 00 06,03 33",
  G: "41 30 10 01 05 16 36 45 43 23",
  H: "00 06,40 46,03 43",
  I: "20 26",
  L: "00 06 46",
  N: "06 00 46 40",
  P: "06 00 30 41 42 33 03",
  R: "06 00 30 41 42 33 03,23 46",
  S: "41 30 10 01 02 13 33 44 45 36 16 05",
  T: "00 40,20 26",
  U: "00 05 16 36 45 40",
};

/**
 * A line of capitals, centred, as SVG.
 *
 * @param x of the middle; `y` of the top; `size` of a grid step, all in pixels
 * @throws {RangeError} for a letter that has no strokes here
 */
export function lettering(text: string, x: number, y: number, size: number): string {
  const left = x - (text.length * 6 - 2) * size / 2;
  let path = "";
  for (const [i, letter] of [...text.toUpperCase()].entries()) {
    if (!Object.hasOwn(GLYPHS, letter)) {
      throw new RangeError(`Cannot letter ${text}: no strokes for ${letter}`);
    }
    for (const line of GLYPHS[letter].split(",")) {
      const points = line.split(" ").map(([px, py]) =>
        `${n(left + (i * 6 + +px) * size)} ${n(y + +py * size)}`
      );
      path += `M${points.join("L")}`;
    }
  }
  return `<path d="${path}" fill="none" stroke="white" stroke-width="${n(size * 0.9)}" ` +
    `stroke-linecap="round" stroke-linejoin="round"/>`;
}
