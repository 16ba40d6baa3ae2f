/**
 * Finds the points of a face: face-api.js's network for 68 landmarks in the order of iBUG 300-W (Sagonas et al. 2013),
 * dense blocks (Huang et al. 2017) of depthwise separable convolutions on a square of 112 pixels.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { cropSquare } from "../../data/faces/alignment.ts";
import { type Box, type Point, squareAround } from "../../data/faces/geometry.ts";
import type { RgbImage } from "../../data/images.ts";
import { type InputConvention, normalize } from "../../data/input_convention.ts";
import { conv2dInference } from "../../kernels/mod.ts";
import { FaceTensors } from "./weights.ts";

const MODEL = "face_landmark_68_model";
const SIZE = 112;
const LANDMARKS = 68;
const CONVENTION: InputConvention = {
  name: "68 landmarks",
  order: "rgb",
  scale: 1 / 255,
  mean: [122.782 / 255, 117.001 / 255, 104.298 / 255],
  std: [1, 1, 1],
};
/** Faces that are looked at together: of 340 a layer's output is more than a device binds by default, 128 MiB. */
const BATCH = 128;
const BLOCKS = 4;
const LAYERS = 4;
/** The landmarks whose mean is the left eye, the right eye (as seen in the picture), the nose's tip, the mouth's corners. */
const FIVE_POINTS = [[36, 37, 38, 39, 40, 41], [42, 43, 44, 45, 46, 47], [30], [48], [54]];

/** A face in a picture. */
export interface FaceRegion {
  readonly image: RgbImage;
  readonly box: Box;
}

/** Of the 68 landmarks, the five points that faces are aligned by; see `CROP_POINTS`. */
export function alignmentPoints(landmarks: readonly Point[]): Point[] {
  return FIVE_POINTS.map((numbers) => {
    const points = numbers.map((number) => landmarks[number]);
    const mean = (key: "x" | "y") => points.reduce((sum, point) => sum + point[key], 0) / points.length;
    return { x: mean("x"), y: mean("y") };
  });
}

/** The network with its weights on the device. */
export class FaceLandmarks {
  readonly #tensors: FaceTensors;

  private constructor(tensors: FaceTensors) {
    this.#tensors = tensors;
  }

  /** Reads the weights. */
  static async load(): Promise<FaceLandmarks> {
    return new FaceLandmarks(await FaceTensors.read(MODEL));
  }

  /** The 68 landmarks of each face, in pixels of its picture. */
  async find(faces: readonly FaceRegion[]): Promise<Point[][]> {
    const points: Point[][] = [];
    for (let start = 0; start < faces.length; start += BATCH) {
      points.push(...await this.#findSome(faces.slice(start, start + BATCH)));
    }
    return points;
  }

  async #findSome(faces: readonly FaceRegion[]): Promise<Point[][]> {
    const squares = faces.map(({ box }) => squareAround(box));
    const length = SIZE * SIZE * 3;
    const input = new Float32Array(faces.length * length);
    faces.forEach(({ image }, n) =>
      normalize(cropSquare(image, squares[n], SIZE), CONVENTION, input, n * length)
    );
    const output = tf.tidy(() => this.#forward(tf.tensor4d(input, [faces.length, SIZE, SIZE, 3])));
    const values = await output.data<"float32">();
    output.dispose();
    return squares.map(({ x, y, width }, n) =>
      Array.from({ length: LANDMARKS }, (_, i) => {
        const at = (n * LANDMARKS + i) * 2;
        return { x: x + values[at] * width, y: y + values[at + 1] * width };
      })
    );
  }

  /** [N, 112, 112, 3], normalised -> [N, 136]: x, y of each landmark, in fractions of the square */
  #forward(images: tf.Tensor4D): tf.Tensor2D {
    let x = images;
    for (let block = 0; block < BLOCKS; block++) x = this.#block(x, block);
    x = tf.avgPool(x, 7, 2, "valid"); // [N, 1, 1, 256]
    const weights = this.#tensors.get<tf.Tensor2D>("fc/weights", 2);
    return x.reshape<tf.Tensor2D>([x.shape[0], -1]).matMul<tf.Tensor2D>(weights).add(
      this.#tensors.get("fc/bias", 1),
    );
  }

  /** Four convolutions, the first one halving the sides; each sees the sum of all before it. */
  #block(x: tf.Tensor4D, block: number): tf.Tensor4D {
    let sum = this.#conv(x, `dense${block}/conv0`, 2).relu<tf.Tensor4D>();
    let input = sum;
    for (let layer = 1; layer < LAYERS; layer++) {
      sum = sum.add<tf.Tensor4D>(this.#conv(input, `dense${block}/conv${layer}`, 1));
      input = sum.relu();
    }
    return input;
  }

  #conv(x: tf.Tensor4D, name: string, stride: number): tf.Tensor4D {
    const get = (part: string) => this.#tensors.get<tf.Tensor4D>(`${name}/${part}`, 4);
    const bias = this.#tensors.get<tf.Tensor1D>(`${name}/bias`, 1);
    if (name === "dense0/conv0") {
      return conv2dInference(x, get("filters"), { strides: stride, pad: "same", bias });
    }
    const depthwise = x.depthwiseConv2d<tf.Tensor4D>(get("depthwise_filter"), stride, "same");
    return conv2dInference(depthwise, get("pointwise_filter"), { strides: 1, pad: "valid", bias });
  }

  /** Frees the weights. */
  dispose(): void {
    this.#tensors.dispose();
  }
}
