import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  DatasetIndex,
  INDEX_NAME,
  type LabelSet,
  readDataset,
  type Split,
} from "../../../data/aff_wild2/mod.ts";
import { type IndexContent, readIndex, UNCHECKED, writeIndex } from "../../../data/aff_wild2/index_file.ts";
import { prepareIndex, type PrepareOptions } from "../../../data/aff_wild2/prepare.ts";
import { onFullDisk } from "../../_full_disk.ts";
import { noisyJpeg, refused } from "../_bad_images.ts";
import { actionUnitText, expressionText, upTo, withFolder, writeTracks } from "./_fixture.ts";

const SETS: readonly [LabelSet, Split][] = [
  ["expression", "train"],
  ["expression", "validation"],
  ["action_units", "train"],
  ["action_units", "validation"],
];

const FILES = {
  "EXPR_Set/Train_Set/video1": { text: expressionText(0, 1, -1, 3, 4), crops: upTo(6) },
  "EXPR_Set/Train_Set/video2_left": { text: expressionText(5, 6), crops: [2], others: ["notes.txt"] },
  "EXPR_Set/Train_Set/video3": { text: expressionText(1, 1) }, // no folder of crops
  "EXPR_Set/Validation_Set/video4": { text: expressionText(2, 2, 2), crops: [1, 3] },
  "AU_Set/Train_Set/video1": { text: actionUnitText(0, 1, 1, -1) },
  "AU_Set/Validation_Set/video4": { text: actionUnitText(1, 0, 1) },
};
/** crops in all, and files of annotations */
const CROPS = 9;
const ANNOTATIONS = 6;

/** A tree whose crops are good images. */
function withTree(body: (root: string) => Promise<void>): Promise<void> {
  return withFolder(async (root) => {
    await writeTracks(root, FILES);
    let seed = 0;
    for (const { name: track } of Deno.readDirSync(`${root}/cropped_aligned`)) {
      for (const { name } of Deno.readDirSync(`${root}/cropped_aligned/${track}`)) {
        if (!name.endsWith(".jpg")) continue;
        await Deno.writeFile(`${root}/cropped_aligned/${track}/${name}`, await noisyJpeg(++seed, 16));
      }
    }
    await body(root);
  });
}

async function prepare(root: string, options: Omit<PrepareOptions, "previous"> & { fresh?: boolean } = {}) {
  const path = `${root}/${INDEX_NAME}`;
  const previous = options.fresh ? undefined : await readIndex(path, { images: true }).catch(() => undefined);
  const preparation = await prepareIndex(root, { ...options, previous });
  await writeIndex(path, preparation.content);
  return preparation;
}

async function open(root: string): Promise<DatasetIndex> {
  return await DatasetIndex.open(`${root}/${INDEX_NAME}`, root);
}

/** All sets as read from disk, and as read with the index, which must be the same. */
async function requireSame(root: string): Promise<DatasetIndex> {
  const index = await open(root);
  for (const [labelSet, split] of SETS) {
    assertEquals(
      await readDataset(root, { labelSet, split, index }),
      await readDataset(root, { labelSet, split }),
    );
  }
  return index;
}

/** Sets a file's or folder's time of change well apart from what it was: clocks of file systems are coarse. */
async function touch(path: string): Promise<void> {
  const { mtime } = await Deno.stat(path);
  await Deno.utime(path, new Date(), new Date(mtime!.getTime() + 5000));
}

Deno.test("prepare: what is read with the index is what is read without, and nothing is read anew", async () => {
  await withTree(async (root) => {
    const { effort, problems, sets, content, interrupted } = await prepare(root);
    assertEquals(effort, { annotations: ANNOTATIONS, folders: 3, decoded: CROPS, crops: CROPS });
    assertEquals([problems, interrupted, sets.length], [[], false, 4]);
    const index = await requireSame(root);
    assertEquals(index.changed, []);
    assertEquals(index.unchanged, ANNOTATIONS + 5); // the folder of crops that is not there counts as neither
    const read = await readIndex(`${root}/${INDEX_NAME}`, { images: true });
    assertEquals(read, content as unknown);
    const short = await readIndex(`${root}/${INDEX_NAME}`, { images: false });
    assertEquals(short.annotations, read.annotations);
    assertEquals([...short.crops.values()].every(({ sizes, mtimes }) => !sizes && !mtimes), true);
  });
});

