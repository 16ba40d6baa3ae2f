import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import sharp from "sharp";
import type { Track } from "../../data/aff_wild2/types.ts";
import { BadImages } from "../../data/bad_images.ts";
import { decodeImage, ImageError, readImage } from "../../data/images.ts";
import { EXPR_CONVENTION } from "../../data/input_convention.ts";
import { Limit } from "../../data/limit.ts";
import {
  type Batch,
  ImageCache,
  loadBatches,
  type LoaderOptions,
  type SampleSource,
} from "../../data/loader.ts";
import { noisyJpeg, refused, SIDE, unusual, UNUSUAL_LEVEL } from "./_bad_images.ts";

const SIZE = 16;
const ROW = SIZE * SIZE * 3;

Deno.test("every kind of unusable image is refused by name, and none is taken for a picture", async () => {
  for (const [kind, bytes] of Object.entries(await refused())) {
    const error = await assertRejects(() => decodeImage(bytes, "some.jpg"), ImageError, undefined, kind);
    assertStringIncludes(error.message, "Cannot decode some.jpg: ", kind);
    assertEquals(error.path, "some.jpg");
    assert(error.reason.length > 0 && !error.reason.includes("\n"), kind);
  }
});

Deno.test("what is said of an image is its own, however many are decoded at once", async () => {
  const kinds = Object.entries(await refused());
  const reasonOf = (bytes: Uint8Array) =>
    decodeImage(bytes, "some.jpg").then(() => "none", ({ reason }: ImageError) => reason);
  const alone: string[] = [];
  for (const [, bytes] of kinds) alone.push(await reasonOf(bytes));
  for (let round = 0; round < 20; round++) {
    const together = await Promise.all(kinds.map(([, bytes]) => reasonOf(bytes)));
    assertEquals(together, alone);
  }
  const said = Object.fromEntries(kinds.map(([kind], i) => [kind, alone[i]]));
  assertEquals(said["empty"], "the file is empty");
  assertEquals(said["truncated"], "it is damaged or cut short");
  assertEquals(said["text, no image"], "it is in no format that can be read");
  assertEquals(said["a PNG of zero size"], "its header is damaged");
});

Deno.test("a decompression bomb is refused before its pixels are decoded", async () => {
  for (const [kind, bytes] of Object.entries(await refused()).filter(([kind]) => kind.endsWith("bomb"))) {
    const { reason } = await assertRejects(() => decodeImage(bytes, kind), ImageError);
    assertEquals(reason, "it has more than 16777216 pixels", kind);
  }
});

Deno.test("unusual images become RGB of 8 bits with the right values", async () => {
  for (const [kind, bytes] of Object.entries(await unusual())) {
    const { width, height, pixels } = await decodeImage(bytes, kind);
    assertEquals([width, height, pixels.length], [SIDE, SIDE, SIDE * SIDE * 3], kind);
    const tolerance = kind.includes("CMYK") ? 16 : 1; // there and back through a printer's profile: 12 measured
    const worst = pixels.reduce((worst, value) => Math.max(worst, Math.abs(value - UNUSUAL_LEVEL)), 0);
    assert(worst <= tolerance, `${kind}: a value is ${worst} off`);
  }
});

Deno.test("each EXIF orientation is turned upright", async () => {
  const [width, height] = [3, 2];
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => 40 * Math.floor(i / 3));
  // The corner that is at the top left once it is upright: (x, y) in the file.
  const corners = [[0, 0], [2, 0], [2, 1], [0, 1], [0, 0], [0, 1], [2, 1], [2, 0]];
  for (const [i, [x, y]] of corners.entries()) {
    const bytes = await sharp(pixels, { raw: { width, height, channels: 3 } })
      .withMetadata({ orientation: i + 1 }).png().toBuffer();
    const image = await decodeImage(new Uint8Array(bytes), "turned");
    assertEquals([image.width, image.height], i < 4 ? [3, 2] : [2, 3]);
    assertEquals(image.pixels[0], 40 * (y * width + x), `orientation ${i + 1}`);
  }
});

