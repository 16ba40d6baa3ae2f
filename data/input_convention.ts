/**
 * Input conventions: channel order, scale, mean and deviation that belong to a set of weights. Mixing two of them
 * runs without an error and gives wrong features, so the convention travels with the weights.
 *
 * @module
 */

/** x' = (x * scale - mean) / std per channel, in the given channel order. */
export interface InputConvention {
  readonly name: string;
  readonly order: "rgb" | "bgr";
  /** applied to the bytes 0..255 */
  readonly scale: number;
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** The paper's authors' convention for weights that are trained from scratch on expressions. */
export const EXPR_CONVENTION: InputConvention = {
  name: "expr",
  order: "rgb",
  scale: 1 / 255,
  mean: [0.5071, 0.4867, 0.4408],
  std: [0.2675, 0.2565, 0.2761],
};

/** The convention of the VGGFace2 weights in dag names. */
export const VGGFACE2_CONVENTION: InputConvention = {
  name: "vggface2",
  order: "rgb",
  scale: 1,
  mean: [131.0912, 103.8827, 91.4953],
  std: [1, 1, 1],
};

/**
 * Normalises RGB bytes into `out` from `offset`.
 *
 * @param pixels [size, size, 3] RGB bytes
 */
export function normalize(
  pixels: Uint8Array,
  { order, scale, mean, std }: InputConvention,
  out: Float32Array,
  offset: number,
): void {
  const first = order === "rgb" ? 0 : 2;
  const factor = std.map((deviation) => scale / deviation);
  const shift = mean.map((value, c) => -value / std[c]);
  for (let i = 0; i < pixels.length; i += 3) {
    out[offset + i] = pixels[i + first] * factor[0] + shift[0];
    out[offset + i + 1] = pixels[i + 1] * factor[1] + shift[1];
    out[offset + i + 2] = pixels[i + 2 - first] * factor[2] + shift[2];
  }
}
