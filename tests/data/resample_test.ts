import { assert, assertEquals } from "@std/assert";
import sharp from "sharp";
import type { RgbImage } from "../../data/images.ts";
import { type Region, resample } from "../../data/resample.ts";
import { RandomStream } from "../../data/random.ts";

const random = new RandomStream(1, "resample");

function noise(width: number, height: number): RgbImage {
  return {
    width,
    height,
    pixels: Uint8Array.from({ length: width * height * 3 }, () => random.integer(256)),
  };
}

function whole({ width, height }: RgbImage): Region {
  return { left: 0, top: 0, width, height };
}

/** One value of the result as a plain sum over all of the region, borders repeated far enough. */
function reference(image: RgbImage, region: Region, size: number, [row, column, c]: number[]): number {
  const along = (length: number, i: number) => {
    const scale = length / size;
    const stretch = Math.max(1, scale);
    const weights = new Map<number, number>();
    let sum = 0;
    for (let at = -4 * length - 4; at < 5 * length + 4; at++) {
      const weight = Math.max(0, 1 - Math.abs(at + 0.5 - (i + 0.5) * scale) / stretch);
      const place = Math.min(length - 1, Math.max(0, at));
      weights.set(place, (weights.get(place) ?? 0) + weight);
      sum += weight;
    }
    return [...weights].map(([at, weight]): [number, number] => [at, weight / sum]);
  };
  let value = 0;
  for (const [y, wy] of along(region.height, row)) {
    for (const [x, wx] of along(region.width, column)) {
      value += wy * wx * image.pixels[3 * ((region.top + y) * image.width + region.left + x) + c];
    }
  }
  return Math.min(255, Math.max(0, value));
}

Deno.test("resampling is the linear filter's sum, enlarging, shrinking, and both at once", () => {
  const image = noise(23, 17);
  const regions: Region[] = [
    whole(image),
    { left: 3, top: 2, width: 11, height: 13 },
    { left: 22, top: 16, width: 1, height: 1 },
    { left: 0, top: 16, width: 23, height: 1 },
    { left: 5, top: 0, width: 2, height: 17 },
  ];
  for (const region of regions) {
    for (const size of [1, 5, 13, 16, 31, 64]) {
      const plain = resample(image, region, size, false);
      const mirrored = resample(image, region, size, true);
      assertEquals([plain.length, mirrored.length], [size * size * 3, size * size * 3]);
      for (let i = 0; i < 40; i++) {
        const [row, column, c] = [random.integer(size), random.integer(size), random.integer(3)];
        const wanted = reference(image, region, size, [row, column, c]);
        const at = (x: number) => 3 * (row * size + x) + c;
        const place = `${JSON.stringify(region)} to ${size}, row ${row}, column ${column}`;
        // Half a level of rounding, and what keeping the rows as f32 may add where it decides a tie.
        assert(
          Math.abs(plain[at(column)] - wanted) <= 0.5001,
          `${place}: ${plain[at(column)]}, not ${wanted}`,
        );
        assertEquals(mirrored[at(size - 1 - column)], plain[at(column)], place);
      }
    }
  }
});

Deno.test("an image at its own size is itself, a flat one stays flat, and a mirrored image is the image mirrored", () => {
  const image = noise(20, 20);
  assertEquals(resample(image, whole(image), 20, false), image.pixels);
  const flat: RgbImage = { width: 9, height: 14, pixels: new Uint8Array(9 * 14 * 3).fill(201) };
  for (const size of [3, 14, 40]) {
    assertEquals(resample(flat, whole(flat), size, false), new Uint8Array(size * size * 3).fill(201));
  }
  const turned = { ...image, pixels: image.pixels.slice() };
  for (let y = 0; y < 20; y++) {
    for (let x = 0; x < 20; x++) {
      turned.pixels.set(image.pixels.subarray(3 * (20 * y + x), 3 * (20 * y + x) + 3), 3 * (20 * y + 19 - x));
    }
  }
  for (const size of [48, 13]) {
    const [a, b] = [resample(image, whole(image), size, true), resample(turned, whole(image), size, false)];
    const worst = a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i])), 0);
    assert(worst <= 1, `${worst} levels`); // the same sum in another order
  }
});

Deno.test("shrinking agrees with sharp's linear kernel", async () => {
  const smooth = await sharp(noise(12, 12).pixels, { raw: { width: 12, height: 12, channels: 3 } })
    .resize(120, 96, { fit: "fill" }).raw().toBuffer();
  const image: RgbImage = { width: 120, height: 96, pixels: new Uint8Array(smooth) };
  const raw = { width: 120, height: 96, channels: 3 } as const;
  for (const size of [32, 48, 77]) {
    const theirs = await sharp(image.pixels, { raw }).resize(size, size, { fit: "fill", kernel: "linear" })
      .raw()
      .toBuffer();
    const ours = resample(image, whole(image), size, false);
    const worst = ours.reduce((worst, value, i) => Math.max(worst, Math.abs(value - theirs[i])), 0);
    assert(worst <= 4, `to ${size}: ${worst} levels`); // libvips rounds its weights to six bits
  }
});
