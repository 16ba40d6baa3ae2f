/** What the tests of NaN share: inputs with NaN at some places, and where outputs must have it. */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { currentTraits } from "../../kernels/runtime/program.ts";

await initializeDevice();

/** Lanes of the variants with subgroup operations: 8 unless this adapter has fewer. */
export const LANES = Math.min(8, currentTraits().subgroupSize);

/** Of either sign: what an x86 processor makes of 0 / 0 has the sign bit set, what a GPU makes may not. */
const NANS = [0xffc00000, 0x7fc00000];

const random = new RandomStream(1, "nan"); // where NaN comes out does not depend on the values

/** Sets NaN at some places, of both signs in turn. */
export function setNan(values: Float32Array, ...places: number[]): Float32Array {
  const bits = new Uint32Array(values.buffer); // as floats the two might become one
  places.forEach((place, i) => bits[place] = NANS[i % 2]);
  return values;
}

/** Values in [0.1, 1), NaN at some places. */
export function values(shape: readonly number[], ...places: number[]): tf.Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const drawn = Float32Array.from({ length: size }, () => random.uniform(0.1, 1));
  return tf.tensor(setNan(drawn, ...places), [...shape]);
}

/** The values, and frees them. */
export async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

/**
 * Requires NaN where `isBroken` says so, by the place in each dimension, and nowhere else; either will do where it is
 * undefined. Frees the tensor.
 */
export async function requireNan(
  what: string,
  info: TensorInfo,
  isBroken: (...place: number[]) => boolean | undefined,
): Promise<void> {
  const { shape } = info;
  (await read(info)).forEach((value, i) => {
    const place = shape.map((n, d) => Math.floor(i / shape.slice(d + 1).reduce((a, b) => a * b, 1)) % n);
    const wanted = isBroken(...place) ?? Number.isNaN(value);
    assertEquals(Number.isNaN(value), wanted, `${what} at [${place}]: ${value}`);
  });
}
