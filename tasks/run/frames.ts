/**
 * A dataset's kept frames as one long list, track after track: the order of every prediction, and running a network
 * over all of them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { WindowIndex, windowLabels } from "../../data/aff_wild2/mod.ts";
import { type Dataset, type Track, UNLABELLED } from "../../data/aff_wild2/types.ts";
import type { BadImages } from "../../data/bad_images.ts";
import type { ImageWorkers } from "../../data/image_workers.ts";
import type { InputConvention } from "../../data/input_convention.ts";
import { type ImageCache, loadBatches, type SampleSource } from "../../data/loader.ts";

/** Batches whose results are read together: each read costs at least 10 ms. */
const BATCHES_PER_READ = 4;

/** Every kept frame by itself; frame i of the list is sample i. */
export function frameSamples(dataset: Dataset): SampleSource & { index: WindowIndex } {
  const index = WindowIndex.inference(dataset, { length: 1 });
  return {
    index,
    count: index.count,
    get(i) {
      const window = index.get(i);
      return { track: window.track, frames: window.frames, labels: windowLabels(window.track, window) };
    },
  };
}

/** Frames with their labels, track after track: a dataset, or what a file of predictions says of one. */
export type LabelledFrames = Pick<Dataset, "labelSet" | "classNames" | "labelWidth"> & {
  readonly tracks: readonly Pick<Track, "name" | "frames" | "labels" | "uncropped">[];
};

/** [frames * labelWidth] the labels of all kept frames. */
export function allLabels(dataset: LabelledFrames): Int8Array | Int16Array {
  const count = dataset.tracks.reduce((sum, track) => sum + track.labels.length, 0);
  const labels = dataset.labelSet === "identity" ? new Int16Array(count) : new Int8Array(count);
  let offset = 0;
  for (const track of dataset.tracks) {
    labels.set(track.labels, offset);
    offset += track.labels.length;
  }
  return labels;
}

/** [frames] the number of each frame's track: the groups of a cross-validation over tracks. */
export function trackNumbers(dataset: LabelledFrames): Int32Array {
  return Int32Array.from(dataset.tracks.flatMap(({ frames }, t) => new Array<number>(frames.length).fill(t)));
}

/** What reading the images needs to know. */
export interface FrameOptions {
  readonly size: number;
  readonly convention: InputConvention;
  readonly batchSize: number;
  readonly cache?: ImageCache;
  /** who makes the images; undefined: the main thread */
  readonly workers?: ImageWorkers;
  /** bytes that batches made ahead may take */
  readonly prefetchBytes?: number;
  /** decides about images that cannot be used; undefined: each is an error */
  readonly badImages?: BadImages;
  /** the frames are mirrored: for test-time augmentation */
  readonly flip?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** The part of {@link FrameOptions} that is the same for all networks of a run. */
export type Reading = Pick<FrameOptions, "cache" | "workers" | "prefetchBytes" | "badImages">;

/**
 * Runs `compute` ([N, size, size, 3] -> [N, D]) over every kept frame, in order, and hands the rows on as they come.
 *
 * @param onRows gets the number of the first row, and [rows, D]
 * @returns the rows of images that are left out, ascending: what is computed for them is of no use
 * @throws {ImageError} if an image cannot be decoded and is not left out; {DOMException} if the signal aborts
 */
export async function overFrames(
  dataset: Dataset,
  options: FrameOptions,
  compute: (images: tf.Tensor4D) => tf.Tensor2D,
  onRows: (first: number, rows: Float32Array, width: number) => void | Promise<void>,
): Promise<number[]> {
  const source = frameSamples(dataset);
  const order = Int32Array.from({ length: source.count }, (_, i) => i);
  const { size, signal } = options;
  const bad: number[] = [];
  let done = 0;
  let loaded = 0;
  let unread: tf.Tensor2D[] = [];
  const readAll = async () => {
    const reads = unread;
    unread = [];
    const blocks = await Promise.all(reads.map((tensor) => tensor.data<"float32">()));
    for (const [i, rows] of blocks.entries()) {
      const [count, width] = reads[i].shape;
      await onRows(done, rows, width);
      done += count;
      reads[i].dispose();
    }
    options.onProgress?.(done, source.count);
  };
  for await (const batch of loadBatches(source, order, { ...options, seed: 0, epoch: 0 })) {
    for (const row of batch.bad) bad.push(loaded + row);
    loaded += batch.count;
    unread.push(tf.tidy(() => {
      const images = tf.tensor4d(batch.images, [batch.count, size, size, 3]);
      return compute(options.flip ? images.reverse(2) : images);
    }));
    if (unread.length === BATCHES_PER_READ) await readAll();
  }
  await readAll();
  signal?.throwIfAborted();
  return bad;
}

/**
 * Takes frames out of all scores: their labels become -1, in place, and their predictions 0.
 *
 * @param rows of the list of kept frames
 * @param probabilities [frames, classes]
 */
export function leaveOut(dataset: Dataset, rows: Iterable<number>, probabilities: Float32Array): void {
  const { index } = frameSamples(dataset);
  const { labelWidth, classNames: { length: classes } } = dataset;
  for (const row of rows) {
    const { track, frames: [i] } = index.get(row);
    track.labels.fill(UNLABELLED, i * labelWidth, (i + 1) * labelWidth);
    probabilities.fill(0, row * classes, (row + 1) * classes);
  }
}
