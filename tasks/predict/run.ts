/**
 * A clip from its frames to its rows.
 *
 * @module
 */
import { FaceTracker } from "../../models/faces/tracking.ts";
import type { Smoothing } from "../../models/smoothing.ts";
import type { Context } from "../run/cli.ts";
import type { Clip } from "./clips.ts";
import { type FaceFinder, takeCrops } from "./face_finder.ts";
import type { FacesFrame, RawFrame } from "./frames.ts";
import type { Predictor } from "./predictor.ts";
import type { ClipSummary, Sink } from "./sinks.ts";
import { expectedFrames, readBatches, type SourceOptions } from "./sources.ts";
import { Timeline } from "./timeline.ts";

/** How clips are predicted. */
export interface PipelineOptions {
  readonly predictor: Predictor;
  /** undefined: all frames are crops */
  readonly finder: FaceFinder | undefined;
  /** frames that a face may be away */
  readonly maxGap: number;
  readonly smoothing: Smoothing;
  readonly fillGaps: boolean;
  readonly source: Omit<SourceOptions, "log">;
}

/** Finds the faces of one clip, batch by batch. */
function facesOf(clip: Clip, { finder, maxGap }: PipelineOptions) {
  if (clip.kind === "crops" || finder === undefined) {
    return (frames: readonly RawFrame[]) => Promise.resolve(takeCrops(frames, clip.name));
  }
  const tracker = new FaceTracker({ maxGap });
  const nameOf = (track: number) => `${clip.name}#${track}`;
  return (frames: readonly RawFrame[]) => finder.find(frames, tracker, nameOf);
}

/**
 * Predicts a clip. Memory depends on the frames' size, the windows and the smoothing, not on the clip's length.
 *
 * @throws {UserError} if it cannot be read; the signal's reason if it is aborted
 */
export async function predictClip(
  clip: Clip,
  options: PipelineOptions,
  sinks: readonly Sink[],
  context: Context,
): Promise<ClipSummary> {
  const { predictor, finder, smoothing, fillGaps, source } = options;
  const expected = await expectedFrames(clip, source.repeat);
  const total = expected.about;
  const progress = total === undefined ? undefined : context.progress(clip.name, total);
  const isCrops = clip.kind === "crops" || finder === undefined;
  const timeline = new Timeline(clip.name, {
    smoothing,
    fillGaps,
    onlyTrack: isCrops ? clip.name : undefined,
  });
  const findFaces = facesOf(clip, options);
  const tracks = new Set<string>();
  let [count, rows, framesWithFace, lastFrame] = [0, 0, 0, 0];
  const startedAt = performance.now();
  const push = async (frames: readonly FacesFrame[], finish: boolean) => {
    for (const sink of sinks) await sink.faces?.(frames);
    const finished = timeline.push(frames, await predictor.push(frames, finish), finish);
    rows += finished.length;
    for (const { frame } of finished) {
      if (frame !== lastFrame && frame !== lastFrame + 1) {
        throw new Error(
          `Cannot account for frame ${lastFrame + 1} of ${clip.name}: row of frame ${frame} came next`,
        );
      }
      lastFrame = frame;
    }
    for (const sink of sinks) await sink.rows(finished);
  };
  try {
    for await (const batch of readBatches(clip, { ...source, log: context.log })) {
      context.signal.throwIfAborted();
      const frames = await findFaces(batch);
      count += frames.length;
      for (const { faces } of frames) {
        if (faces.length > 0) framesWithFace++;
        faces.forEach(({ track }) => tracks.add(track));
      }
      await push(frames, false);
      progress?.update(
        Math.min(count, total!),
        `${(count / (performance.now() - startedAt) * 1000).toFixed(1)} frames/s`,
      );
    }
    await push([], true);
  } finally {
    progress?.finish();
    predictor.reset();
  }
  if (lastFrame !== count) {
    throw new Error(`Cannot account for all ${count} frames of ${clip.name}: rows end at ${lastFrame}`);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const summary = { clip, frames: count, rows, framesWithFace, tracks: tracks.size, seconds };
  for (const sink of sinks) await sink.endClip?.(summary);
  if (expected.exact !== undefined && expected.exact !== count) {
    context.log(`${clip.name}: the file says that it has ${expected.exact} frames; ${count} were decoded`);
  }
  return summary;
}
