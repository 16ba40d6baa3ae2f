/**
 * Finds faces: face-api.js's tiny face detector, a YOLOv2 (Redmon & Farhadi 2016) of depthwise separable convolutions
 * with five anchors, on a square that the picture is fitted into.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import sharp from "sharp";
import { type Box, overlap, sharedArea } from "../../data/faces/geometry.ts";
import type { RgbImage } from "../../data/images.ts";
import { type InputConvention, normalize } from "../../data/input_convention.ts";
import { conv2dInference } from "../../kernels/mod.ts";
import { FaceTensors } from "./weights.ts";

/** A face's box in pixels of the picture, and how sure the detector is, 0 to 1. */
export interface Detection extends Box {
  readonly score: number;
}

/** How faces are looked for. */
export interface DetectorOptions {
  /** side of the square in pixels, a multiple of 32: small faces want more, large ones less */
  readonly size: number;
  /** boxes below it are dropped */
  readonly minScore: number;
}

const MODEL = "tiny_face_detector_model";
/** Width and height of each anchor, in cells. */
const ANCHORS = [
  [1.603231, 2.094468],
  [6.041143, 7.080126],
  [2.882459, 3.518061],
  [4.266906, 5.178857],
  [9.041765, 10.66308],
];
/** x, y, width, height and score of an anchor. */
const VALUES = 5;
const CONVENTION: InputConvention = {
  name: "tiny face detector",
  order: "rgb",
  scale: 1 / 255,
  mean: [117.001 / 255, 114.697 / 255, 97.404 / 255],
  std: [1, 1, 1],
};
/** Sides of squares are multiples of it: pixels of a cell. */
const CELL = 32;
const SMALLEST_SIZE = 96;
/** Smaller squares are not added to a larger one. */
const SMALLEST_OCTAVE = 160;
const FIRST_CHANNELS = 16;
/** Of the first convolution's output: pictures beyond it are another chunk. */
const CHUNK_BYTES = 1 << 26;
const LEAK = 0.1;
/** Boxes that overlap more than this are of one face. */
const SAME_FACE = 0.4;
/** Of boxes that were found at different sizes, where the smaller one may be drawn tighter: share of it in the larger. */
const SAME_FACE_WITHIN = 0.7;

/** Whether the detector can take squares of that side. */
export function isDetectorSize(size: number): boolean {
  return Number.isInteger(size) && size >= SMALLEST_SIZE && size % CELL === 0;
}

/**
 * The size and its halves, for {@linkcode FaceDetector.detectAtSizes}. One size does not serve all faces: of a talking
 * head that fills 2/5 of a frame's height, 416 finds 75 % and 224 finds 99 %; far faces want the larger one.
 */
