/**
 * Finds Aff-Wild2's 2021 folders under a root, in both spellings that are met, and recognises other years.
 *
 * @module
 */
import type { LabelSet, Split } from "./types.ts";

/** The folders of a 2021 tree. */
export interface Layout {
  readonly root: string;
  /** holds EXPR_Set, AU_Set */
  readonly annotations: string;
  /** holds a folder of crops per track */
  readonly crops: string;
}

const ANNOTATION_FOLDERS = ["annotations", "Annotation/annotations"];
const CROP_FOLDERS = ["cropped_aligned", "Cropped_aligned_image/cropped_aligned"];
const OTHER_YEARS: readonly (readonly [string, string])[] = [
  ["EXPR_Set/Training_Set", "2020"],
  ["AU_Set/Training_Set", "2020"],
  ["VA_Set/Training_Set", "2020"],
  ["EXPR_Classification_Challenge", "2022"],
  ["EXPR_Recognition_Challenge", "2022 or later"],
  ["AU_Detection_Challenge", "2022 or later"],
];
const SET_FOLDERS: Record<LabelSet, string> = { expression: "EXPR_Set", action_units: "AU_Set" };
const SPLIT_FOLDERS: Record<Split, string> = { train: "Train_Set", validation: "Validation_Set" };
const WANTED = "annotations/EXPR_Set/Train_Set/*.txt and cropped_aligned/<track>/00001.jpg (the 2021 layout)";

/** True if the path is a folder; false if nothing is there. Other errors, such as a denied permission, are thrown. */
async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

async function firstFolder(root: string, candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates) {
    if (await isFolder(`${root}/${candidate}`)) return `${root}/${candidate}`;
  }
  return undefined;
}

async function recogniseYear(root: string): Promise<string | undefined> {
  for (const base of ["", ...ANNOTATION_FOLDERS]) {
    for (const [folder, year] of OTHER_YEARS) {
      if (await isFolder([root, base, folder].filter((part) => part !== "").join("/"))) return year;
    }
  }
  return undefined;
}

/**
 * Finds the annotation and crop folders.
 *
 * @throws {Error} if the root is missing, empty, of another year or of no known layout
 */
export async function findLayout(root: string): Promise<Layout> {
  if (!await isFolder(root)) {
    throw new Error(`Cannot read data: there is no folder ${root}; expected ${WANTED} in it`);
  }
  const year = await recogniseYear(root);
  if (year !== undefined) {
    throw new Error(
      `Cannot read data: ${root} has the ${year} layout of Aff-Wild2; expected ${WANTED}. ` +
        `Labels changed between the years, so years are never mixed`,
    );
  }
  const annotations = await firstFolder(root, ANNOTATION_FOLDERS);
  const crops = await firstFolder(root, CROP_FOLDERS);
  if (annotations === undefined || crops === undefined) {
    const entries: string[] = [];
    for await (const entry of Deno.readDir(root)) entries.push(entry.name);
    const found = entries.length === 0 ? "is empty" : `holds ${entries.sort().slice(0, 8).join(", ")}`;
    const missing = annotations === undefined ? "annotations" : "cropped_aligned";
    throw new Error(`Cannot read data: ${root} ${found} but no ${missing} folder; expected ${WANTED}`);
  }
  return { root, annotations, crops };
}

/**
 * The annotation files of a split, as track names in order.
 *
 * @throws {Error} if the split's folder is missing or holds no `.txt`
 */
export async function listTracks(
  layout: Layout,
  labelSet: LabelSet,
  split: Split,
): Promise<{ folder: string; names: string[] }> {
  const folder = `${layout.annotations}/${SET_FOLDERS[labelSet]}/${SPLIT_FOLDERS[split]}`;
  if (!await isFolder(folder)) {
    throw new Error(`Cannot read data: there is no folder ${folder}; expected ${WANTED}`);
  }
  const names: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.isDirectory && entry.name.endsWith(".txt") && !entry.name.startsWith(".")) {
      names.push(entry.name.slice(0, -".txt".length));
    }
  }
  if (names.length === 0) {
    throw new Error(`Cannot read data: ${folder} holds no annotation file; expected <track>.txt files`);
  }
  return { folder, names: names.sort() };
}

/** The video's stem of a track: the name without `_left` or `_right`. */
export function videoOf(track: string): string {
  return track.replace(/_(left|right)$/, "");
}
