/**
 * Where things are under the root of the 2021 edition of Aff-Wild2, and which other editions are recognised.
 *
 * ```
 * ROOT/annotations/{EXPR_Set,AU_Set}/{Train_Set,Validation_Set}/<track>.txt
 * ROOT/cropped_aligned/<track>/00001.jpg
 * ```
 * or `Annotation/annotations` and `Cropped_aligned_image/cropped_aligned` for the two top folders.
 *
 * @module
 */
import { diskFiles, type Files, listFolder, listFolderIfThere } from "./files.ts";
import type { LabelSet, Split } from "./types.ts";

/** The folder of each label set. */
export const LABEL_SET_FOLDERS: Readonly<Record<LabelSet, string>> = {
  expression: "EXPR_Set",
  action_units: "AU_Set",
};

/** The folder of each split. */
export const SPLIT_FOLDERS: Readonly<Record<Split, string>> = {
  train: "Train_Set",
  validation: "Validation_Set",
};

/** Where the annotations and the crops are. */
export interface Layout {
  /** as given, without a trailing slash */
  readonly root: string;
  /** the folder that holds `EXPR_Set` and `AU_Set` */
  readonly annotations: string;
  /** the folder that holds one folder of crops per track */
  readonly crops: string;
}

/** The spellings met of each top folder: a path below the root, one name a level. */
const ANNOTATION_SPELLINGS = [["annotations"], ["Annotation", "annotations"]];
const CROP_SPELLINGS = [["cropped_aligned"], ["Cropped_aligned_image", "cropped_aligned"]];

/** A folder name that only another edition has, and the edition. */
const OTHER_EDITIONS: Readonly<Record<string, string>> = {
  Training_Set: "2020",
  EXPR_Classification_Challenge: "2022 or later",
  EXPR_Recognition_Challenge: "2022 or later",
  AU_Detection_Challenge: "2022 or later",
};

/** Folders that may hold annotations, in any edition; how deep under the root they are looked for. */
const MAY_HOLD_ANNOTATIONS = /annot|abaw|^(EXPR|AU|VA)_Set$/i;
const ANNOTATION_DEPTH = 3;

/** The first names of a folder, for a message. */
function sample(names: readonly string[]): string {
  const shown = names.slice(0, 8).join(", ");
  return names.length > 8 ? `${shown}, ... (${names.length} entries)` : shown;
}

/** The folder that marks another edition, looked for where annotations may be. */
async function findOtherEdition(
  files: Files,
  folder: string,
  names: readonly string[],
  depth = 0,
): Promise<{ path: string; edition: string } | undefined> {
  for (const name of names) {
    if (Object.hasOwn(OTHER_EDITIONS, name)) {
      return { path: `${folder}/${name}`, edition: OTHER_EDITIONS[name] };
    }
  }
  if (depth === ANNOTATION_DEPTH) return undefined;
  for (const name of names) {
    if (!MAY_HOLD_ANNOTATIONS.test(name)) continue;
    const inside = await listFolderIfThere(files, `${folder}/${name}`, "the folder");
    const found = inside && await findOtherEdition(files, `${folder}/${name}`, inside, depth + 1);
    if (found) return found;
  }
  return undefined;
}

/** Every spelling of a top folder that is there, as a path with the names inside. */
async function findSpellings(
  files: Files,
  root: string,
  rootNames: readonly string[],
  spellings: readonly (readonly string[])[],
): Promise<{ path: string; names: string[] }[]> {
  const found: { path: string; names: string[] }[] = [];
  for (const parts of spellings) {
    if (!rootNames.includes(parts[0])) continue;
    const path = `${root}/${parts.join("/")}`;
    const names = await listFolderIfThere(files, path, "the folder");
    if (names) found.push({ path, names });
  }
  return found;
}

