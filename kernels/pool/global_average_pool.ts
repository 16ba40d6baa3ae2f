/**
 * Global average pooling: the mean over rows and columns. One dispatch forward (two from 4097 pixels on), one backward.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { foldWorkgroups, release, reshapeInfo, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import backwardSource from "./global_average_pool_bwd.wgsl" with { type: "text" };
import { type RowSumsTile, sumRows } from "./row_sums.ts";

const BACKWARD = elementShader({ file: "pool/global_average_pool_bwd.wgsl", source: backwardSource });

const FORWARD_KERNEL = "FervidGlobalAveragePool";
const GRADIENT_KERNEL = "FervidGlobalAveragePoolGrad";

/** The tile constants; the tests vary each. */
export interface GlobalAveragePoolTile extends RowSumsTile {
  /** rows that one invocation writes in the backward pass */
  readonly blockRows: number;
}

const TILE: GlobalAveragePoolTile = { lanes: 64, chunkRows: 4096, blockRows: 8 };

/** x [N, H, W, C] -> [N, C] */
export function globalAveragePoolForward(x: TensorInfo, tile: GlobalAveragePoolTile = TILE): TensorInfo {
  const [images, height, width, channels] = x.shape;
  const sums = sumRows(reshapeInfo(x, [images, height * width, channels]), 1 / (height * width), tile);
  const y = reshapeInfo(sums, [images, channels]);
  release(sums);
  return y;
}

/** dy [N, C] -> dx [N, H, W, C] */
export function globalAveragePoolBackward(
  dy: TensorInfo,
  [height, width]: readonly number[],
  { lanes, blockRows }: GlobalAveragePoolTile = TILE,
): TensorInfo {
  const [images, size] = dy.shape;
  const blocks = Math.ceil(height * width / blockRows);
  const element = BACKWARD.forRow(size);
  const count = images * blocks * size / element.width;
  const [dx] = run({
    shader: element.shader,
    constants: { LANES: lanes, ROWS: blockRows },
    inputs: [dy],
    outputs: [{ shape: [images, height, width, size] }],
    uniforms: {
      count,
      channels: size / element.width,
      rows: height * width,
      blocks,
      scale: { f32: 1 / (height * width) },
    },
    workgroups: foldWorkgroups(Math.ceil(count / lanes)),
  });
  return dx;
}

/** The kernels with their gradient, for tfjs's registry. */
export const GLOBAL_AVERAGE_POOL_KERNELS: readonly NewKernel[] = [
  {
    name: FORWARD_KERNEL,
    run: ({ x }) => globalAveragePoolForward(x),
    gradient: {
      gradFunc(dy, _saved, attributes) {
        return {
          x: () =>
            tf.engine().runKernel(GRADIENT_KERNEL, { dy } as tf.NamedTensorMap, attributes) as tf.Tensor,
        };
      },
    },
  },
  {
    name: GRADIENT_KERNEL,
    run: ({ dy }, { pixels }) => globalAveragePoolBackward(dy, pixels as number[]),
  },
];

/**
 * The mean over all pixels of an image.
 *
 * @param x float32 [N, H, W, C]
 * @returns [N, C]
 * @throws {RangeError} for empty images and other ranks
 * @throws {TypeError} for other types than float32
 */
export function globalAveragePool(x: tf.Tensor4D): tf.Tensor2D {
  if (x.rank !== 4 || x.size === 0) {
    throw new RangeError(
      `Cannot run globalAveragePool: x has shape [${x.shape}]; expected [N, H, W, C] with no empty dimension`,
    );
  }
  if (x.dtype !== "float32") {
    throw new TypeError(`Cannot run globalAveragePool: x is ${x.dtype}; expected float32`);
  }
  return tf.engine().runKernel(FORWARD_KERNEL, { x }, { pixels: [x.shape[1], x.shape[2]] }) as tf.Tensor2D;
}
