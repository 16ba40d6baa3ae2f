import { assert, assertEquals, assertRejects } from "@std/assert";
import sharp from "sharp";
import type { Track } from "../../data/aff_wild2/types.ts";
import { drawCrop } from "../../data/augment.ts";
import { decodeImage, ImageError, resizeImage } from "../../data/images.ts";
import { EXPR_CONVENTION, normalize, VGGFACE2_CONVENTION } from "../../data/input_convention.ts";
import {
  type Batch,
  epochOrder,
  ImageCache,
  loadBatches,
  type LoaderOptions,
  type SampleSource,
} from "../../data/loader.ts";
import { RandomStream } from "../../data/random.ts";

const SIZE = 16;

async function jpeg(seed: number, width = 24, height = 20): Promise<Uint8Array> {
  const random = new RandomStream(seed, "picture");
  const pixels = Uint8Array.from({ length: width * height * 3 }, () => random.integer(256));
  return new Uint8Array(await sharp(pixels, { raw: { width, height, channels: 3 } }).jpeg().toBuffer());
}

/** A folder of crops as a track, removed after the body. */
async function withTrack(
  frames: number,
  body: (source: SampleSource, track: Track) => Promise<void>,
): Promise<void> {
  const imageFolder = await Deno.makeTempDir();
  try {
    for (let frame = 1; frame <= frames; frame++) {
      await Deno.writeFile(`${imageFolder}/${String(frame).padStart(5, "0")}.jpg`, await jpeg(frame));
    }
    const track: Track = {
      name: "video1",
      video: "video1",
      imageFolder,
      annotatedFrames: frames,
      frames: Int32Array.from({ length: frames }, (_, i) => i + 1),
      labels: Int8Array.from({ length: frames }, (_, i) => i % 7),
      dropped: { unlabelled: 0, missingCrop: 0, unlabelledCrops: 0 },
    };
    const source: SampleSource = {
      count: frames,
      get: (i) => ({ track, frames: Int32Array.of(i), labels: Int32Array.of(track.labels[i]) }),
    };
    await body(source, track);
  } finally {
    await Deno.remove(imageFolder, { recursive: true });
  }
}

function optionsOf(changes: Partial<LoaderOptions> = {}): LoaderOptions {
  const augmentation = { scale: [0.3, 1], ratio: [0.8, 1.2], flip: 0.5 } as const;
  return {
    batchSize: 3,
    size: SIZE,
    convention: EXPR_CONVENTION,
    augmentation,
    seed: 5,
    epoch: 0,
    ...changes,
  };
}

async function collect(batches: AsyncIterable<Batch>): Promise<Batch[]> {
  const all: Batch[] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}

/** Pixels by sample number. */
function bySample(batches: Batch[]): Map<number, string> {
  const length = SIZE * SIZE * 3;
  return new Map(
    batches.flatMap(({ indices, images }) =>
      Array.from(
        indices,
        (index, b) => [index, images.slice(b * length, (b + 1) * length).join()] as [number, string],
      )
    ),
  );
}

Deno.test("a sample's pixels do not depend on batch size, order, prefetch or cache", async () => {
  await withTrack(7, async (source) => {
    const forwards = Int32Array.from({ length: 7 }, (_, i) => i);
    const reference = bySample(await collect(loadBatches(source, forwards, optionsOf())));
    assertEquals(reference.size, 7);
    const variants = [
      loadBatches(source, forwards.slice().reverse(), optionsOf({ batchSize: 2 })),
      loadBatches(source, forwards, optionsOf({ batchSize: 7, prefetch: 0 })),
      loadBatches(source, forwards, optionsOf({ cache: new ImageCache(1e6) })),
      loadBatches(source, forwards, optionsOf({ cache: new ImageCache(2000) })), // room for one image
    ];
    for (const batches of variants) assertEquals(bySample(await collect(batches)), reference);
    const otherEpoch = bySample(await collect(loadBatches(source, forwards, optionsOf({ epoch: 1 }))));
    assert(otherEpoch.get(0) !== reference.get(0));
  });
});

Deno.test("batches have the order's samples and labels, the last one shorter", async () => {
  await withTrack(5, async (source) => {
    const batches = await collect(
      loadBatches(source, Int32Array.of(4, 0, 2, 1, 3), optionsOf({ batchSize: 2 })),
    );
    assertEquals(batches.map(({ count }) => count), [2, 2, 1]);
    assertEquals(batches.flatMap(({ indices }) => [...indices]), [4, 0, 2, 1, 3]);
    assertEquals(batches.flatMap(({ labels }) => [...labels]), [4, 0, 2, 1, 3]);
  });
});

Deno.test("a clip has one crop for all its frames, and a repeated frame is the same", async () => {
  await withTrack(2, async (_, track) => {
    const clip: SampleSource = {
      count: 1,
      get: () => ({ track, frames: Int32Array.of(0, 0, 1), labels: Int32Array.of(0, -1, 1) }),
    };
    const [{ images, labels }] = await collect(loadBatches(clip, Int32Array.of(0), optionsOf()));
    const length = SIZE * SIZE * 3;
    assertEquals(images.length, 3 * length);
    assertEquals(images.slice(0, length), images.slice(length, 2 * length));
    assertEquals([...labels], [0, -1, 1]);
  });
});

