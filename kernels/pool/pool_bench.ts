/**
 * Pooling side by side with tfjs's: forward and backward.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { globalAveragePool } from "./global_average_pool.ts";
import { maxPool, maxPoolGeometry } from "./max_pool.ts";
import {
  averageTolerance,
  GLOBAL_AVERAGE_POOL_CASES,
  type GlobalAveragePoolCase,
  MAX_POOL_RESNET50_CASES,
  MAX_POOL_TOLERANCE,
  type MaxPoolCase,
} from "./pool_cases.ts";

type Shape = readonly [number, number, number, number];

/** x and dy of a function's value and gradient. */
function inputs(xShape: Shape, dyShape: readonly number[]) {
  return { x: randomTensor<tf.Rank.R4>([...xShape]), dy: randomTensor([...dyShape]) };
}

function maxPoolBench({ name, shape, options }: MaxPoolCase): BenchCase {
  const { output, size, strides } = maxPoolGeometry(shape, options);
  const dyShape = [shape[0], ...output, shape[3]];
  return {
    op: "max_pool",
    name,
    bytes: 4 * (2 * sizeOf(shape) + 2 * sizeOf(dyShape)), // x, y; dy, dx
    setup() {
      const { x, dy } = inputs(shape, dyShape);
      const missing = [0, 1].map((axis) => (output[axis] - 1) * strides[axis] + size[axis] - shape[1 + axis]);
      const stock = (input: tf.Tensor4D) => {
        const padded = tf.pad(input, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]], -3.4e38);
        return tf.maxPool(padded, [...size], [...strides], "valid");
      };
      const both = (f: (input: tf.Tensor4D) => tf.Tensor) => () => {
        const { value, grad } = tf.valueAndGrad((input) => f(input as tf.Tensor4D))(x, dy);
        return [value, grad];
      };
      return {
        ours: both((input) => maxPool(input, options)),
        stock: both(stock),
        tolerance: MAX_POOL_TOLERANCE,
        dispose: () => tf.dispose([x, dy]),
      };
    },
  };
}

function averageBench({ name, shape }: GlobalAveragePoolCase): BenchCase {
  const dyShape = [shape[0], shape[3]];
  return {
    op: "global_average_pool",
    name,
    bytes: 4 * (2 * sizeOf(shape) + 2 * sizeOf(dyShape)), // x, y; dy, dx
    setup() {
      const { x, dy } = inputs(shape, dyShape);
      const both = (f: (input: tf.Tensor4D) => tf.Tensor) => () => {
        const { value, grad } = tf.valueAndGrad((input) => f(input as tf.Tensor4D))(x, dy);
        return [value, grad];
      };
      return {
        ours: both(globalAveragePool),
        stock: both((input) => input.mean([1, 2])),
        tolerance: 2 * averageTolerance(shape),
        dispose: () => tf.dispose([x, dy]),
      };
    },
  };
}

/** The pooling layers of ResNet50, at the demo's size, at width 64, and the paper's. */
export const POOL_BENCHES: readonly BenchCase[] = [
  ...[
    ...MAX_POOL_RESNET50_CASES,
    { ...MAX_POOL_RESNET50_CASES[0], name: "resnet50 pool1, width 64", shape: [4, 56, 56, 64] as const },
  ].map(maxPoolBench),
  {
    ...maxPoolBench({
      ...MAX_POOL_RESNET50_CASES[0],
      name: "paper resnet50 pool1",
      shape: [96, 112, 112, 64] as const,
    }),
    large: true,
  },
  ...GLOBAL_AVERAGE_POOL_CASES.filter(({ name }) => name.startsWith("resnet50")).map(averageBench),
];