/** The one spelling that is there and holds something. */
async function findTopFolder(
  files: Files,
  root: string,
  rootNames: readonly string[],
  spellings: readonly (readonly string[])[],
): Promise<string> {
  const wanted = spellings.map((parts) => `${parts.join("/")}/`).join(" or ");
  const found = await findSpellings(files, root, rootNames, spellings);
  if (found.length === 0) {
    const hint = rootNames.some((name) => /^(EXPR|AU)_Set$/.test(name))
      ? "; this is the annotations folder itself: give the folder above it"
      : "";
    throw new Error(
      `Cannot read Aff-Wild2 from ${root}: expected ${wanted} in it but found ${sample(rootNames)}${hint}`,
    );
  }
  if (found.length > 1) {
    throw new Error(
      `Cannot read Aff-Wild2 from ${root}: expected one of ${wanted} in it but found both; ` +
        "which one is meant is not clear, so move one away",
    );
  }
  if (found[0].names.length === 0) {
    throw new Error(`Cannot read Aff-Wild2 from ${root}: expected files in ${found[0].path} but it is empty`);
  }
  return found[0].path;
}

/**
 * Finds the 2021 layout under a root. Each of the two top folders may have either spelling.
 *
 * @throws {Error} if the root is missing, unreadable or empty, holds another edition's layout (the message
 * says which was recognised), lacks a top folder, holds both spellings of one, or an empty one
 */
export async function findLayout(root: string, files: Files = diskFiles): Promise<Layout> {
  const trimmed = root.replace(/(?<=.)\/+$/, "");
  const names = await listFolder(files, trimmed, "the Aff-Wild2 folder");
  if (names.length === 0) {
    throw new Error(
      `Cannot read Aff-Wild2 from ${trimmed}: expected annotations/ and cropped_aligned/ in it ` +
        "but it is empty",
    );
  }
  const other = await findOtherEdition(files, trimmed, names);
  if (other) {
    throw new Error(
      `Cannot read Aff-Wild2 from ${trimmed}: found ${other.path}, which is the layout of ` +
        `${other.edition}, but wanted the 2021 edition (annotations/EXPR_Set/Train_Set). ` +
        "Labels changed between years, so editions are never mixed",
    );
  }
  return {
    root: trimmed,
    annotations: await findTopFolder(files, trimmed, names, ANNOTATION_SPELLINGS),
    crops: await findTopFolder(files, trimmed, names, CROP_SPELLINGS),
  };
}

/** The annotation files of one split of one label set. */
export interface SplitFiles {
  /** e.g. `ROOT/annotations/EXPR_Set/Train_Set` */
  readonly folder: string;
  /** track names, sorted by code unit; the file is `<folder>/<name>.txt` */
  readonly tracks: readonly string[];
}

/**
 * Lists the annotation files of a split. Hidden files and files that do not end in `.txt` are ignored.
 *
 * @throws {Error} if the folder is missing, unreadable or holds no annotation file
 */
export async function listSplit(
  layout: Layout,
  labelSet: LabelSet,
  split: Split,
  files: Files = diskFiles,
): Promise<SplitFiles> {
  const folder = `${layout.annotations}/${LABEL_SET_FOLDERS[labelSet]}/${SPLIT_FOLDERS[split]}`;
  const names = await listFolder(files, folder, `the ${split} annotations (${labelSet})`);
  const tracks = names.filter((name) => name.endsWith(".txt") && !name.startsWith("."))
    .map((name) => name.slice(0, -".txt".length)).sort();
  if (tracks.length === 0) {
    const found = names.length === 0 ? "it is empty" : `found only ${sample(names)}`;
    throw new Error(
      `Cannot read the ${split} annotations (${labelSet}): expected <track>.txt files in ` +
        `${folder} but ${found}`,
    );
  }
  return { folder, tracks };
}

/** The video of a track: the name without `_left` or `_right`. */
export function videoOfTrack(track: string): string {
  return track.replace(/_(?:left|right)$/, "");
}
