/**
 * Pooling as plain loops in float64: what the kernels are held against.
 *
 * @module
 */
import type { MaxPoolGeometry } from "./max_pool.ts";

/** x [N, H, W, C] -> y [N, Ho, Wo, C], and the offset in x of each maximum (the first of equal ones, or NaN) */
export function maxPoolForwardRef(
  x: ArrayLike<number>,
  { images, channels, input, output, size, strides, pad }: MaxPoolGeometry,
): { y: Float64Array; sources: Uint32Array } {
  const [height, width] = input;
  const [outHeight, outWidth] = output;
  const y = new Float64Array(images * outHeight * outWidth * channels);
  const sources = new Uint32Array(y.length);
  for (let i = 0; i < y.length; i++) {
    const c = i % channels;
    const wo = Math.floor(i / channels) % outWidth;
    const ho = Math.floor(i / (channels * outWidth)) % outHeight;
    const n = Math.floor(i / (channels * outWidth * outHeight));
    let source = -1;
    for (let r = 0; r < size[0]; r++) {
      for (let s = 0; s < size[1]; s++) {
        const h = ho * strides[0] + r - pad[0];
        const w = wo * strides[1] + s - pad[1];
        if (h < 0 || h >= height || w < 0 || w >= width) continue;
        const at = ((n * height + h) * width + w) * channels + c;
        if (source < 0 || x[at] > x[source] || (Number.isNaN(x[at]) && !Number.isNaN(x[source]))) source = at;
      }
    }
    y[i] = x[source];
    sources[i] = source;
  }
  return { y, sources };
}

/** dy [N, Ho, Wo, C] and the offsets of the maxima -> dx [N, H, W, C] */
export function maxPoolBackwardRef(
  dy: ArrayLike<number>,
  sources: Uint32Array,
  { images, channels, input }: MaxPoolGeometry,
): Float64Array {
  const dx = new Float64Array(images * input[0] * input[1] * channels);
  sources.forEach((source, i) => dx[source] += dy[i]);
  return dx;
}

/** x [N, H, W, C] -> y [N, C] */
export function globalAveragePoolForwardRef(x: ArrayLike<number>, shape: readonly number[]): Float64Array {
  const [images, height, width, channels] = shape;
  const y = new Float64Array(images * channels);
  for (let i = 0; i < x.length; i++) {
    y[Math.floor(i / (height * width * channels)) * channels + i % channels] += x[i] / (height * width);
  }
  return y;
}

/** dy [N, C] -> dx [N, H, W, C] */
export function globalAveragePoolBackwardRef(dy: ArrayLike<number>, shape: readonly number[]): Float64Array {
  const [images, height, width, channels] = shape;
  return Float64Array.from(
    { length: images * height * width * channels },
    (_, i) => dy[Math.floor(i / (height * width * channels)) * channels + i % channels] / (height * width),
  );
}
