/** What the tests of attention share: inputs, masks, dropout. */
import * as tf from "@tensorflow/tfjs";
import { RandomStream } from "../../data/random.ts";
import type { AttentionCase } from "../../kernels/attention/attention_cases.ts";
import type { AttentionFactors } from "../../kernels/attention/attention_ref.ts";
import { dropoutMaskRef } from "../../kernels/dropout/dropout_ref.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";

await initializeDevice();

/** Of the inputs. */
export const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
export const random = new RandomStream(seed, "attention");
export const KEY = { seed, layer: 5, step: 11 };

/** Values within a bound. */
export function draw(shape: readonly number[], bound = 1): { values: Float32Array; tensor: tf.Tensor } {
  const size = shape.reduce((product, n) => product * n, 1);
  const values = Float32Array.from({ length: size }, () => random.uniform(-bound, bound));
  return { values, tensor: tf.tensor(values, [...shape]) };
}

/** Most keys attended; none of the first clip's. */
function drawMask(clips: number, frames: number): Int32Array {
  return Int32Array.from({ length: clips * frames }, (_, i) => i < frames || random.chance(0.4) ? 0 : 1);
}

/** A case's mask and dropout, for kernels and reference. */
export function optionsOf({ clips, frames, heads, masked, rate }: AttentionCase) {
  const mask = masked ? drawMask(clips, frames) : undefined;
  const factors: AttentionFactors = {
    mask,
    dropout: rate ? dropoutMaskRef(clips * heads * frames ** 2, rate, KEY) : undefined,
  };
  return {
    factors,
    mask: mask && tf.tensor2d(mask, [clips, frames], "int32"),
    dropout: rate ? { rate, ...KEY } : undefined,
  };
}
