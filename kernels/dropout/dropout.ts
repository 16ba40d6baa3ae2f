/**
 * Dropout whose mask is counted, not drawn: seed, layer, step and element give each bit, so backward makes the mask
 * again and nothing is uploaded or saved.
 *
 * Another kernel that drops (attention's probabilities) includes `threefry.wgsl`, takes the uniforms of
 * {@link dropoutUniforms} and asks `dropout_keeps` or `dropout_keeps4`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { requireFloats } from "../runtime/elements.ts";
import nanSource from "../runtime/nan.wgsl" with { type: "text" };
import { foldWorkgroups, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { type LaunchValue, numberOf } from "../runtime/uniforms.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import quadSource from "./dropout.wgsl" with { type: "text" };
import scalarSource from "./dropout_scalar.wgsl" with { type: "text" };
import threefry from "./threefry.wgsl" with { type: "text" };

const includes = { "nan.wgsl": nanSource, "threefry.wgsl": threefry };
const QUADS: ShaderFile = { file: "dropout/dropout.wgsl", source: quadSource, includes };
const SCALARS: ShaderFile = { file: "dropout/dropout_scalar.wgsl", source: scalarSource, includes };

const NAME = "FervidDropout";
const GROUP = 64;
/** 2^64 keys: 53 bits of seed and 11 of layer. */
const MAX_LAYERS = 2 ** 11;

/** Which mask a dropout draws: the same three numbers give the same bits. */
export interface DropoutKey {
  /** a non-negative safe integer */
  readonly seed: number;
  /** below 2048 */
  readonly layer: number;
  /** below 2^32 */
  readonly step: number | LaunchValue;
}

/** What a shader needs to know of a mask, in the order of its uniforms. */
export interface DropoutUniforms {
  /** the key's two words: the seed's low word; the layer and the seed's high word */
  readonly seed: number;
  readonly layer: number;
  readonly step: number | LaunchValue;
  /** an element is kept if its 32 random bits are at least this: rate 2^32 */
  readonly threshold: number;
  /** of what is kept: 1 / (1 - rate) */
  readonly scale: { readonly f32: number };
}

/**
 * The uniforms of a mask.
 *
 * @param rate the probability that an element is dropped, in [0, 1)
 * @throws {RangeError} for another rate, and for a key out of range
 */
export function dropoutUniforms(rate: number, { seed, layer, step }: DropoutKey): DropoutUniforms {
  if (!(rate >= 0 && rate < 1)) {
    throw new RangeError(`Cannot run dropout: rate is ${rate}; expected at least 0 and less than 1`);
  }
  const limits = { seed: 2 ** 53, layer: MAX_LAYERS, step: 2 ** 32 };
  for (const [name, value] of Object.entries({ seed, layer, step: numberOf(step) })) {
    const limit = limits[name as keyof typeof limits];
    if (!Number.isInteger(value) || value < 0 || value >= limit) {
      throw new RangeError(
        `Cannot run dropout: ${name} is ${value}; expected an integer from 0 to ${limit - 1}`,
      );
    }
  }
  return {
    seed: seed % 2 ** 32,
    layer: layer + MAX_LAYERS * Math.floor(seed / 2 ** 32),
    step,
    threshold: Math.min(2 ** 32 - 1, Math.round(rate * 2 ** 32)),
    scale: { f32: 1 / (1 - rate) },
  };
}

function forward(x: TensorInfo, rate: number, key: DropoutKey): TensorInfo {
  const elements = sizeOf(x.shape);
  const quads = elements % 4 === 0;
  const count = quads ? elements / 4 : elements;
  const workgroups = foldWorkgroups(Math.ceil(count / GROUP));
  const [y] = run({
    shader: quads ? QUADS : SCALARS,
    inputs: [x],
    outputs: [{ shape: x.shape }],
    uniforms: { ...dropoutUniforms(rate, key), count, row: workgroups[0] * GROUP },
    workgroups,
  });
  return y;
}

/** Dropout with its gradient, for tfjs's registry. */
export const DROPOUT_KERNELS: readonly NewKernel[] = [{
  name: NAME,
  run({ x }, attributes) {
    const { rate, seed, layer, step } = attributes as unknown as { rate: number } & DropoutKey;
    return forward(x, rate, { seed, layer, step });
  },
  gradient: {
    gradFunc: (dy, _saved, attrs) => ({
      x: () => tf.engine().runKernel(NAME, { x: dy as tf.Tensor }, attrs) as tf.Tensor,
    }),
  },
}];

/**
 * Zeroes each element with probability `rate` and scales the others by 1 / (1 - rate). One dispatch, and one for the
 * gradient. The mask is Threefry-2x32-20 (Salmon et al., SC 2011) of seed, layer, step and the element's index in
 * row-major order: the same on every adapter.
 *
 * @param x float32 of any shape that is not empty
 * @param rate in [0, 1)
 * @throws {RangeError} for another rate, an empty tensor, or a key out of range
 * @throws {TypeError} unless x is float32
 */
export function dropout<T extends tf.Tensor>(x: T, rate: number, key: DropoutKey): T {
  requireFloats("dropout", x);
  dropoutUniforms(rate, key); // throws here, not in the middle of a recorded kernel
  return tf.engine().runKernel(NAME, { x }, { rate, ...key } as unknown as tf.NamedAttrMap) as T;
}
