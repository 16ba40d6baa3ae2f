/**
 * Reads a split of Aff-Wild2: which frames are kept follows the authors' rule (a crop, and a label that is not -1),
 * and everything that is left out is counted.
 *
 * @module
 */
import { parseAnnotations } from "./annotations.ts";
import { findLayout, listTracks, videoOf } from "./layout.ts";
import { ACTION_UNITS, type Dataset, type LabelSet, type Split, type Track, UNLABELLED } from "./types.ts";

/** What to read. */
export interface ReadOptions {
  readonly labelSet: LabelSet;
  readonly split: Split;
  /** called after each track */
  readonly onTrack?: (done: number, total: number) => void;
}

/**
 * Reads all tracks of a split: one text file and one directory listing each.
 *
 * @throws {Error} if the folder is missing, empty or of another year's layout, if a label file is malformed, or if
 * no track has a usable frame
 */
export async function readDataset(root: string, { labelSet, split, onTrack }: ReadOptions): Promise<Dataset> {
  const layout = await findLayout(root);
  const { folder, names } = await listTracks(layout, labelSet, split);
  const labelWidth = labelSet === "expression" ? 1 : 12;
  const tracks: Track[] = [];
  const skipped: { name: string; reason: string }[] = [];
  for (const [i, name] of names.entries()) {
    const path = `${folder}/${name}.txt`;
    const annotations = parseAnnotations(await Deno.readFile(path), labelSet, path);
    const imageFolder = `${layout.crops}/${name}`;
    const crops = await listCrops(imageFolder);
    if (crops === undefined) {
      skipped.push({ name, reason: "no folder of crops" });
    } else {
      const track = keepFrames(name, imageFolder, annotations, labelWidth, crops);
      if (track.frames.length > 0) tracks.push(track);
      else skipped.push({ name, reason: explainEmpty(track) });
    }
    onTrack?.(i + 1, names.length);
  }
  if (tracks.length === 0) {
    const { name, reason } = skipped[0];
    throw new Error(
      `Cannot read data: none of the ${names.length} tracks in ${folder} has a frame with both a label and ` +
        `a crop (${name}: ${reason})`,
    );
  }
  return { root, labelSet, split, labelWidth, tracks, skipped };
}

function explainEmpty({ annotatedFrames, dropped }: Track): string {
  return `no usable frame: of ${annotatedFrames} label lines ${dropped.unlabelled} are -1 and ` +
    `${dropped.missingCrop} have no crop`;
}

/** The numbers of the crops in a folder, ascending; undefined if there is no folder. */
async function listCrops(folder: string): Promise<Int32Array | undefined> {
  const numbers: number[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const match = isDirectory ? null : /^(\d{5,})\.jpg$/.exec(name);
      if (match !== null) numbers.push(Number(match[1]));
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  return Int32Array.from(numbers).sort();
}

function keepFrames(
  name: string,
  imageFolder: string,
  annotations: Int8Array,
  labelWidth: 1 | 12,
  crops: Int32Array,
): Track {
  const annotatedFrames = annotations.length / labelWidth;
  const frames = new Int32Array(Math.min(crops.length, annotatedFrames));
  const labels = new Int8Array(frames.length * labelWidth);
  let kept = 0;
  let unlabelled = 0;
  let missingCrop = 0;
  let c = 0;
  for (let frame = 1; frame <= annotatedFrames; frame++) {
    while (c < crops.length && crops[c] < frame) c++;
    const hasCrop = c < crops.length && crops[c] === frame;
    const label = annotations.subarray((frame - 1) * labelWidth, frame * labelWidth);
    if (label.includes(UNLABELLED)) {
      unlabelled++;
    } else if (!hasCrop) {
      missingCrop++;
    } else {
      labels.set(label, kept * labelWidth);
      frames[kept++] = frame;
    }
  }
  let unlabelledCrops = 0;
  for (let i = crops.length - 1; i >= 0 && crops[i] > annotatedFrames; i--) unlabelledCrops++;
  return {
    name,
    video: videoOf(name),
    imageFolder,
    annotatedFrames,
    frames: frames.slice(0, kept),
    labels: labels.slice(0, kept * labelWidth),
    dropped: { unlabelled, missingCrop, unlabelledCrops },
  };
}

/** Videos that have tracks in both datasets, e.g. an AU-training video that is an EXPR-validation video. */
export function sharedVideos(a: Dataset, b: Dataset): string[] {
  const videos = new Set(a.tracks.map((track) => track.video));
  return [...new Set(b.tracks.map((track) => track.video).filter((video) => videos.has(video)))].sort();
}

/** Kept frames per class (expression), or positives per action unit. */
export function classCounts(dataset: Dataset): Int32Array {
  const counts = new Int32Array(dataset.labelSet === "expression" ? 7 : ACTION_UNITS.length);
  for (const { labels } of dataset.tracks) {
    for (let i = 0; i < labels.length; i++) {
      if (dataset.labelWidth === 1) counts[labels[i]]++;
      else counts[i % dataset.labelWidth] += labels[i];
    }
  }
  return counts;
}
