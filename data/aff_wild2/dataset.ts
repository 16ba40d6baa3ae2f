/**
 * Reads a split of Aff-Wild2 into tracks. A frame is kept when it has a crop and its label is not -1 (action
 * units: none of the twelve is -1); what is left out is counted, so that nothing is dropped silently.
 *
 * @module
 */
import { type Annotations, LABEL_FORMATS, parseAnnotations } from "./annotations.ts";
import { type CropList, type Crops, listCrops, markCrops } from "./crops.ts";
import type { DatasetIndex } from "./dataset_index.ts";
import { diskFiles, type Files, listFolderIfThere, readBytes } from "./files.ts";
import { findLayout, type Layout, listSplit, videoOfTrack } from "./layout.ts";
import {
  ACTION_UNITS,
  type Dataset,
  type Dropped,
  EXPRESSIONS,
  type LabelSet,
  type SkippedTrack,
  type Split,
  type Track,
} from "./types.ts";
import { UNLABELLED } from "./types.ts";

/** How far a reading is. */
export interface ReadProgress {
  /** the split being read */
  readonly split: Split;
  /** tracks read so far, this one included */
  readonly done: number;
  /** tracks of the split */
  readonly total: number;
  /** the track just read */
  readonly name: string;
  /** frames kept of it; 0 if it is skipped */
  readonly kept: number;
}

/** What to read. */
export interface ReadOptions {
  /** which labels */
  readonly labelSet: LabelSet;
  /** which part */
  readonly split: Split;
  /** called after each track, in order of name */
  readonly onTrack?: (progress: ReadProgress) => void;
  /** the disk by default */
  readonly files?: Files;
  /** spares the reading of what has not changed since it was written */
  readonly index?: DatasetIndex;
}

/** Whether all values of a frame are annotated. */
function isLabelled(labels: Int8Array, frame: number, width: number): boolean {
  for (let i = (frame - 1) * width; i < frame * width; i++) if (labels[i] === UNLABELLED) return false;
  return true;
}

/** The frames that stay and the count of those that do not. */
function selectFrames(
  { count, labels }: Annotations,
  width: number,
  crops: Crops,
): Pick<Track, "frames" | "uncropped" | "dropped"> & { labels: Int8Array } {
  const cropped = new Int32Array(count);
  const uncropped = new Int32Array(count);
  let kept = 0;
  let missing = 0;
  for (let frame = 1; frame <= count; frame++) {
    if (!isLabelled(labels, frame, width)) continue;
    if (crops.present[frame] === 1) cropped[kept++] = frame;
    else uncropped[missing++] = frame;
  }
  return {
    ...labelsOf(cropped.slice(0, kept), labels, width),
    uncropped: labelsOf(uncropped.slice(0, missing), labels, width),
    dropped: { unlabelled: count - kept - missing, missingCrop: missing, unlabelledCrops: crops.beyond },
  };
}

/** Frames with their rows of the labels of all. */
function labelsOf(frames: Int32Array, all: Int8Array, width: number) {
  const labels = new Int8Array(frames.length * width);
  for (let i = 0; i < frames.length; i++) {
    const from = (frames[i] - 1) * width;
    for (let column = 0; column < width; column++) labels[i * width + column] = all[from + column];
  }
  return { frames, labels };
}

/** Why a track has no usable frame, in words. */
function unusableReason(count: number, dropped: Dropped, crops: Crops | undefined, folder: string): string {
  if (count === 0) return "its annotation file has no label line";
  if (dropped.unlabelled === count) return `none of its ${count} frames is labelled`;
  if (!crops) return `it has no crop folder (${folder})`;
  if (crops.within + crops.beyond === 0) {
    return `its crop folder has no NNNNN.jpg (other files: ${crops.others})`;
  }
  return `none of its ${count - dropped.unlabelled} labelled frames has a crop`;
}

/** Reads one annotation file. */
export async function readAnnotations(files: Files, file: string, labelSet: LabelSet): Promise<Annotations> {
  return parseAnnotations(await readBytes(files, file, "annotations"), labelSet, file);
}

/** Lists the crops of a track; undefined if it has no folder. */
export async function readCrops(files: Files, folder: string): Promise<CropList | undefined> {
  const track = folder.slice(folder.lastIndexOf("/") + 1);
  const names = await listFolderIfThere(files, folder, `the crops of ${track}`);
  return names && listCrops(names, folder);
}

