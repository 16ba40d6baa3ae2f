import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import type { Track } from "../../data/aff_wild2/types.ts";
import { BadImages } from "../../data/bad_images.ts";
import { ImageWorkers } from "../../data/image_workers.ts";
import { ImageError } from "../../data/images.ts";
import { EXPR_CONVENTION } from "../../data/input_convention.ts";
import {
  type Batch,
  epochOrder,
  ImageCache,
  loadBatches,
  type LoaderOptions,
  type SampleSource,
} from "../../data/loader.ts";
import { noisyJpeg } from "./_bad_images.ts";

const FRAMES = 23;
const SIZE = 16;
const AUGMENTATION = { scale: [0.3, 1], ratio: [0.8, 1.2], flip: 0.5 } as const;
const ORDER = epochOrder(FRAMES, 1, 0);

/** Clips (i, i + 1, i) of a track, and the paths of its frames; removed after the body. */
async function withClips(
  body: (source: SampleSource, pathOf: (frame: number) => string) => Promise<void>,
): Promise<void> {
  const imageFolder = await Deno.makeTempDir();
  try {
    const pathOf = (i: number) => `${imageFolder}/${String(i + 1).padStart(5, "0")}.jpg`;
    for (let i = 0; i < FRAMES + 1; i++) await Deno.writeFile(pathOf(i), await noisyJpeg(i + 1, 14 + i));
    const track: Track = {
      name: "video1",
      video: "video1",
      imageFolder,
      annotatedFrames: FRAMES + 1,
      frames: Int32Array.from({ length: FRAMES + 1 }, (_, i) => i + 1),
      labels: new Int8Array(FRAMES + 1),
      dropped: { unlabelled: 0, missingCrop: 0, unlabelledCrops: 0 },
    };
    await body({
      count: FRAMES,
      get: (i) => ({ track, frames: Int32Array.of(i, i + 1, i), labels: Int32Array.of(i, i + 1, i) }),
    }, pathOf);
  } finally {
    await Deno.remove(imageFolder, { recursive: true });
  }
}

function optionsOf(changes: Partial<LoaderOptions>): LoaderOptions {
  const fixed = { batchSize: 5, size: SIZE, convention: EXPR_CONVENTION, seed: 7, epoch: 2 };
  return { ...fixed, augmentation: AUGMENTATION, ...changes };
}

async function collect(source: SampleSource, changes: Partial<LoaderOptions>): Promise<Batch[]> {
  const batches: Batch[] = [];
  for await (const batch of loadBatches(source, ORDER, optionsOf(changes))) batches.push(batch);
  return batches;
}

Deno.test("any number of workers, with and without caches, far ahead or not: the same bytes", async () => {
  await withClips(async (source) => {
    const expected = await collect(source, {});
    assertEquals(expected.map(({ count }) => count), [5, 5, 5, 5, 3]);
    assertEquals(expected[0].images.length, 5 * 3 * SIZE * SIZE * 3);
    for (const count of [0, 1, 3]) {
      using workers = new ImageWorkers(count);
      const cache = new ImageCache(1e6);
      const variants: Partial<LoaderOptions>[] = [
        {},
        { prefetch: 0 },
        { prefetch: 1 }, // three workers share a batch
        { prefetchBytes: 1 },
        { cache },
        { cache }, // now all is in it
        { cache: new ImageCache(5000) },
      ];
      for (const variant of variants) {
        assertEquals(await collect(source, { ...variant, workers }), expected, JSON.stringify(variant));
      }
      assert(cache.get(source.get(0).track.imageFolder + "/00001.jpg") !== undefined && !cache.full);
    }
  });
});

Deno.test("any number of workers: the same images left out, the same list, the same first error", async () => {
  await withClips(async (source, pathOf) => {
    for (const i of [4, 11, 12]) {
      await Deno.writeFile(pathOf(i), (await Deno.readFile(pathOf(i))).subarray(0, 300));
    }
    await Deno.remove(pathOf(20));
    const skipped = new BadImages("skip");
    const expected = await collect(source, { badImages: skipped, prefetch: 0 });
    assertEquals(skipped.list().map(({ path }) => path), [4, 11, 12, 20].map(pathOf));
    const firstError = await collect(source, {}).then(() => undefined, ({ message }) => message);
    assertStringIncludes(firstError, "Cannot ");
    for (const count of [0, 1, 3]) {
      using workers = new ImageWorkers(count);
      const badImages = new BadImages("skip");
      for (const variant of [{}, { prefetch: 1 }, { cache: new ImageCache(1e6) }]) {
        assertEquals(await collect(source, { ...variant, workers, badImages }), expected);
        assertEquals(badImages.list(), skipped.list());
      }
      for (let i = 0; i < 5; i++) {
        const strict = new BadImages("error");
        const error = await assertRejects(() => collect(source, { workers, badImages: strict }), ImageError);
        assertEquals(error.message, firstError);
        assertEquals(strict.list().map(({ path }) => path), [error.path]); // not what lay ahead of it
        assertEquals(
          error.message,
          (await assertRejects(() => collect(source, { workers }), ImageError)).message,
        );
      }
    }
  });
});