Deno.test("prepare: again does nothing; after a change only what changed; fresh, everything", async () => {
  await withTree(async (root) => {
    await prepare(root);
    const again = async (fresh = false) => (await prepare(root, { fresh })).effort;
    assertEquals(await again(), { annotations: 0, folders: 0, decoded: 0, crops: CROPS });

    const image = `${root}/cropped_aligned/video1/00002.jpg`;
    await Deno.writeFile(image, await noisyJpeg(77, 32));
    await touch(image);
    assertEquals(await again(), { annotations: 0, folders: 0, decoded: 1, crops: CROPS });

    await Deno.writeFile(`${root}/cropped_aligned/video4/00002.jpg`, await noisyJpeg(78, 16));
    await touch(`${root}/cropped_aligned/video4`);
    assertEquals(await again(), { annotations: 0, folders: 1, decoded: 1, crops: CROPS + 1 });

    const file = `${root}/annotations/EXPR_Set/Train_Set/video1.txt`;
    await Deno.writeTextFile(file, expressionText(6, 6, -1, 6, 6)); // as long as before
    await touch(file);
    assertEquals(await again(), { annotations: 1, folders: 0, decoded: 0, crops: CROPS + 1 });
    assertEquals((await requireSame(root)).changed, []);
    assertEquals(await again(true), {
      annotations: ANNOTATIONS,
      folders: 3,
      decoded: CROPS + 1,
      crops: CROPS + 1,
    });
  });
});

Deno.test("index: what changed after it was written is read anew, and named", async () => {
  await withTree(async (root) => {
    await prepare(root);
    const file = `${root}/annotations/AU_Set/Validation_Set/video4.txt`;
    await Deno.writeTextFile(file, actionUnitText(0, 0, 0));
    await touch(file);
    const folder = `${root}/cropped_aligned/video2_left`;
    await Deno.remove(`${folder}/00002.jpg`);
    await Deno.writeFile(`${folder}/00001.jpg`, await noisyJpeg(5, 16));
    await touch(folder);
    const added = { text: expressionText(3, 3), crops: [1, 2] };
    await writeTracks(root, { "EXPR_Set/Train_Set/video9": added });
    const index = await requireSame(root);
    assertEquals([...index.changed].sort(), [
      file,
      `${root}/annotations/EXPR_Set/Train_Set/video9.txt`,
      folder,
      `${root}/cropped_aligned/video9`,
    ]);
    await Deno.remove(`${root}/cropped_aligned/video1`, { recursive: true });
    const { tracks } = await readDataset(root, {
      labelSet: "expression",
      split: "train",
      index: await open(root),
    });
    assertEquals(tracks.map(({ name }) => name), ["video2_left", "video9"]);
  });
});

Deno.test("prepare: every unreadable crop is listed with its reason, until its file is another", async () => {
  await withTree(async (root) => {
    const folder = `${root}/cropped_aligned/video1`;
    const kinds = Object.entries(await refused());
    const frames = kinds.map((_, i) => i + 1);
    for (const [i, [, bytes]] of kinds.entries()) {
      await Deno.writeFile(`${folder}/${String(i + 1).padStart(5, "0")}.jpg`, bytes);
    }
    const { content } = await prepare(root);
    assertEquals([...content.crops.get("cropped_aligned/video1")!.bad.keys()], frames);
    const train = await readDataset(root, { labelSet: "expression", split: "train" });
    const labelled = [1, 2, 4, 5]; // frame 3 has no label
    const known = (await open(root)).badImages(train);
    assertEquals(known.map(({ path }) => path), labelled.map((frame) => `${folder}/0000${frame}.jpg`));
    assertEquals(known[0].reason, "the file is empty");
    await Deno.writeFile(`${folder}/00001.jpg`, await noisyJpeg(9, 16));
    await Deno.remove(`${folder}/00005.jpg`);
    const left = (await open(root)).badImages(train).map(({ path }) => path.slice(-9));
    assertEquals(left, ["00002.jpg", "00004.jpg"]);
    const { effort, content: { crops } } = await prepare(root);
    assertEquals([effort.decoded, crops.get("cropped_aligned/video1")!.bad.size], [1, kinds.length - 2]);
  });
});

Deno.test("prepare: a crop that cannot be read is known to runs, and tried again every time", async () => {
  await withTree(async (root) => {
    const [folder, elsewhere] = [`${root}/cropped_aligned/video4`, `${root}/elsewhere.jpg`];
    await Deno.remove(`${folder}/00001.jpg`);
    await Deno.symlink(elsewhere, `${folder}/00001.jpg`);
    await Deno.mkdir(`${folder}/00002.jpg`);
    await prepare(root);
    const validation = await readDataset(root, { labelSet: "expression", split: "validation" });
    const known = async () => (await open(root)).badImages(validation).map(({ reason }) => reason);
    assertEquals(await known(), ["it does not exist", "it is no file"]);
    assertEquals((await prepare(root)).effort.decoded, 2);
    await Deno.writeFile(elsewhere, await noisyJpeg(9, 16));
    assertEquals(await known(), ["it is no file"]);
    assertEquals((await prepare(root)).effort.decoded, 2);
    assertEquals([(await prepare(root)).effort.decoded, await known()], [1, ["it is no file"]]);
  });
});