Deno.test("a bad image ends the batches with its path, an abort ends them at once", async () => {
  await withTrack(4, async (source, track) => {
    const path = `${track.imageFolder}/00003.jpg`;
    const whole = await Deno.readFile(path);
    await Deno.writeFile(path, whole.subarray(0, whole.length >> 1));
    const order = Int32Array.of(0, 1, 2, 3);
    await assertRejects(
      () => collect(loadBatches(source, order, optionsOf({ batchSize: 1 }))),
      ImageError,
      "00003.jpg",
    );
    await Deno.remove(path);
    await assertRejects(
      () => collect(loadBatches(source, order, optionsOf({ batchSize: 4 }))),
      ImageError,
      "00003.jpg",
    );
    const controller = new AbortController();
    controller.abort();
    assertEquals(await collect(loadBatches(source, order, optionsOf({ signal: controller.signal }))), []);
  });
});

Deno.test("empty, foreign and truncated files are refused; grayscale, CMYK and turned ones become RGB", async () => {
  await assertRejects(() => decodeImage(new Uint8Array(0), "a.jpg"), ImageError, "a.jpg: the file is empty");
  await assertRejects(() => decodeImage(new Uint8Array(99), "b.jpg"), ImageError, "b.jpg");
  const pixels = new Uint8Array(8 * 6 * 3).fill(100);
  const image = () => sharp(pixels, { raw: { width: 8, height: 6, channels: 3 } });
  const gray = await decodeImage(new Uint8Array(await image().grayscale().jpeg().toBuffer()), "gray");
  assertEquals([gray.width, gray.height, gray.pixels.length], [8, 6, 8 * 6 * 3]);
  const cmyk = await decodeImage(
    new Uint8Array(await image().toColourspace("cmyk").jpeg().toBuffer()),
    "cmyk",
  );
  assertEquals(cmyk.pixels.length, 8 * 6 * 3);
  const turned = await decodeImage(
    new Uint8Array(await image().withMetadata({ orientation: 6 }).jpeg().toBuffer()),
    "turned",
  );
  assertEquals([turned.width, turned.height], [6, 8]);
});

Deno.test("a crop stays inside, a flip mirrors, the whole image at its own size is untouched", async () => {
  const random = new RandomStream(1, "crops");
  for (let i = 0; i < 200; i++) {
    const { x, y, width, height } = drawCrop(random, { scale: [0.2, 1], ratio: [3 / 4, 4 / 3], flip: 0.5 });
    assert(x >= 0 && y >= 0 && x + width <= 1 + 1e-12 && y + height <= 1 + 1e-12);
    const area = width * height;
    assert(area >= 0.2 - 1e-9 && area <= 1 + 1e-9);
  }
  const image = await decodeImage(await jpeg(3, SIZE, SIZE), "square");
  assertEquals(await resizeImage(image, SIZE), image.pixels);
  const flipped = await resizeImage(image, SIZE, { x: 0, y: 0, width: 1, height: 1, flip: true });
  assertEquals(flipped.slice(0, 3), image.pixels.slice(3 * (SIZE - 1), 3 * SIZE));
});

Deno.test("crops are as often wide as high: the logarithm of their ratio is uniform", () => {
  const random = new RandomStream(3, "ratio");
  const logs = Array.from({ length: 4000 }, () => {
    const { width, height } = drawCrop(random, { scale: [0.01, 0.02], ratio: [1 / 9, 9], flip: 0.5 });
    return Math.log(width / height) / Math.log(9);
  });
  // Quarters of [-1, 1]; 1000 +- 27 each. A uniform ratio has 0.02, 0.06, 0.23 and 0.69 of them there.
  for (const from of [-1, -0.5, 0, 0.5]) {
    const count = logs.filter((log) => log >= from && log < from + 0.5).length;
    assert(Math.abs(count - 1000) < 140, `${count} of 4000 from ${from} on`);
  }
});

Deno.test("conventions: order, scale, mean and deviation", () => {
  const out = new Float32Array(6);
  normalize(Uint8Array.of(255, 0, 128), EXPR_CONVENTION, out, 3);
  assert(Math.abs(out[3] - (1 - 0.5071) / 0.2675) < 1e-6 && Math.abs(out[4] + 0.4867 / 0.2565) < 1e-6);
  normalize(Uint8Array.of(10, 20, 30), { ...VGGFACE2_CONVENTION, order: "bgr", mean: [0, 0, 0] }, out, 0);
  assertEquals([...out.subarray(0, 3)], [30, 20, 10]);
});

Deno.test("an epoch's order is a permutation that its number changes", () => {
  const [first, second] = [epochOrder(50, 1, 0), epochOrder(50, 1, 1)];
  assert(first.join() !== second.join());
  assertEquals([...first].sort((a, b) => a - b), Array.from({ length: 50 }, (_, i) => i));
});