Deno.test("a folder, a missing file and a file far too large are refused unread", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/00001.jpg`);
    await assertRejects(() => readImage(`${folder}/00001.jpg`), ImageError, "it is no file");
    await assertRejects(() => readImage(`${folder}/00002.jpg`), ImageError, "it does not exist");
    using sparse = await Deno.create(`${folder}/00003.jpg`);
    await sparse.truncate(1 << 30);
    await assertRejects(() => readImage(`${folder}/00003.jpg`), ImageError, "it has 1073741824 bytes");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Clips of two frames, (0, 1), (1, 2), ..., of a track with `frames` images; removed after the body. */
async function withClips(
  frames: number,
  body: (source: SampleSource, pathOf: (i: number) => string) => Promise<void>,
): Promise<void> {
  const imageFolder = await Deno.makeTempDir();
  try {
    const pathOf = (i: number) => `${imageFolder}/${String(i + 1).padStart(5, "0")}.jpg`;
    for (let i = 0; i < frames; i++) await Deno.writeFile(pathOf(i), await noisyJpeg(i + 1, 20));
    const track: Track = {
      name: "video1",
      video: "video1",
      imageFolder,
      annotatedFrames: frames,
      frames: Int32Array.from({ length: frames }, (_, i) => i + 1),
      labels: Int8Array.from({ length: 2 * frames }, (_, i) => i % 2),
      dropped: { unlabelled: 0, missingCrop: 0, unlabelledCrops: 0 },
    };
    const source: SampleSource = {
      count: frames - 1,
      get: (i) => ({ track, frames: Int32Array.of(i, i + 1), labels: Int32Array.of(0, 1, 1, 0) }), // two a frame
    };
    await body(source, pathOf);
  } finally {
    await Deno.remove(imageFolder, { recursive: true });
  }
}

async function load(
  source: SampleSource,
  changes: Partial<LoaderOptions> = {},
  onBatch: (batch: Batch) => Promise<void> = () => Promise.resolve(),
): Promise<Batch[]> {
  const augmentation = { scale: [0.3, 1], ratio: [0.8, 1.2], flip: 0.5 } as const;
  const options = { batchSize: 2, size: SIZE, convention: EXPR_CONVENTION, augmentation, seed: 3, epoch: 0 };
  const order = Int32Array.from({ length: source.count }, (_, i) => i);
  const batches: Batch[] = [];
  for await (const batch of loadBatches(source, order, { ...options, ...changes })) {
    batches.push(batch);
    await onBatch(batch);
  }
  return batches;
}

Deno.test("skipped: pixels 0, labels -1, everything else bit for bit as without the bad image", async () => {
  await withClips(5, async (source, pathOf) => {
    const whole = await load(source);
    await Deno.writeFile(pathOf(2), (await Deno.readFile(pathOf(2))).subarray(0, -40));
    const badImages = new BadImages("skip");
    const skipped = await load(source, { badImages });
    assertEquals(skipped.map(({ count, bad }) => [count, [...bad]]), [[2, [3]], [2, [0]]]);
    for (const [n, batch] of skipped.entries()) {
      for (let row = 0; row < 4; row++) {
        const bad = batch.bad.includes(row);
        const pixels = batch.images.subarray(row * ROW, (row + 1) * ROW);
        const labels = batch.labels.subarray(row * 2, row * 2 + 2);
        const before = whole[n].images.subarray(row * ROW, (row + 1) * ROW);
        assertEquals(pixels, bad ? new Float32Array(ROW) : before);
        assertEquals([...labels], bad ? [-1, -1] : [...whole[n].labels.subarray(row * 2, row * 2 + 2)]);
      }
    }
    assertEquals(badImages.list().map(({ path }) => path), [pathOf(2)]);
    assertEquals(badImages.list()[0].reason, "it is damaged or cut short");
    for (const options of [{ prefetch: 0 }, { cache: new ImageCache(1e6) }, { batchSize: 4 }]) {
      const again = await load(source, { ...options, badImages: new BadImages("skip") });
      assertEquals(again.flatMap(({ images }) => [...images]), skipped.flatMap(({ images }) => [...images]));
    }
    await assertRejects(() => load(source, { badImages: new BadImages("error") }), ImageError, "00003.jpg");
    await assertRejects(() => load(source), ImageError, "00003.jpg");
  });
});

Deno.test("an image that vanishes amid an epoch is left out from then on, also once it is back", async () => {
  await withClips(6, async (source, pathOf) => {
    const bytes = await Deno.readFile(pathOf(4));
    const badImages = new BadImages("skip");
    const options = { batchSize: 1, prefetch: 0, badImages };
    const vanish = async ({ indices }: Batch) => {
      if (indices[0] === 0) await Deno.remove(pathOf(4));
    };
    const first = await load(source, options, vanish);
    assertEquals(first.map(({ bad }) => [...bad]), [[], [], [], [1], [0]]);
    assertEquals(badImages.list(), [{ path: pathOf(4), reason: "it does not exist" }]);
    await Deno.writeFile(pathOf(4), bytes);
    // What is known to be left out stays out: a run that is gone on with sees what it saw before.
    for (const known of [badImages, new BadImages("skip", badImages.list())]) {
      const again = await load(source, { ...options, badImages: known });
      assertEquals(again.map(({ bad }) => [...bad]), [[], [], [], [1], [0]]);
    }
    const fresh = await load(source, { ...options, badImages: new BadImages("skip") });
    assertEquals(fresh.map(({ bad }) => bad.length), [0, 0, 0, 0, 0]);
  });
});

Deno.test("the list is ordered by path; an error is thrown and listed", () => {
  const badImages = new BadImages("skip");
  for (const path of ["b", "a", "b"]) badImages.add(new ImageError("read", path, `${path} is gone`));
  assertEquals(badImages.list(), [{ path: "a", reason: "a is gone" }, { path: "b", reason: "b is gone" }]);
  const strict = new BadImages("error");
  assertThrows(() => strict.add(new ImageError("read", "c", "gone")), ImageError, "Cannot read c: gone");
  assertEquals(strict.count, 1);
});

Deno.test("a limit holds, in order, also past failures", async () => {
  const limit = new Limit(3);
  const started: number[] = [];
  let [running, most] = [0, 0];
  const work = Array.from({ length: 20 }, (_, i) =>
    limit.run(async () => {
      started.push(i);
      most = Math.max(most, ++running);
      await Promise.resolve();
      running--;
      if (i % 4 === 0) throw new Error("failed");
      return i;
    }));
  const results = await Promise.allSettled(work);
  assertEquals(most, 3);
  assertEquals(started, [...started].sort((a, b) => a - b));
  assertEquals(results.filter(({ status }) => status === "rejected").length, 5);
});
