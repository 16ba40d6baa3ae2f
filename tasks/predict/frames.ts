/**
 * What flows through `predict`: frames as they are read, then with their faces.
 *
 * @module
 */
import type { Box } from "../../data/faces/geometry.ts";
import type { RgbImage } from "../../data/images.ts";

/** A frame as read. */
export interface RawFrame {
  /** from 1 */
  readonly number: number;
  /** seconds from the input's begin; undefined where the input has no times */
  readonly time?: number;
  /** undefined where there is no image: a frame without a crop, or one that cannot be read */
  readonly image?: RgbImage;
  /** why an image cannot be read */
  readonly problem?: string;
}

/** Where a face was found; nothing of it for input that is crops already. */
export interface FacePlace {
  readonly box?: Box;
  /** how sure the detector is, 0 to 1 */
  readonly score?: number;
}

/** A face in a frame. */
export interface Face extends FacePlace {
  readonly track: string;
  /** aligned as Aff-Wild2's crops are */
  readonly crop: RgbImage;
}

/** A frame with its faces. */
export interface FacesFrame extends Omit<RawFrame, "image"> {
  readonly faces: readonly Face[];
  /** tracks that have ended before this frame */
  readonly ended: readonly string[];
}

/** What a row says of the face. */
export type FaceState =
  /** there is one, and its probabilities are the networks' */
  | "found"
  /** there is none; the probabilities are between those of the frames around */
  | "filled"
  /** there is none */
  | "none"
  /** the frame's image cannot be read */
  | "unreadable";

/** A row of the output: a frame and a track, or a frame without a face. */
export interface Row extends FacePlace {
  readonly input: string;
  readonly frame: number;
  readonly time?: number;
  /** undefined where there is no face */
  readonly track?: string;
  readonly state: FaceState;
  /** [7] of the expressions, then [12] of the action units, as far as there are networks for them */
  readonly values?: Float32Array;
}
