/**
 * The frames of a clip, one after another, read a batch ahead of who uses them.
 *
 * @module
 */
import { decodeImage, ImageError, readImage, type RgbImage } from "../../data/images.ts";
import { UserError } from "../run/cli.ts";
import type { Clip } from "./clips.ts";
import type { RawFrame } from "./frames.ts";
import { probeVideo, readVideo } from "./video.ts";

/** What to do with an image that cannot be read: stop, or give it a row that says so. */
export type OnBadImage = "error" | "skip";

/** How frames are read. */
export interface SourceOptions {
  readonly onBadImage: OnBadImage;
  /** frames in a batch */
  readonly batchSize: number;
  /** times that a video is played */
  readonly repeat: number;
  readonly log: (line: string) => void;
}

/** Crops that are read at a time. */
const PARALLEL_READS = 8;
/** Bytes of a batch's pixels; beyond them it is cut short. */
const BATCH_BYTES = 1 << 26;

/** Frames of a clip before they are read. */
export interface ExpectedFrames {
  /** as many there should be; undefined where nobody says so */
  readonly exact?: number;
  /** the same, or a guess */
  readonly about?: number;
}

/** The frames that a clip should have, as far as that is known before they are read. */
export async function expectedFrames(clip: Clip, repeat: number): Promise<ExpectedFrames> {
  if (clip.kind === "image") return { exact: 1 };
  if (clip.kind === "crops") return { exact: clip.frames, about: clip.frames };
  if (typeof clip.source !== "string") return {};
  const { frames, estimatedFrames } = await probeVideo(clip.source);
  const times = (count: number | undefined) => count === undefined ? undefined : count * repeat;
  return { exact: times(frames), about: times(frames ?? estimatedFrames) };
}

/** A frame of an image that may be bad. */
async function frameOf(
  number: number,
  read: () => Promise<RgbImage>,
  { onBadImage, log }: SourceOptions,
): Promise<RawFrame> {
  try {
    return { number, image: await read() };
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    if (onBadImage === "error") {
      throw new UserError(`${error.message}; --on-bad-image skip gives it a row without a face`);
    }
    log(error.message);
    return { number, problem: error.message };
  }
}

async function* readFrames(clip: Clip, options: SourceOptions): AsyncGenerator<RawFrame, void, void> {
  if (clip.kind === "video") {
    const { repeat, log } = options;
    yield* readVideo(clip.source, { repeat, onComplaint: log });
  } else if (clip.kind === "image") {
    const { source, name } = clip;
    yield await frameOf(
      1,
      () => typeof source === "string" ? readImage(source) : decodeImage(source, name),
      options,
    );
  } else {
    yield* readCrops(clip, options);
  }
}

/** Some crops are read at a time. */
async function* readCrops(
  { folder, files, frames }: Clip & { kind: "crops" },
  options: SourceOptions,
): AsyncGenerator<RawFrame, void, void> {
  const ahead: Promise<RawFrame>[] = [];
  for (let number = 1; number <= frames || ahead.length > 0; number++) {
    if (number <= frames) {
      const file = files.get(number);
      const frame = file === undefined
        ? Promise.resolve({ number })
        : frameOf(number, () => readImage(`${folder}/${file}`), options);
      frame.catch(() => {}); // reported when its turn comes
      ahead.push(frame);
    }
    if (ahead.length === PARALLEL_READS || number > frames) yield await ahead.shift()!;
  }
}

async function* inBatches(
  frames: AsyncIterable<RawFrame>,
  batchSize: number,
): AsyncGenerator<RawFrame[], void, void> {
  let batch: RawFrame[] = [];
  let bytes = 0;
  for await (const frame of frames) {
    batch.push(frame);
    bytes += frame.image?.pixels.length ?? 0;
    if (batch.length < batchSize && bytes < BATCH_BYTES) continue;
    yield batch;
    [batch, bytes] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}

/**
 * Batches of a clip's frames; the next one is read while the caller works.
 *
 * @throws {UserError} if the clip cannot be read
 */
export async function* readBatches(
  clip: Clip,
  options: SourceOptions,
): AsyncGenerator<RawFrame[], void, void> {
  const batches = inBatches(readFrames(clip, options), options.batchSize);
  let next = batches.next();
  try {
    while (true) {
      const { done, value } = await next;
      if (done) return;
      next = batches.next();
      next.catch(() => {}); // reported when its turn comes
      yield value;
    }
  } finally {
    await next.catch(() => {});
    await batches.return();
  }
}
