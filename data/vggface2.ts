/**
 * Faces of many people in VGGFace2's layout, for pretraining: `ROOT/train/n000001/0001_01.jpg`, one folder a person,
 * `<image>_<face>.jpg` in it. (Cao et al. 2018; the set itself is licensed.)
 *
 * @module
 */
import { diskFiles, type Files, listFolderIfThere } from "./aff_wild2/files.ts";
import type { Dataset, Split, Track } from "./aff_wild2/types.ts";

/** Of each person's images every tenth is for validation: the same people, pictures never seen. */
const VALIDATION_EVERY = 10;
/** Most people that an int16 label can number. */
const MOST_IDENTITIES = 32767;

/** The folder of the people: `ROOT/train`, or ROOT itself. */
async function findPeople(root: string, files: Files): Promise<{ folder: string; names: string[] }> {
  for (const folder of [`${root}/train`, root]) {
    const entries = await listFolderIfThere(files, folder, "the people of VGGFace2's layout");
    const names = (entries ?? []).filter((name) => /^n\d{6}$/.test(name)).sort();
    if (names.length >= 2) return { folder, names };
  }
  throw new Error(
    `Cannot read faces from ${root}: expected folders n000001, n000002, ... of at least two people in it or in ` +
      `its train folder`,
  );
}

/** The images of a person that belong to a split; the first image is always for training. */
function imagesOf(names: readonly string[], split: Split): string[] {
  const images = names.filter((name) => /^[^.].*\.jpe?g$/i.test(name)).sort(); // macOS leaves ._0001_01.jpg
  return images.filter((_, i) =>
    (i % VALIDATION_EVERY === VALIDATION_EVERY - 1) === (split === "validation")
  );
}

/**
 * Reads the people as classes: a track a person, its label the person's place among the sorted names.
 *
 * @param root the folder that holds `train`, or the people themselves
 * @throws {Error} if there are fewer than two people, or none has an image for the split
 */
export async function readIdentities(root: string, split: Split, files: Files = diskFiles): Promise<Dataset> {
  const { folder, names } = await findPeople(root, files);
  if (names.length > MOST_IDENTITIES) {
    throw new RangeError(
      `Cannot read faces from ${root}: there are ${names.length} people; expected at most ${MOST_IDENTITIES}`,
    );
  }
  const tracks: Track[] = [];
  for (const [label, name] of names.entries()) {
    const imageFolder = `${folder}/${name}`;
    const images = imagesOf(
      await listFolderIfThere(files, imageFolder, `the images of ${name}`) ?? [],
      split,
    );
    if (images.length === 0) continue;
    tracks.push({
      name,
      video: name,
      imageFolder,
      annotatedFrames: images.length,
      frames: Int32Array.from(images, (_, i) => i + 1),
      labels: new Int16Array(images.length).fill(label),
      files: images,
      dropped: { unlabelled: 0, missingCrop: 0, unlabelledCrops: 0 },
    });
  }
  if (tracks.length === 0) {
    throw new Error(
      `Cannot read faces from ${root}: none of ${names.length} people has a JPEG for ${split}; expected at least ` +
        `${VALIDATION_EVERY} images a person, every tenth of which is for validation`,
    );
  }
  return { root, labelSet: "identity", split, classNames: names, labelWidth: 1, tracks, skipped: [] };
}
