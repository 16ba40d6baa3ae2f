import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { imagePath } from "../../data/aff_wild2/types.ts";
import { synthesizeIdentities } from "../../data/synthetic/mod.ts";
import { readIdentities } from "../../data/vggface2.ts";

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const SMALL = { identities: 3, images: 11, seed: 5, size: 32 };

Deno.test("people are written in VGGFace2's layout, and read back as classes, every tenth picture for validation", () =>
  inFolder(async (out) => {
    assertEquals((await synthesizeIdentities({ out, ...SMALL })).images, 33);
    const train = await readIdentities(out, "train");
    const validation = await readIdentities(out, "validation");
    assertEquals(train.classNames, ["n000001", "n000002", "n000003"]);
    assertEquals(train.tracks.map(({ frames }) => frames.length), [10, 10, 10]);
    assertEquals(validation.tracks.map(({ labels }) => [...labels]), [[0], [1], [2]]);
    assert(imagePath(validation.tracks[2], 0).endsWith("train/n000003/0010_01.jpg"));
    assertEquals(await readIdentities(`${out}/train`, "train").then(({ tracks }) => tracks.length), 3);
  }));

Deno.test("the same seed gives the same bytes, another picture or person others; a whole set is kept", () =>
  inFolder(async (folder) => {
    const read = (set: string, person: number, image: string) =>
      Deno.readFile(`${folder}/${set}/train/n00000${person}/${image}_01.jpg`);
    await synthesizeIdentities({ out: `${folder}/a`, ...SMALL });
    await synthesizeIdentities({ out: `${folder}/b`, ...SMALL });
    assertEquals(await read("a", 2, "0003"), await read("b", 2, "0003"));
    assert(String(await read("a", 2, "0003")) !== String(await read("a", 2, "0004")));
    assert(String(await read("a", 2, "0003")) !== String(await read("a", 3, "0003")));
    assertEquals((await synthesizeIdentities({ out: `${folder}/a`, ...SMALL })).reused, true);
    assertEquals((await synthesizeIdentities({ out: `${folder}/a`, ...SMALL, seed: 6 })).reused, false);
  }));

Deno.test("folders without people, or with too few pictures, are explained", () =>
  inFolder(async (folder) => {
    await assertRejects(() => readIdentities(folder, "train"), Error, "at least two people");
    for (const name of ["n000001", "n000002"]) {
      await Deno.mkdir(`${folder}/train/${name}`, { recursive: true });
      await Deno.writeTextFile(`${folder}/train/${name}/0001_01.jpg`, "");
      await Deno.writeTextFile(`${folder}/train/${name}/._0001_01.jpg`, "");
    }
    const { tracks } = await readIdentities(folder, "train");
    assertEquals(tracks.map(({ files }) => files), [["0001_01.jpg"], ["0001_01.jpg"]]);
    const error = await assertRejects(() => readIdentities(folder, "validation"), Error);
    assertStringIncludes(error.message, "at least 10 images a person");
    await assertRejects(() => synthesizeIdentities({ out: folder, ...SMALL, identities: 1 }), RangeError);
  }));
