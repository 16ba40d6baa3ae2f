/** What `predict` takes a folder for. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { listCrops } from "../../../data/aff_wild2/crops.ts";
import { type Clip, findClips } from "../../../tasks/predict/clips.ts";
import { UserError } from "../../../tasks/run/cli.ts";

/** Runs with a folder of empty files; names that end in / are folders. */
async function withFolder(
  names: readonly string[],
  run: (
    folder: string,
    find: (cropped?: boolean) => Promise<Clip[]>,
    lines: readonly string[],
  ) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const name of names) {
      const path = `${folder}/${name}`;
      await Deno.mkdir(path.replace(/[^/]*$/, ""), { recursive: true });
      if (!name.endsWith("/")) await Deno.writeTextFile(path, "");
    }
    const lines: string[] = [];
    const log = (line: string) => void lines.push(line);
    await run(folder, (cropped = false) => findClips([folder], { cropped, log }), lines);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const framesOf = (clips: readonly Clip[]) =>
  clips.map((clip) => clip.kind === "crops" ? clip.frames : clip.kind);

Deno.test("predict: a folder whose pictures are all named as crops is one clip; any other is a clip a picture", async () => {
  await withFolder([".DS_Store", "00002.jpg", "00005.jpg", "notes.txt"], async (_, find) => {
    const [clip] = await find();
    assertEquals(clip.kind === "crops" && [...clip.files], [[2, "00002.jpg"], [5, "00005.jpg"]]);
    assertEquals(framesOf(await find()), [5]);
  });
  for (const other of ["party.jpg", "0200131.jpg"]) {
    await withFolder(["00002.jpg", other], async (folder, find, lines) => {
      assertEquals(framesOf(await find()), ["image", "image"]);
      assertEquals(lines.length, 1);
      assertStringIncludes(lines[0], `${folder}: not all pictures are named as crops`);
      assertEquals(framesOf(await find(true)), [2]);
    });
  }
});

Deno.test("predict: crops that are numbered from 0 or far apart are refused unless they are said to be crops", async () => {
  await withFolder(["00000.jpg", "00001.jpg"], async (_, find) => {
    await assertRejects(find, UserError, "numbered from 00000.jpg");
    const [clip] = await find(true);
    assertEquals(clip.kind === "crops" && [...clip.files], [[1, "00000.jpg"], [2, "00001.jpg"]]);
  });
  await withFolder(["200131.jpg", "00001.jpg"], async (_, find) => {
    await assertRejects(
      find,
      UserError,
      "its 2 pictures are named as crops of one face are, up to frame 200131",
    );
    assertEquals(framesOf(await find(true)), [200131]);
  });
  await withFolder(
    ["00001.jpg", "00200.jpg"],
    async (_, find) => assertEquals(framesOf(await find()), [200]),
  );
});

Deno.test("predict: what is neither picture nor video does not stop a folder", async () => {
  await withFolder(
    ["a.png", "sub.png/", "sub.mp4/", ".hidden.png", "._a.png"],
    async (folder, find, lines) => {
      await Deno.symlink(`${folder}/nothing`, `${folder}/z.jpg`);
      const clips = await find();
      assertEquals(clips.map(({ name }) => name), [`${folder}/a.png`, `${folder}/z.jpg`]);
      assertEquals(lines, [`${folder}: 2 entries are neither images nor videos`]);
      await Deno.symlink(`${folder}/nothing`, `${folder}/z.mp4`);
      const error = await assertRejects(find, UserError);
      assertEquals(
        error.message,
        `Cannot read ${folder}/z.mp4: it does not exist; expected an image or a video`,
      );
    },
  );
});

Deno.test("predict: a file's name in two lines is refused", async () => {
  await withFolder(["a\nb.png"], async (_, find) => {
    await assertRejects(find, UserError, "its name has a line break");
  });
});

Deno.test("predict: stray entries of a tree are passed over; one without a track is refused", async () => {
  const tree = [
    "cropped_aligned/1/00001.jpg",
    "cropped_aligned/.DS_Store",
    "cropped_aligned/notes.txt",
    "annotations/.DS_Store",
    "annotations/readme.txt",
    "annotations/EXPR_Set/.DS_Store",
    "annotations/EXPR_Set/Validation_Set/.1.txt",
  ];
  await withFolder(tree, async (folder, find) => {
    const labels = `${folder}/annotations/EXPR_Set/Validation_Set/1.txt`;
    await Deno.writeTextFile(labels, "header\n0\n0\n0\n");
    assertEquals(framesOf(await find()), [3]);
    await Deno.remove(labels);
    await Deno.mkdir(labels);
    const { message } = await assertRejects(find, UserError);
    assertEquals(
      message,
      `Cannot read the annotations ${labels}: it is a folder, not a file; expected a file of labels`,
    );
  });
  await withFolder(["cropped_aligned/"], async (folder, find) => {
    await assertRejects(
      find,
      UserError,
      `Cannot predict ${folder}: ${folder}/cropped_aligned holds no folder`,
    );
  });
});

Deno.test("a number that frames cannot have is no crop's", () => {
  const { numbers, others } = listCrops(
    ["4294967297.jpg", "2147483648.jpg", "2147483647.jpg", "00002.jpg"],
    "f",
  );
  assertEquals([[...numbers], others], [[2, 2147483647], 2]);
});
