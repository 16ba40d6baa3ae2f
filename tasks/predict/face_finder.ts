/**
 * From frames to faces: found, followed and aligned; or, for input that is crops already, taken as they are.
 *
 * @module
 */
import { alignFace } from "../../data/faces/alignment.ts";
import { type DetectorOptions, FaceDetector, octavesOf } from "../../models/faces/detector.ts";
import { alignmentPoints, FaceLandmarks } from "../../models/faces/landmarks.ts";
import { FaceTracker } from "../../models/faces/tracking.ts";
import type { FacesFrame, RawFrame } from "./frames.ts";

/** The networks that find faces. */
export class FaceFinder {
  readonly #detector: FaceDetector;
  readonly #landmarks: FaceLandmarks;
  readonly #options: DetectorOptions;

  private constructor(detector: FaceDetector, landmarks: FaceLandmarks, options: DetectorOptions) {
    this.#detector = detector;
    this.#landmarks = landmarks;
    this.#options = options;
  }

  /** Reads the weights. */
  static async load(options: DetectorOptions): Promise<FaceFinder> {
    return new FaceFinder(await FaceDetector.load(), await FaceLandmarks.load(), options);
  }

  /**
   * The faces of neighbouring frames.
   *
   * @param nameOf the name of a track by its number
   */
  async find(
    frames: readonly RawFrame[],
    tracker: FaceTracker,
    nameOf: (track: number) => string,
  ): Promise<FacesFrame[]> {
    const images = frames.flatMap(({ image }) => image ?? []);
    const { size, minScore } = this.#options;
    const detections = await this.#detector.detectAtSizes(images, octavesOf(size), minScore);
    const faces = detections.flatMap((boxes, i) => boxes.map((box) => ({ image: images[i], box })));
    const landmarks = await this.#landmarks.find(faces);
    const crops = faces.map(({ image }, i) => alignFace(image, alignmentPoints(landmarks[i])));
    let nextImage = 0;
    let nextFace = 0;
    return frames.map(({ image, ...frame }) => {
      const boxes = image === undefined ? [] : detections[nextImage++];
      const { tracks, ended } = tracker.update(frame.number, boxes);
      return {
        ...frame,
        ended: ended.map(nameOf),
        faces: boxes.map(({ score, ...box }, i) => ({
          track: nameOf(tracks[i]),
          box,
          score,
          crop: crops[nextFace++],
        })),
      };
    });
  }

  /** Frees the weights. */
  dispose(): void {
    this.#detector.dispose();
    this.#landmarks.dispose();
  }
}

/** Frames that are crops, all of one track. */
export function takeCrops(frames: readonly RawFrame[], track: string): FacesFrame[] {
  return frames.map(({ image, ...frame }) => ({
    ...frame,
    ended: [],
    faces: image === undefined ? [] : [{ track, crop: image }],
  }));
}