/** Reads one track. */
async function readTrack(
  { files = diskFiles, index, labelSet }: ReadOptions,
  layout: Layout,
  annotationFile: string,
  name: string,
): Promise<Track | SkippedTrack> {
  const annotations = index?.annotations(annotationFile) ??
    await readAnnotations(files, annotationFile, labelSet);
  const imageFolder = `${layout.crops}/${name}`;
  const list = index?.crops(imageFolder) ?? await readCrops(files, imageFolder);
  const crops = markCrops(list ?? { numbers: new Int32Array(), others: 0 }, annotations.count);
  const { width } = LABEL_FORMATS[labelSet];
  const { frames, labels, uncropped, dropped } = selectFrames(annotations, width, crops);
  const common = { name, video: videoOfTrack(name), annotatedFrames: annotations.count, dropped };
  if (frames.length > 0) return { ...common, imageFolder, frames, labels, uncropped };
  const reason = unusableReason(annotations.count, dropped, list && crops, imageFolder);
  return { ...common, reason, excludedFrames: 0 };
}

/** Lists at most five tracks with their reasons. */
function reasons(skipped: readonly SkippedTrack[]): string {
  const shown = skipped.slice(0, 5).map(({ name, reason }) => `${name}: ${reason}`);
  if (skipped.length > 5) shown.push(`and ${skipped.length - 5} more`);
  return shown.join("; ");
}

/**
 * Reads one split of one label set. Images are not opened: each crop folder is listed once.
 *
 * @param root the folder that holds the annotations and the crops; see {@linkcode findLayout}
 * @returns the tracks with at least one usable frame; the others are in `skipped`, with the reason
 * @throws {RangeError} if a label is outside its range
 * @throws {Error} if the layout, a file or a folder cannot be read, an annotation file is not well-formed,
 * crops are not numbered from 1, or no track at all has a usable frame
 */
export async function readDataset(root: string, options: ReadOptions): Promise<Dataset> {
  const { labelSet, split, onTrack, files = diskFiles } = options;
  const layout = await findLayout(root, files);
  const { folder, tracks: names } = await listSplit(layout, labelSet, split, files);
  const tracks: Track[] = [];
  const skipped: SkippedTrack[] = [];
  for (const [i, name] of names.entries()) {
    const track = await readTrack(options, layout, `${folder}/${name}.txt`, name);
    if ("frames" in track) tracks.push(track);
    else skipped.push(track);
    const kept = "frames" in track ? track.frames.length : 0;
    onTrack?.({ split, done: i + 1, total: names.length, name, kept });
  }
  if (tracks.length === 0) {
    throw new Error(
      `Cannot read the ${split} set (${labelSet}) from ${layout.root}: expected at least one track with a ` +
        `usable frame but none of ${names.length} has one: ${reasons(skipped)}`,
    );
  }
  const { width } = LABEL_FORMATS[labelSet];
  const classNames = labelSet === "expression" ? EXPRESSIONS : ACTION_UNITS;
  return { root: layout.root, labelSet, split, classNames, labelWidth: width, tracks, skipped };
}

/** Both splits of a label set. */
export interface BothSplits {
  /** the training split */
  readonly train: Dataset;
  /** the validation split */
  readonly validation: Dataset;
  /** videos with tracks in both, sorted: they should be none */
  readonly sharedVideos: readonly string[];
}

/**
 * Reads both splits of a label set and looks for videos that are in both.
 *
 * @throws what {@linkcode readDataset} throws
 */
export async function readBoth(root: string, options: Omit<ReadOptions, "split">): Promise<BothSplits> {
  const train = await readDataset(root, { ...options, split: "train" });
  const validation = await readDataset(root, { ...options, split: "validation" });
  return { train, validation, sharedVideos: sharedVideos(train, validation) };
}

/**
 * The videos that have a kept track in both datasets, sorted. Two tracks of one video (`_left`, `_right`)
 * count as the same video: they share the scene.
 */
export function sharedVideos(a: Dataset, b: Dataset): string[] {
  const videos = new Set(a.tracks.map((track) => track.video));
  return [...new Set(b.tracks.map((track) => track.video))].filter((video) => videos.has(video)).sort();
}

/**
 * The dataset without the tracks of some videos; they move to `skipped` with the reason, e.g. action-unit
 * training tracks whose video is in the expression validation set.
 *
 * @throws {Error} if no track is left
 */
export function withoutVideos(dataset: Dataset, videos: Iterable<string>, reason: string): Dataset {
  const unwanted = new Set(videos);
  const tracks = dataset.tracks.filter((track) => !unwanted.has(track.video));
  if (tracks.length === 0) {
    throw new Error(
      `Cannot exclude ${unwanted.size} videos from the ${dataset.split} set (${dataset.labelSet}): ` +
        `expected some of its ${dataset.tracks.length} tracks to be left but none is`,
    );
  }
  const excluded = dataset.tracks.filter((track) => unwanted.has(track.video)).map((track): SkippedTrack => ({
    name: track.name,
    video: track.video,
    reason,
    annotatedFrames: track.annotatedFrames,
    dropped: track.dropped,
    excludedFrames: track.frames.length,
  }));
  const skipped = [...dataset.skipped, ...excluded].sort((a, b) => a.name < b.name ? -1 : 1);
  return { ...dataset, tracks, skipped };
}
