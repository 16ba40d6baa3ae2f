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

/** The convention of the VGGFace2 weights in a pickle or in Keras's file: the same, channels turned round. */
export const VGGFACE2_BGR_CONVENTION: InputConvention = {
  name: "vggface2-bgr",
  order: "bgr",
  scale: 1,
  mean: [91.4953, 103.8827, 131.0912],
  std: [1, 1, 1],
};

/** torchvision's convention for its ImageNet weights. */
export const IMAGENET_CONVENTION: InputConvention = {
  name: "imagenet",
  order: "rgb",
  scale: 1 / 255,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** The conventions that weights in circulation have, by name. */
export const CONVENTIONS: Readonly<Record<string, InputConvention>> = Object.fromEntries(
  [EXPR_CONVENTION, VGGFACE2_CONVENTION, VGGFACE2_BGR_CONVENTION, IMAGENET_CONVENTION]
    .map((convention) => [convention.name, convention]),
);

/** The same convention for a first convolution whose input channels have been turned to RGB. */
export function asRgb(convention: InputConvention): InputConvention {
  if (convention.order === "rgb") return convention;
  const { mean: [b, g, r], std: [stdB, stdG, stdR] } = convention;
  const mean: [number, number, number] = [r, g, b];
  const known = Object.values(CONVENTIONS).find(({ order, mean: other }) =>
    order === "rgb" && other.join() === mean.join()
  );
  const name = known?.name ?? `${convention.name}-as-rgb`;
  return { ...convention, name, order: "rgb", mean, std: [stdR, stdG, stdB] };
}

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
