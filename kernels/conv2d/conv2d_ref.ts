/**
 * Convolution as plain loops in float64: what the kernels are held against.
 *
 * @module
 */
import type { Conv2dGeometry } from "./conv2d_geometry.ts";

/** Calls `visit` with the offsets of every product: x[xi] * f[fi] is a term of y[yi]. */
function everyProduct(g: Conv2dGeometry, visit: (xi: number, fi: number, yi: number) => void): void {
  for (let n = 0; n < g.images; n++) {
    for (let ho = 0; ho < g.outHeight; ho++) {
      for (let wo = 0; wo < g.outWidth; wo++) {
        for (let r = 0; r < g.filterHeight; r++) {
          const h = ho * g.strides[0] + r * g.dilations[0] - g.pad[0];
          if (h < 0 || h >= g.height) continue;
          for (let s = 0; s < g.filterWidth; s++) {
            const w = wo * g.strides[1] + s * g.dilations[1] - g.pad[1];
            if (w < 0 || w >= g.width) continue;
            const x = ((n * g.height + h) * g.width + w) * g.channels;
            const f = (r * g.filterWidth + s) * g.channels * g.outChannels;
            const y = ((n * g.outHeight + ho) * g.outWidth + wo) * g.outChannels;
            for (let c = 0; c < g.channels; c++) {
              for (let k = 0; k < g.outChannels; k++) visit(x + c, f + c * g.outChannels + k, y + k);
            }
          }
        }
      }
    }
  }
}

/** x [N, H, W, C], f [R, S, C, K] -> y [N, Ho, Wo, K] */
export function conv2dForwardRef(
  x: ArrayLike<number>,
  f: ArrayLike<number>,
  g: Conv2dGeometry,
): Float64Array {
  const y = new Float64Array(g.images * g.outHeight * g.outWidth * g.outChannels);
  everyProduct(g, (xi, fi, yi) => y[yi] += x[xi] * f[fi]);
  return y;
}

/** dy [N, Ho, Wo, K], f [R, S, C, K] -> dx [N, H, W, C] */
export function conv2dBackwardInputRef(
  dy: ArrayLike<number>,
  f: ArrayLike<number>,
  g: Conv2dGeometry,
): Float64Array {
  const dx = new Float64Array(g.images * g.height * g.width * g.channels);
  everyProduct(g, (xi, fi, yi) => dx[xi] += dy[yi] * f[fi]);
  return dx;
}

/** x [N, H, W, C], dy [N, Ho, Wo, K] -> df [R, S, C, K] */
export function conv2dBackwardFilterRef(
  x: ArrayLike<number>,
  dy: ArrayLike<number>,
  g: Conv2dGeometry,
): Float64Array {
  const df = new Float64Array(g.filterHeight * g.filterWidth * g.channels * g.outChannels);
  everyProduct(g, (xi, fi, yi) => df[fi] += x[xi] * dy[yi]);
  return df;
}
