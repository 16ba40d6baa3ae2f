import { assert, assertEquals, assertGreater, assertNotEquals, assertRejects } from "@std/assert";
import { ACTION_UNITS, type LabelSet, readDataset, UNLABELLED } from "../../../data/aff_wild2/mod.ts";
import { decodeImage } from "../../../data/images.ts";
import { RandomStream } from "../../../data/random.ts";
import { UNIT_THRESHOLD } from "../../../data/synthetic/expressions.ts";
import { contactSheet, type SynthesisOptions, synthesize } from "../../../data/synthetic/mod.ts";
import { planSet } from "../../../data/synthetic/plan.ts";
import { renderJpeg } from "../../../data/synthetic/render.ts";
import { planTrack } from "../../../data/synthetic/track.ts";

const SPLITS = ["train", "validation"] as const;
const LABEL_SETS = ["expression", "action_units"] as const;
const SETTINGS = { tracks: 6, frames: 40, seed: 7, size: 24 } as const;

/** Runs with a folder that is not there yet and is removed afterwards. */
async function withOut(run: (out: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "synthetic_" });
  try {
    await run(`${folder}/set`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Every file below a folder, by path, sorted. */
async function readTree(folder: string, prefix = ""): Promise<[string, Uint8Array][]> {
  const files: [string, Uint8Array][] = [];
  const entries = Array.from(Deno.readDirSync(folder)).sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name, isDirectory } of entries) {
    const path = `${folder}/${name}`;
    if (isDirectory) files.push(...await readTree(path, `${prefix}${name}/`));
    else files.push([prefix + name, await Deno.readFile(path)]);
  }
  return files;
}

/** Waits until no file appears any more: frames under way at an interruption are still written. */
async function settled(folder: string): Promise<void> {
  let [before, now] = [-1, (await readTree(folder)).length];
  while (before !== now) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    [before, now] = [now, (await readTree(folder)).length];
  }
}

const make = (out: string, changes: Partial<SynthesisOptions> = {}) =>
  synthesize({ out, ...SETTINGS, ...changes });

async function readSplits(root: string, labelSet: LabelSet) {
  return await Promise.all(SPLITS.map((split) => readDataset(root, { labelSet, split })));
}

Deno.test("synthesize: same seed, same bytes in every file; another seed, other bytes", () =>
  withOut(async (out) => {
    const small = { tracks: 2, frames: 12 };
    await make(`${out}1`, small);
    await make(`${out}2`, small);
    await make(`${out}3`, { ...small, seed: 8 });
    const [one, two, three] = [
      await readTree(`${out}1`),
      await readTree(`${out}2`),
      await readTree(`${out}3`),
    ];
    assertEquals(one, two);
    const other = new Map(three);
    const crops = one.filter(([path]) => path.endsWith(".jpg") && other.has(path));
    assertGreater(crops.length, 0);
    for (const [path, bytes] of crops) assertNotEquals(other.get(path), bytes, path);
  }));

Deno.test("synthesize: the result counts what is on disk, progress ends at the total", () =>
  withOut(async (out) => {
    const seen: [number, number][] = [];
    const result = await make(out, { onProgress: (done, total) => void seen.push([done, total]) });
    const planned = planSet(SETTINGS.tracks, SETTINGS.frames, SETTINGS.seed, false);
    assertEquals(result.tracks, 6);
    assertEquals(result.frames, planned.reduce((sum, { frames }) => sum + frames, 0));
    const crops = (await readTree(out)).filter(([path]) => path.endsWith(".jpg"));
    assertEquals(result.images, crops.length);
    assertEquals(seen.map(([done]) => done), seen.map((_, i) => i + 1));
    assertEquals(seen.at(-1), [result.frames, result.frames]);
    const { width, height } = await decodeImage(crops[0][1], crops[0][0]);
    assertEquals([width, height], [24, 24]);
  }));

Deno.test("synthesize: the reader takes every track of both label sets, and finds the oddities", () =>
  withOut(async (out) => {
    await make(out, { frames: 120 });
    const planned = planSet(SETTINGS.tracks, 120, SETTINGS.seed, false);
    for (const labelSet of LABEL_SETS) {
      const [train, validation] = await readSplits(out, labelSet);
      for (const [split, dataset] of [["train", train], ["validation", validation]] as const) {
        assertEquals(dataset.skipped, []);
        const wanted = planned.filter((plan) => plan.split === split)
          .map(({ name, frames }) => `${name} ${frames}`).sort();
        assertEquals(dataset.tracks.map((track) => `${track.name} ${track.annotatedFrames}`), wanted);
      }
      const tracks = [...train.tracks, ...validation.tracks];
      const sum = (values: number[]) => values.reduce((a, b) => a + b, 0);
      assertGreater(sum(tracks.map(({ dropped }) => dropped.unlabelled)), 0);
      assertGreater(sum(tracks.map(({ dropped }) => dropped.missingCrop)), 0);
      assertEquals(tracks.filter(({ video, name }) => video === "video1" && name !== video).length, 2);
      assertEquals(tracks.filter(({ annotatedFrames }) => annotatedFrames < 9).length, 1);
    }
    const files = (await readTree(`${out}/annotations/EXPR_Set`)).map(([, bytes]) =>
      new TextDecoder().decode(bytes)
    );
    assertEquals(files.filter((text) => text.includes("\r\n")).length, 1);
  }));

