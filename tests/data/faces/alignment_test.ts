import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { alignFace, CROP_POINTS, CROP_SIZE, cropSquare, warp } from "../../../data/faces/alignment.ts";
import { fitSimilarity, overlap, type Point, squareAround, transform } from "../../../data/faces/geometry.ts";
import { RandomStream } from "../../../data/random.ts";
import type { RgbImage } from "../../../data/images.ts";

const seed = Math.floor(Math.random() * 1e9);

/** A picture whose pixels are a smooth function of where they are. */
function picture(width: number, height: number): RgbImage {
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    pixels[i * 3] = Math.round(255 * x / width);
    pixels[i * 3 + 1] = Math.round(255 * y / height);
    pixels[i * 3 + 2] = 128;
  }
  return { width, height, pixels };
}

Deno.test("a similarity is found again, and no other one is nearer to noisy points", () => {
  const random = new RandomStream(seed, "similarity");
  const wanted = { a: random.uniform(-3, 3), b: random.uniform(0.5, 3), tx: 40, ty: -7 };
  const exact = CROP_POINTS.map((point) => transform(wanted, point));
  const found = fitSimilarity(CROP_POINTS, exact);
  for (const key of ["a", "b", "tx", "ty"] as const) {
    assertAlmostEquals(found[key], wanted[key], 1e-9, `${seed}`);
  }
  const noisy = exact.map(({ x, y }): Point => ({ x: x + random.normal(0, 3), y: y + random.normal(0, 3) }));
  const error = (similarity: typeof wanted) =>
    CROP_POINTS.reduce((sum, point, i) => {
      const { x, y } = transform(similarity, point);
      return sum + (x - noisy[i].x) ** 2 + (y - noisy[i].y) ** 2;
    }, 0);
  const best = fitSimilarity(CROP_POINTS, noisy);
  for (const key of ["a", "b", "tx", "ty"] as const) {
    for (const step of [-1e-3, 1e-3]) {
      assert(error({ ...best, [key]: best[key] + step }) > error(best), `seed ${seed}: ${key} ${step}`);
    }
  }
  assertThrows(() => fitSimilarity([{ x: 1, y: 1 }], [{ x: 0, y: 0 }]), RangeError, "not all in one place");
  assertThrows(() => fitSimilarity(CROP_POINTS, noisy.slice(1)), RangeError, "got 5 and 4 points");
});

Deno.test("boxes: overlap, and the square around one", () => {
  const box = { x: 2, y: 3, width: 10, height: 4 };
  assertEquals(overlap(box, box), 1);
  assertEquals(overlap(box, { ...box, x: 12 }), 0);
  assertAlmostEquals(overlap(box, { ...box, x: 7 }), 20 / 60, 1e-12);
  assertEquals(squareAround(box), { x: 2, y: 0, width: 10, height: 10 });
});

Deno.test("warp: the same picture, shifted, and the means of blocks", () => {
  const random = new RandomStream(seed, "warp");
  const noise: RgbImage = {
    width: 24,
    height: 24,
    pixels: Uint8Array.from({ length: 24 * 24 * 3 }, () => random.integer(256)),
  };
  assertEquals(cropSquare(noise, { x: 0, y: 0, width: 24, height: 24 }, 24), noise.pixels);
  const shifted = warp(noise, { a: 1, b: 0, tx: 5, ty: -2 }, 24);
  for (let i = 0; i < 24 * 24; i++) {
    const [x, y] = [i % 24 + 5, Math.floor(i / 24) - 2];
    const inside = x < 24 && y >= 0;
    assertEquals(shifted[i * 3], inside ? noise.pixels[(y * 24 + x) * 3] : 0, `seed ${seed}, pixel ${i}`);
  }
  const third = warp(noise, { a: 3, b: 0, tx: 0, ty: 0 }, 8);
  for (let i = 0; i < 64; i++) {
    let sum = 0;
    for (let k = 0; k < 9; k++) {
      const at = (Math.floor(i / 8) * 3 + Math.floor(k / 3)) * 24 + (i % 8) * 3 + k % 3;
      sum += noise.pixels[at * 3];
    }
    assertEquals(third[i * 3], Math.round(sum / 9), `seed ${seed}, block ${i}`);
  }
});

Deno.test("a face of any size and turn is cut out with its points where they belong", () => {
  const random = new RandomStream(seed, "align");
  const image = picture(640, 480);
  for (const scale of [0.4, 1, 2.6, 3.9]) {
    const angle = random.uniform(-0.6, 0.6);
    const [a, b] = [scale * Math.cos(angle), scale * Math.sin(angle)];
    const centre = transform({ a, b, tx: 0, ty: 0 }, { x: CROP_SIZE / 2, y: CROP_SIZE / 2 });
    const similarity = { a, b, tx: 320 - centre.x, ty: 240 - centre.y };
    const crop = alignFace(image, CROP_POINTS.map((point) => transform(similarity, point)));
    assertEquals([crop.width, crop.height], [CROP_SIZE, CROP_SIZE]);
    for (const point of CROP_POINTS) {
      const [column, row] = [Math.floor(point.x), Math.floor(point.y)];
      const there = transform(similarity, { x: column + 0.5, y: row + 0.5 });
      const at = (row * CROP_SIZE + column) * 3;
      // The colours say where in the picture a pixel is from: within a pixel or two, they are whole numbers.
      assertAlmostEquals(crop.pixels[at] / 255 * 640, there.x, 3, `seed ${seed}, scale ${scale}`);
      assertAlmostEquals(crop.pixels[at + 1] / 255 * 480, there.y, 3, `seed ${seed}, scale ${scale}`);
    }
  }
});
