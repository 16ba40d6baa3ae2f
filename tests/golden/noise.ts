/** noise.py's twin: inputs from a formula, and large tensors against what is kept of PyTorch's. */
import { compare } from "../_compare.ts";

const SAMPLES = 8;

function fnv1a(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}

/** Values in [-1, 1) from a 32-bit integer hash of (name, index). */
export function noise(name: string, count: number): Float32Array {
  const salt = fnv1a(name);
  return Float32Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 2654435761) + salt) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1;
  });
}

/** What is kept of a tensor. */
export interface Summary {
  readonly norm: number;
  /** on the noise of `projection/<name>`: every value counts */
  readonly projection: number;
  readonly samples: readonly number[];
}

/**
 * Throws unless norm, projection and samples of a tensor are those of the summary, as shares of its norm.
 *
 * @param name of the tensor where the summary was made
 */
export function compareSummary(
  what: string,
  name: string,
  tensor: ArrayLike<number>,
  { norm, projection, samples }: Summary,
  tolerance: number,
): void {
  const values = Float64Array.from(tensor);
  const weights = noise(`projection/${name}`, values.length);
  const step = Math.max(1, Math.floor(values.length / SAMPLES));
  const actual = [
    Math.sqrt(values.reduce((sum, value) => sum + value * value, 0)),
    values.reduce((sum, value, i) => sum + value * weights[i], 0),
    ...Array.from(samples, (_, i) => values[i * step]),
  ];
  const scale = Math.max(norm, 1e-6);
  compare(
    `${what} of ${name}`,
    [1, ...actual.map((value) => value / scale)],
    [1, ...[norm, projection, ...samples].map((value) => value / scale)],
    tolerance,
  );
}