Deno.test("synthesize: labels on disk are those of the frames' parameters", () =>
  withOut(async (out) => {
    await make(out);
    const planned = planSet(SETTINGS.tracks, SETTINGS.frames, SETTINGS.seed, false);
    const states = new Map(
      planned.map(({ name, frames, expressions }) => [
        name,
        planTrack(SETTINGS.seed, name, frames, expressions).states,
      ]),
    );
    for (const labelSet of LABEL_SETS) {
      let compared = 0;
      for (const { tracks, labelWidth } of await readSplits(out, labelSet)) {
        for (const { name, frames, labels } of tracks) {
          frames.forEach((frame, i) => {
            const { expression, intensities } = states.get(name)![frame - 1];
            const wanted = labelSet === "expression"
              ? [expression]
              : ACTION_UNITS.map((unit) => Number(intensities[unit] > UNIT_THRESHOLD));
            const given = Array.from(labels.subarray(i * labelWidth, (i + 1) * labelWidth));
            assert(!given.includes(UNLABELLED));
            assertEquals(given, wanted, `${name}, frame ${frame}`);
            compared++;
          });
        }
      }
      assertGreater(compared, 150);
    }
  }));

Deno.test("synthesize: crop k on disk is the rendering of frame k, whatever was made before it", () =>
  withOut(async (out) => {
    await make(out);
    const planned = planSet(SETTINGS.tracks, SETTINGS.frames, SETTINGS.seed, false);
    const [train] = await readSplits(out, "expression");
    const { name, frames } = train.tracks[0];
    const { frames: count, expressions } = planned.find((plan) => plan.name === name)!;
    const plan = planTrack(SETTINGS.seed, name, count, expressions);
    for (const frame of [frames.at(-1)!, frames[0]]) {
      const noise = new RandomStream(SETTINGS.seed, "noise", name, frame - 1);
      const onDisk = await Deno.readFile(
        `${out}/cropped_aligned/${name}/${String(frame).padStart(5, "0")}.jpg`,
      );
      assertEquals(onDisk, await renderJpeg(plan.scene(frame - 1), SETTINGS.size, noise));
    }
  }));

Deno.test("synthesize: keeps a set with the same parameters, replaces one with others", () =>
  withOut(async (out) => {
    const small = { tracks: 2, frames: 6 };
    const first = await make(out, small);
    assertEquals(first.reused, false);
    const kept = await make(out, small);
    assertEquals([kept.reused, kept.images, kept.frames], [true, first.images, first.frames]);
    const longer = await make(out, { ...small, frames: 3 });
    assertEquals([longer.reused, longer.frames], [false, 6]);
    const crops = (await readTree(`${out}/cropped_aligned`)).map(([path]) => path);
    assert(crops.every((path) => /0000[1-3]\.jpg$/.test(path)), crops.join(" "));
  }));

Deno.test("synthesize: a set that another one was about to replace is never taken for whole", () =>
  withOut(async (out) => {
    const small = { tracks: 2, frames: 3 };
    await make(out, { ...small, seed: 1 });
    const whole = await readTree(out);
    const remove = Deno.remove;
    let removals = 0;
    Deno.remove = async (...args) => {
      if (String(args[0]).startsWith(`${out}/`) && removals++ === 1) throw new Error("ended by the test");
      await remove(...args);
    };
    try {
      await assertRejects(() => make(out, { ...small, seed: 2 }), Error, "ended by the test");
    } finally {
      Deno.remove = remove;
    }
    assertEquals((await make(out, { ...small, seed: 1 })).reused, false);
    assertEquals(await readTree(out), whole);
  }));

Deno.test("synthesize: leaves a folder that holds something else alone", () =>
  withOut(async (out) => {
    await Deno.mkdir(out);
    await Deno.writeTextFile(`${out}/thesis.txt`, "mine");
    const error = await assertRejects(() => make(out), Error, "no synthetic set");
    assert((error as Error).message.includes("thesis.txt"));
    assertEquals((await readTree(out)).map(([path]) => path), ["thesis.txt"]);
  }));

Deno.test("synthesize: an interrupted set is marked, is not reused, and is made whole by the next run", () =>
  withOut(async (out) => {
    const controller = new AbortController();
    const small = { tracks: 2, frames: 30 };
    await assertRejects(
      () =>
        make(out, {
          ...small,
          signal: controller.signal,
          onProgress: (done) => done === 10 && controller.abort(new Error("stopped by the test")),
        }),
      Error,
      "stopped by the test",
    );
    await settled(out);
    assertEquals(JSON.parse(await Deno.readTextFile(`${out}/synthetic.json`)).complete, false);
    const again = await make(out, small);
    assertEquals(again.reused, false);
    await make(`${out}2`, small);
    assertEquals(await readTree(out), await readTree(`${out}2`));
  }));

Deno.test("contactSheet: a PNG with seven columns and a caption row, the same for the same seed", async () => {
  const sheet = await contactSheet(3, 2, 32);
  const { width, height } = await decodeImage(sheet, "the sheet");
  assertEquals(width, 7 * 32);
  assertGreater(height, 2 * 32);
  assertEquals(await contactSheet(3, 2, 32), sheet);
  const [{ pixels }, other] = await Promise.all(
    [sheet, await contactSheet(4, 2, 32)].map((bytes) => decodeImage(bytes, "the sheet")),
  );
  // Other people, not only other noise, which stays under ten levels.
  const changed = pixels.filter((value, i) => Math.abs(value - other.pixels[i]) > 40).length;
  assertGreater(changed, pixels.length / 10);
});
