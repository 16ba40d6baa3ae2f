/**
 * How far two results are apart: the correctness gate before anything is timed. Floats are compared on the device, since
 * reading a result of the paper's size takes longer than timing it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import differenceSource from "./difference.wgsl" with { type: "text" };
import { release, run } from "./program.ts";
import type { ShaderFile } from "./wgsl.ts";

const DIFFERENCE: ShaderFile = { file: "runtime/difference.wgsl", source: differenceSource };
const GROUP = 64;
/** Elements of an invocation at most, but for the largest tensors. */
const EACH = 256;
/** What WebGPU guarantees a grid in one direction. */
const MAX_GRID = 65535;
/** Expected values smaller than this count as this. */
const LEAST = 1e-30;

/** The largest difference as a share of the expected values' largest magnitude; infinite for NaN. */
export function relativeDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let scale = LEAST;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]));
    const difference = Math.abs(actual[i] - expected[i]);
    if (Number.isNaN(difference)) return Infinity;
    largest = Math.max(largest, difference);
  }
  return shareOf(largest, scale);
}

/** Infinite where the expected values are: then nothing is known. */
function shareOf(difference: number, scale: number): number {
  const share = difference / Math.max(scale, LEAST);
  return Number.isNaN(share) ? Infinity : share;
}

/** {@link relativeDifference} of each two tensors, which stay the caller's; infinite where one has no other. */
export function relativeDifferences(
  actual: readonly TensorInfo[],
  expected: readonly TensorInfo[],
): Promise<number[]> {
  const count = Math.max(actual.length, expected.length);
  return Promise.all(
    Array.from({ length: count }, (_, i) => differenceOf(actual[i], expected[i])),
  );
}

async function differenceOf(actual?: TensorInfo, expected?: TensorInfo): Promise<number> {
  if (actual === undefined || expected === undefined) return Infinity;
  const length = tf.util.sizeFromShape(expected.shape);
  if (tf.util.sizeFromShape(actual.shape) !== length) return Infinity;
  if (length === 0 || actual.dtype !== "float32" || expected.dtype !== "float32") {
    const [a, b] = await Promise.all([read(actual), read(expected)]);
    return relativeDifference(a, b);
  }
  const workgroups = Math.min(MAX_GRID, Math.ceil(length / (GROUP * EACH)));
  const [partial] = run({
    shader: DIFFERENCE,
    inputs: [actual, expected],
    outputs: [{ shape: [workgroups, 2], dtype: "int32" }],
    uniforms: { length },
    workgroups: [workgroups],
  });
  try {
    // Compared as bits, as the shader does: NaN's are above all, a comparison of floats would lose it.
    const bits = Int32Array.from(await read(partial));
    const greatest = (from: number) =>
      bits.reduce((most, value, i) => i % 2 === from ? Math.max(most, value) : most, 0);
    const [difference, scale] = new Float32Array(Int32Array.of(greatest(0), greatest(1)).buffer);
    return shareOf(difference, scale);
  } finally {
    release(partial);
  }
}

/** Through the backend: tfjs's engine does not know a TensorInfo of ours. */
function read({ dataId }: TensorInfo): Promise<ArrayLike<number>> {
  return tf.backend().read(dataId) as Promise<Float32Array>;
}
