/**
 * Dropout's mask on the host: the twin of threefry.wgsl. What the kernels are held against, and what the layers on
 * plain TensorFlow.js draw.
 *
 * @module
 */
import { numberOf } from "../runtime/uniforms.ts";
import { type DropoutKey, dropoutUniforms } from "./dropout.ts";

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];
const PARITY = 0x1bd11bda;

/** One Threefry-2x32-20 block (Salmon et al., SC 2011): 32-bit words of key and counter -> two unsigned words. */
export function threefry2x32Ref(
  key: readonly [number, number],
  counter: readonly [number, number],
): [number, number] {
  const schedule = [key[0], key[1], PARITY ^ key[0] ^ key[1]];
  let a = (counter[0] + schedule[0]) >>> 0;
  let b = (counter[1] + schedule[1]) >>> 0;
  for (let round = 0; round < 20; round++) {
    const rotation = ROTATIONS[round % 8];
    a = (a + b) >>> 0;
    b = ((b << rotation | b >>> (32 - rotation)) ^ a) >>> 0;
    if (round % 4 !== 3) continue;
    const injection = (round + 1) / 4;
    a = (a + schedule[injection % 3]) >>> 0;
    b = (b + schedule[(injection + 1) % 3] + injection) >>> 0;
  }
  return [a, b];
}

/**
 * The factor of every element: 0, or 1 / (1 - rate) in float32.
 *
 * @throws {RangeError} as {@link dropoutUniforms}
 */
export function dropoutMaskRef(count: number, rate: number, key: DropoutKey): Float32Array<ArrayBuffer> {
  const { seed, layer, step, threshold, scale } = dropoutUniforms(rate, key);
  const mask = new Float32Array(count);
  for (let e = 0; e < count; e += 2) {
    const [low, high] = threefry2x32Ref([seed, layer], [numberOf(step), e / 2]);
    if (low >= threshold) mask[e] = scale.f32;
    if (high >= threshold && e + 1 < count) mask[e + 1] = scale.f32;
  }
  return mask;
}