export function octavesOf(size: number): number[] {
  const sizes: number[] = [];
  for (let next = size; next === size || next >= SMALLEST_OCTAVE; next = Math.round(next / 2 / CELL) * CELL) {
    sizes.push(next);
  }
  return sizes;
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

/** The most certain box of each face, the most certain face first. */
function suppress(detections: Detection[], isSame: (a: Box, b: Box) => boolean): Detection[] {
  detections.sort((a, b) => b.score - a.score);
  const kept: Detection[] = [];
  for (const detection of detections) {
    if (!kept.some((other) => isSame(detection, other))) kept.push(detection);
  }
  return kept;
}

function isSameFace(a: Box, b: Box): boolean {
  return overlap(a, b) > SAME_FACE;
}

function isSameFaceAcrossSizes(a: Box, b: Box): boolean {
  const smaller = Math.min(a.width * a.height, b.width * b.height);
  return isSameFace(a, b) || sharedArea(a, b) > SAME_FACE_WITHIN * smaller;
}

/** The picture in the square's top left corner, as large as fits: [size, size, 3] RGB bytes. */
async function fitIntoSquare({ width, height, pixels }: RgbImage, size: number): Promise<Uint8Array> {
  const longer = Math.max(width, height);
  const [fitWidth, fitHeight] = [width, height].map((side) => Math.max(1, Math.round(side * size / longer)));
  const data = await sharp(pixels, { raw: { width, height, channels: 3 } })
    .resize(fitWidth, fitHeight, { fit: "fill", kernel: "linear" })
    .extend({ right: size - fitWidth, bottom: size - fitHeight, background: "black" })
    .removeAlpha().raw().toBuffer();
  return new Uint8Array(data.buffer, data.byteOffset, data.length);
}

/** The detector with its weights on the device. */
export class FaceDetector {
  readonly #tensors: FaceTensors;

  private constructor(tensors: FaceTensors) {
    this.#tensors = tensors;
  }

  /** Reads the weights. */
  static async load(): Promise<FaceDetector> {
    return new FaceDetector(await FaceTensors.read(MODEL));
  }

  /**
   * The faces of each picture, the most certain first.
   *
   * @throws {RangeError} if the detector cannot take that size
   */
  async detect(images: readonly RgbImage[], { size, minScore }: DetectorOptions): Promise<Detection[][]> {
    if (!isDetectorSize(size)) {
      throw new RangeError(`Cannot detect faces at size ${size}; expected a multiple of 32, at least 96`);
    }
    if (images.length === 0) return [];
    const found: Detection[][] = [];
    const most = Math.max(1, Math.floor(CHUNK_BYTES / (size * size * FIRST_CHANNELS * 4)));
    for (let start = 0; start < images.length; start += most) {
      found.push(...await this.#detectChunk(images.slice(start, start + most), size, minScore));
    }
    return found;
  }

  /**
   * The faces that are found at any of several sizes, each once, the most certain first.
   *
   * @throws {RangeError} if the detector cannot take one of them
   */
  async detectAtSizes(
    images: readonly RgbImage[],
    sizes: readonly number[],
    minScore: number,
  ): Promise<Detection[][]> {
    const found: Detection[][] = images.map(() => []);
    for (const size of sizes) {
      (await this.detect(images, { size, minScore })).forEach((boxes, i) => found[i].push(...boxes));
    }
    return found.map((boxes) => suppress(boxes, isSameFaceAcrossSizes));
  }

  async #detectChunk(images: readonly RgbImage[], size: number, minScore: number): Promise<Detection[][]> {
    const length = size * size * 3;
    const input = new Float32Array(images.length * length);
    await Promise.all(images.map(async (image, n) => {
      normalize(await fitIntoSquare(image, size), CONVENTION, input, n * length);
    }));
    const output = tf.tidy(() => this.#forward(tf.tensor4d(input, [images.length, size, size, 3])));
    const cells = output.shape[1];
    const values = await output.data<"float32">();
    output.dispose();
    const perImage = values.length / images.length;
    return images.map(({ width, height }, n) => {
      const scale = Math.max(width, height);
      const boxes = decode(values.subarray(n * perImage, (n + 1) * perImage), cells, scale, minScore);
      return suppress(boxes, isSameFace);
    });
  }

  /** [N, S, S, 3], normalised -> [N, cells, cells, anchors * values] */
  #forward(images: tf.Tensor4D): tf.Tensor4D {
    const conv = (x: tf.Tensor4D, layer: string, filter = "filters") => {
      const bias = this.#tensors.get<tf.Tensor1D>(`${layer}/bias`, 1);
      return conv2dInference(x, this.#tensors.get(`${layer}/${filter}`, 4), {
        strides: 1,
        pad: "valid",
        bias,
      });
    };
    // Leaky ReLU rises everywhere, so that it may come after the maximum, on a quarter of the values.
    const pool = (x: tf.Tensor4D, stride: number) => tf.leakyRelu(tf.maxPool(x, 2, stride, "same"), LEAK);
    let x = conv(images, "conv0");
    for (let layer = 1; layer <= 5; layer++) {
      const depthwise = this.#tensors.get<tf.Tensor4D>(`conv${layer}/depthwise_filter`, 4);
      x = pool(x, 2).depthwiseConv2d<tf.Tensor4D>(depthwise, 1, "same");
      x = conv(x, `conv${layer}`, "pointwise_filter");
    }
    return conv(pool(x, 1), "conv8");
  }

  /** Frees the weights. */
  dispose(): void {
    this.#tensors.dispose();
  }
}

/**
 * Boxes of one picture (YOLOv2, Section 2: centre by sigmoid within the cell, size by exp times the anchor).
 *
 * @param values [cells, cells, anchors, x y width height score]
 * @param scale pixels of the picture to the square's side
 */
function decode(values: Float32Array, cells: number, scale: number, minScore: number): Detection[] {
  const found: Detection[] = [];
  const cell = scale / cells;
  for (let i = 0; i < values.length; i += VALUES) {
    const score = sigmoid(values[i + 4]);
    if (score < minScore) continue;
    const anchor = (i / VALUES) % ANCHORS.length;
    const column = Math.floor(i / VALUES / ANCHORS.length);
    const width = Math.exp(values[i + 2]) * ANCHORS[anchor][0] * cell;
    const height = Math.exp(values[i + 3]) * ANCHORS[anchor][1] * cell;
    const x = (column % cells + sigmoid(values[i])) * cell - width / 2;
    const y = (Math.floor(column / cells) + sigmoid(values[i + 1])) * cell - height / 2;
    found.push({ x, y, width, height, score });
  }
  return found;
}