Deno.test("an image found bad is left out of batches that were made ahead with it, as of those made later", async () => {
  await withClips(async (source, pathOf) => {
    const bytes = await Deno.readFile(pathOf(6));
    await Deno.remove(pathOf(6));
    const order = Int32Array.of(6, 5, 1, 2); // frame 6 is in the first two
    const badImages = new BadImages("skip");
    const batches: Batch[] = [];
    // The first batch is made while the file is gone, the others once it is back.
    const returning: SampleSource = {
      count: source.count,
      get(i) {
        if (i === 5) Deno.writeFileSync(pathOf(6), bytes);
        return source.get(i);
      },
    };
    const options = optionsOf({ batchSize: 1, badImages, prefetch: 0 });
    for await (const batch of loadBatches(returning, order, options)) batches.push(batch);
    assertEquals(batches.map(({ bad }) => [...bad]), [[0, 2], [1], [], []]);
    const known = new BadImages("skip", badImages.list());
    using workers = new ImageWorkers(2);
    for (const changes of [{ badImages: known }, { badImages: known, workers }]) {
      const again: Batch[] = [];
      for await (const batch of loadBatches(source, order, optionsOf({ batchSize: 1, ...changes }))) {
        again.push(batch);
      }
      assertEquals(again, batches);
    }
  });
});

Deno.test("batches made ahead are bounded in number and in bytes", async () => {
  await withClips(async (source) => {
    const bytes = 4 * 3 * SIZE * SIZE * 3; // of a batch of one clip
    using two = new ImageWorkers(2);
    using six = new ImageWorkers(6);
    const cases: [Partial<LoaderOptions>, number][] = [
      [{}, 4],
      [{ workers: two }, 4],
      [{ workers: six }, 7],
      [{ prefetch: 2, workers: two }, 2],
      [{ prefetch: 0 }, 0],
      [{ prefetch: 9, prefetchBytes: 3 * bytes }, 3],
      [{ prefetch: 9, prefetchBytes: 1, workers: two }, 1],
    ];
    for (const [changes, most] of cases) {
      let asked = 0;
      let taken = 0;
      let ahead = 0;
      const counted: SampleSource = {
        count: source.count,
        get(i) {
          asked++;
          ahead = Math.max(ahead, asked - 1 - taken); // the first question is about the size of a batch
          return source.get(i);
        },
      };
      for await (const _ of loadBatches(counted, ORDER, optionsOf({ batchSize: 1, ...changes }))) taken++;
      assertEquals([taken, ahead], [FRAMES, most + 1], JSON.stringify(changes)); // and the one that is waited for
    }
  });
});

Deno.test("a break, an error in the loop and the signal end the work; the workers go on with the next", async () => {
  await withClips(async (source) => {
    using workers = new ImageWorkers(2);
    const expected = await collect(source, {});
    for (let round = 0; round < 5; round++) {
      for await (const batch of loadBatches(source, ORDER, optionsOf({ workers }))) {
        assertEquals(batch, expected[0]);
        break;
      }
      await assertRejects(
        async () => {
          for await (const _ of loadBatches(source, ORDER, optionsOf({ workers }))) throw new Error("enough");
        },
        Error,
        "enough",
      );
      const controller = new AbortController();
      let batches = 0;
      for await (const _ of loadBatches(source, ORDER, optionsOf({ workers, signal: controller.signal }))) {
        if (++batches === 2) controller.abort();
      }
      assertEquals(batches, 2);
      assertEquals(await collect(source, { workers }), expected);
    }
  });
});

Deno.test("a failure in a worker is an error of its order alone; a pool that is disposed makes nothing more", async () => {
  await withClips(async (_, pathOf) => {
    const order = {
      count: 1,
      size: SIZE,
      convention: EXPR_CONVENTION,
      images: [{ path: pathOf(0), rows: [0] }],
      keep: "none",
    } as const;
    const workers = new ImageWorkers(1);
    const wrong = { ...order, convention: { ...EXPR_CONVENTION, std: null as never } };
    const [failed, made] = await Promise.allSettled([workers.make(wrong), workers.make(order)]);
    assert(failed.status === "rejected" && made.status === "fulfilled");
    assertStringIncludes(failed.reason.message, "Cannot make images: a worker failed: TypeError");
    assert(!/^\s+at /m.test(failed.reason.message), failed.reason.message);
    const unfinished = Promise.allSettled(Array.from({ length: 9 }, () => workers.make(order)));
    workers[Symbol.dispose]();
    for (const outcome of [...await unfinished, ...await Promise.allSettled([workers.make(order)])]) {
      assert(outcome.status === "rejected");
      assertStringIncludes(outcome.reason.message, "the workers were ended");
    }
    for (const count of [-1, 1.5, NaN]) assertThrows(() => new ImageWorkers(count), RangeError, "0 or more");
  });
});

Deno.test("a process whose pool is disposed amid its work ends by itself", async () => {
  await withClips(async (_, pathOf) => {
    const pool = new URL("../../data/image_workers.ts", import.meta.url).href;
    const convention = new URL("../../data/input_convention.ts", import.meta.url).href;
    const script = `${pathOf(0)}.ts`;
    await Deno.writeTextFile(
      script,
      `import { ImageWorkers } from ${JSON.stringify(pool)};
import { EXPR_CONVENTION } from ${JSON.stringify(convention)};
using workers = new ImageWorkers(3);
const images = Array.from({ length: 60 }, (_, row) => ({ path: ${JSON.stringify(pathOf(0))}, rows: [row] }));
const order = { count: 60, size: 224, convention: EXPR_CONVENTION, images, keep: "none" } as const;
const work = Array.from({ length: 20 }, () => workers.make(order).catch(() => {}));
await work[0];
console.log("begun");`,
    );
    const { code, stdout, stderr } = await new Deno.Command("deno", {
      args: [
        "run",
        "--no-check",
        "--allow-read",
        "--allow-env=npm_package_config_libvips,MALLOC_ARENA_MAX",
        "--allow-ffi",
        `--config=${new URL("../../deno.json", import.meta.url).pathname}`,
        script,
      ],
    }).output();
    assertEquals([code, new TextDecoder().decode(stdout)], [0, "begun\n"], new TextDecoder().decode(stderr));
  });
});