Deno.test("prepare: hard links of one file are decoded once, each is listed", async () => {
  await withTree(async (root) => {
    const folder = `${root}/cropped_aligned/video4`;
    await Deno.writeFile(`${folder}/00001.jpg`, new Uint8Array(10));
    for (const frame of [2, 4]) await Deno.link(`${folder}/00001.jpg`, `${folder}/0000${frame}.jpg`);
    const { effort, content } = await prepare(root);
    assertEquals([effort.crops, effort.decoded], [CROPS + 2, CROPS]);
    assertEquals([...content.crops.get("cropped_aligned/video4")!.bad.keys()].sort(), [1, 2, 4]);
  });
});

Deno.test("prepare: stopped, it keeps what is decoded, and the next time decodes the rest", async () => {
  await withTree(async (root) => {
    for (let frame = 7; frame <= 200; frame++) {
      const name = `${root}/cropped_aligned/video1/${String(frame).padStart(5, "0")}.jpg`;
      await Deno.writeFile(name, await noisyJpeg(frame, 16));
    }
    const controller = new AbortController();
    const onImage = (done: number) => done === 20 && controller.abort();
    const first = await prepare(root, { signal: controller.signal, onImage });
    const total = CROPS + 194;
    const sizes = [...first.content.crops.values()].flatMap(({ sizes }) => [...sizes!]);
    const unchecked = sizes.filter((size) => size === UNCHECKED).length;
    assertEquals([first.interrupted, first.effort.crops], [true, total]);
    assert(first.effort.decoded >= 20 && unchecked === total - first.effort.decoded && unchecked > 0);
    const second = await prepare(root);
    assertEquals([second.interrupted, second.effort.decoded], [false, unchecked]);
  });
});

Deno.test("prepare: all that cannot be read is told, the rest is indexed", async () => {
  await withTree(async (root) => {
    const annotations = `${root}/annotations`;
    await Deno.writeTextFile(`${annotations}/EXPR_Set/Train_Set/video1.txt`, expressionText(0, 9));
    await Deno.remove(`${annotations}/AU_Set/Validation_Set`, { recursive: true });
    await Deno.writeFile(`${root}/cropped_aligned/video4/00000.jpg`, await noisyJpeg());
    const { problems, sets, content } = await prepare(root);
    assertEquals(problems.length, 3);
    assertEquals(
      problems.map((problem) =>
        ["Validation_Set: it does not exist", "line 3: expected", "00000.jpg; every label"].findIndex((
          part,
        ) => problem.includes(part))
      ),
      [0, 1, 2],
    );
    assertEquals([sets.length, content.annotations.size, content.crops.size], [3, ANNOTATIONS - 2, 2]);
  });
});

Deno.test("prepare: a label set may be missing; a tree without any is a problem", async () => {
  await withTree(async (root) => {
    await Deno.remove(`${root}/annotations/AU_Set`, { recursive: true });
    const one = await prepare(root);
    assertEquals([one.problems, one.sets.length], [[], 2]);
    await Deno.rename(`${root}/annotations/EXPR_Set`, `${root}/annotations/VA_Set`);
    const { problems } = await prepare(root);
    assertEquals(problems.length, 1);
    assert(problems[0].includes("expected EXPR_Set or AU_Set"), problems[0]);
  });
});

Deno.test("index: a file that is none, not whole, or of another version is refused; a failed write leaves the old", async () => {
  await withTree(async (root) => {
    await prepare(root);
    const path = `${root}/${INDEX_NAME}`;
    const whole = await Deno.readFile(path);
    const other = whole.slice();
    new DataView(other.buffer).setUint32(8, 2, true);
    const wrong: [Uint8Array, string][] = [
      [new Uint8Array(), "does not begin as one"],
      [new TextEncoder().encode("not an index, but long enough"), "does not begin as one"],
      [whole.subarray(0, 20), "is not whole"],
      [whole.subarray(0, whole.length - 8), "is not whole"],
      [new Uint8Array([...whole, 0]), "is not whole"],
      [other, "has version 2; expected 1"],
    ];
    for (const [bytes, reason] of wrong) {
      await Deno.writeFile(path, bytes);
      for (const images of [true, false]) {
        await assertRejects(() => readIndex(path, { images }), Error, reason);
      }
    }
    await Deno.writeFile(path, whole);
    const content: IndexContent = { annotations: new Map(), crops: new Map() };
    await onFullDisk(() => assertRejects(() => writeIndex(path, content), Error, "Cannot write the index"));
    assertEquals(await Deno.readFile(path), whole);
    assertEquals([...Deno.readDirSync(root)].filter(({ name }) => name.endsWith(".tmp")), []);
  });
});
