/**
 * What the tuner tries for batch normalisation: every candidate on the shape classes of ResNet50, forward and backward
 * in training.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { randomTensor } from "../runtime/bench.ts";
import { currentTraits, release } from "../runtime/program.ts";
import { onePerClass, type TuneCase } from "../runtime/tuner.ts";
import { RESNET50_CASES, resnet50Case, toleranceOf } from "./batch_norm_cases.ts";
import { BATCH_NORM_SHADERS, batchNormBackward, batchNormForward } from "./passes.ts";
import { BATCH_NORM_OP, batchNormCandidates, type BatchNormTile, sizesOf } from "./plan.ts";

const EPSILON = 1e-5;

/** By plain tfjs. */
function stockNorm(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor): tf.Tensor {
  const { mean, variance } = tf.moments(x, [0, 1, 2]);
  return tf.batchNorm(
    x as tf.Tensor4D,
    mean as tf.Tensor1D,
    variance as tf.Tensor1D,
    beta as tf.Tensor1D,
    gamma as tf.Tensor1D,
    EPSILON,
  );
}

/**
 * Every candidate on a shape.
 *
 * @param shape [N, H, W, C]
 */
export function batchNormTuneCase(shape: readonly number[]): TuneCase<BatchNormTile> {
  return {
    op: BATCH_NORM_OP,
    sizes: sizesOf(shape),
    shaders: BATCH_NORM_SHADERS,
    candidates: () => batchNormCandidates(currentTraits()),
    setup() {
      const channels = shape[shape.length - 1];
      const [x, dy] = [shape, shape].map((sizes) => randomTensor([...sizes]));
      const [gamma, beta] = [randomTensor([channels]), randomTensor([channels])];
      const [runningMean, runningVariance] = [tf.zeros([channels]), tf.ones([channels])];
      return {
        run(tile) {
          const inputs = { x, gamma, beta, runningMean, runningVariance };
          const settings = { epsilon: EPSILON, momentum: 0.1, relu: false };
          const [y, saved] = batchNormForward(inputs, settings, tile);
          const grads = batchNormBackward(
            { x, y, dy, saved },
            { relu: false, residual: false, frozen: false },
            tile,
          );
          release(saved);
          return [y, ...grads];
        },
        expected() {
          const { value, grads } = tf.valueAndGrads(stockNorm)([x, gamma, beta], dy);
          return [value, ...grads];
        },
        tolerance: 10 * toleranceOf({ ...resnet50Case("conv1"), shape }), // stock's variance is a difference of sums
        dispose: () => tf.dispose([x, dy, gamma, beta, runningMean, runningVariance]),
      };
    },
  };
}

/** ResNet50's, of width 16 on 48x48 pixels and of width 64 on 112x112. */
const SHAPES = [...RESNET50_CASES.map(({ shape }) => shape), [8, 28, 28, 64], [8, 14, 14, 512]];

/** One case a class. */
export const BATCH_NORM_TUNE_CASES: readonly TuneCase<BatchNormTile>[] = onePerClass(
  SHAPES.map(batchNormTuneCase),
);
