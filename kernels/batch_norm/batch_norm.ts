/**
 * Batch normalisation (Ioffe, Szegedy 2015) with ReLU and residual in one pass.
 *
 * Dispatches: training forward 2, backward 2, inference 1; 1 each way where there are few rows; on a GPU one more each way
 * where rows are summed in many chunks, to merge them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { isCapturing, reshapeInfo } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import { copyTensors, emptyTensor, sharesBuffer } from "../runtime/tensors.ts";
import {
  type BackwardInputs,
  batchNormBackward,
  batchNormForward,
  type BatchNormGradSettings,
  batchNormInferenceForward,
  type BatchNormSettings,
  type ForwardInputs,
} from "./passes.ts";

export {
  batchNormBackward,
  batchNormForward,
  type BatchNormGradSettings,
  batchNormInferenceForward,
  type BatchNormSettings,
} from "./passes.ts";

const TRAINING_KERNEL = "FervidBatchNorm";
const INFERENCE_KERNEL = "FervidBatchNormInference";
const GRADIENT_KERNEL = "FervidBatchNormGrad";

function gradientsOf(
  inputs: { x: tf.Tensor; y: tf.Tensor; dy: tf.Tensor; saved: tf.Tensor; more?: tf.Tensor },
  settings: BatchNormGradSettings,
): Record<string, () => tf.Tensor> {
  const [dx, dgamma, dbeta, dresidual] = tf.engine().runKernel(
    GRADIENT_KERNEL,
    inputs as unknown as tf.NamedTensorMap,
    { ...settings },
  ) as tf.Tensor[];
  const none = () => {
    throw new Error("Cannot differentiate batchNorm with respect to its running statistics");
  };
  return {
    x: () => dx,
    gamma: () => dgamma,
    beta: () => dbeta,
    runningMean: none,
    runningVariance: none,
    ...(settings.residual ? { residual: () => dresidual ?? inputs.dy.clone() } : {}),
  };
}

interface Attributes extends BatchNormSettings {
  readonly hasResidual: boolean;
  /** y is there twice */
  readonly isForked: boolean;
}

/** The kernels with their gradients, for tfjs's registry. */
export const BATCH_NORM_KERNELS: readonly NewKernel[] = [
  {
    name: TRAINING_KERNEL,
    run(inputs, attributes) {
      const settings = attributes as unknown as Attributes;
      const [y, saved] = batchNormForward(inputs as unknown as ForwardInputs, settings);
      return settings.isForked ? [y, saved, reshapeInfo(y, y.shape)] : [y, saved];
    },
    gradient: {
      inputsToSave: ["x"],
      outputsToSave: [true, true],
      gradFunc(dys, [x, y, saved], attributes) {
        const { relu, hasResidual, isForked } = attributes as unknown as Attributes;
        const [dy, , more] = dys as tf.Tensor[];
        const inputs = { x, y, dy, saved, ...(isForked ? { more } : {}) };
        return gradientsOf(inputs, { relu, residual: hasResidual, frozen: false });
      },
    },
  },
  {
    name: INFERENCE_KERNEL,
    run: (inputs, attributes) =>
      batchNormInferenceForward(inputs as unknown as ForwardInputs, attributes as unknown as Attributes),
    gradient: {
      inputsToSave: ["x", "gamma", "beta", "runningMean", "runningVariance"],
      outputsToSave: [true],
      gradFunc(dy, [x, gamma, beta, mean, variance, y], attributes) {
        const { relu, hasResidual, epsilon } = attributes as unknown as Attributes;
        const inverse = variance.add(epsilon).rsqrt();
        const saved = tf.stack([mean, inverse, gamma.mul(inverse), beta]); // [4, C]
        return gradientsOf(
          { x, y, dy: dy as tf.Tensor, saved },
          { relu, residual: hasResidual, frozen: true },
        );
      },
    },
  },
  {
    name: GRADIENT_KERNEL,
    run: (inputs, attributes) =>
      batchNormBackward(
        inputs as unknown as BackwardInputs,
        attributes as unknown as BatchNormGradSettings,
      ),
  },
];

/** The tensors of a batch normalisation. */
export interface BatchNormTensors {
  /** [C] */
  readonly gamma: tf.Tensor1D;
  /** [C] */
  readonly beta: tf.Tensor1D;
  /** [C]; updated in place in training, for which a variable that shares its buffer gets one of its own */
  readonly runningMean: tf.Tensor;
  /** likewise */
  readonly runningVariance: tf.Tensor;
  /** of x's shape, added before the ReLU */
  readonly residual?: tf.Tensor;
}

function requireTensors(x: tf.Tensor, tensors: BatchNormTensors): tf.NamedTensorMap {
  if (x.rank < 2 || x.size === 0) {
    throw new RangeError(
      `Cannot run batchNorm: x has shape [${x.shape}]; expected [.., C] with no empty dimension`,
    );
  }
  const { gamma, beta, runningMean, runningVariance, residual } = tensors;
  const inputs: tf.NamedTensorMap = { x, gamma, beta, runningMean, runningVariance };
  if (residual !== undefined) inputs.residual = residual;
  for (const [name, { shape, dtype }] of Object.entries(inputs)) {
    const wanted = name === "x" || name === "residual" ? x.shape : [x.shape[x.rank - 1]];
    if (shape.join() !== wanted.join()) {
      throw new RangeError(`Cannot run batchNorm: ${name} has shape [${shape}]; expected [${wanted}]`);
    }
    if (dtype !== "float32") {
      throw new TypeError(`Cannot run batchNorm: ${name} is ${dtype}; expected float32`);
    }
  }
  return inputs;
}

/** Lets nobody else have the buffer of what is updated in place; who had it too keeps the values of now. */
function takeOut(name: string, statistics: tf.Tensor): void {
  if (!sharesBuffer(statistics)) return;
  const given =
    `Cannot run batchNorm: ${name}, which is updated in place, shares its buffer with another tensor`;
  if (!(statistics instanceof tf.Variable)) {
    throw new RangeError(`${given}; expected a tf.Variable, or a tensor that has its buffer alone`);
  }
  if (isCapturing()) {
    throw new Error(`${given} while commands are captured; expected a step before that, which takes it out`);
  }
  const own = emptyTensor([...statistics.shape]);
  copyTensors([{ from: statistics, fromOffset: 0, to: own, toOffset: 0, size: 4 * statistics.size }]);
  const tensor = tf.engine().makeTensorFromTensorInfo(own);
  statistics.assign(tensor);
  tensor.dispose();
}

function normalize(
  x: tf.Tensor,
  tensors: BatchNormTensors,
  settings: BatchNormSettings,
  isForked: boolean,
): tf.Tensor[] {
  const inputs = requireTensors(x, tensors);
  takeOut("runningMean", tensors.runningMean);
  takeOut("runningVariance", tensors.runningVariance);
  const attributes = { ...settings, hasResidual: tensors.residual !== undefined, isForked };
  const outputs = tf.engine().runKernel(TRAINING_KERNEL, inputs, attributes) as unknown as tf.Tensor[];
  const [y, saved, ...again] = outputs; // an array that the tape keeps
  saved.dispose(); // the tape has its own reference
  return [y, ...again];
}

/**
 * Batch normalisation in training: the batch's statistics normalise, and update the running ones in place, the variance
 * with the unbiased estimate (PyTorch's rule). A batch of one row has variance 0.
 *
 * @param x [N, H, W, C] or [M, C]
 * @returns of x's shape
 * @throws {RangeError} for empty tensors, shapes that do not fit, and running statistics that are no variable and share
 * their buffer with another tensor
 * @throws {TypeError} for other types than float32
 * @throws {Error} while commands are captured, if a variable of running statistics shares its buffer
 */
export function batchNorm<T extends tf.Tensor>(
  x: T,
  tensors: BatchNormTensors,
  settings: BatchNormSettings,
): T {
  return normalize(x, tensors, settings, false)[0] as T;
}

/**
 * As {@link batchNorm}, for a result that goes two ways, as between two residual blocks: both results are y, on one buffer,
 * and the gradients of the two are added in the pass that reads them. tfjs would add them first, which writes the sum
 * and reads it again.
 *
 * @param tensors with a residual, and `settings` with a ReLU
 * @returns y twice; a gradient needs both
 * @throws {RangeError} without a residual or a ReLU; and as `batchNorm`
 */
export function batchNormForked<T extends tf.Tensor>(
  x: T,
  tensors: BatchNormTensors,
  settings: BatchNormSettings,
): [T, T] {
  if (tensors.residual === undefined || !settings.relu) {
    const given = `${tensors.residual ? "a" : "no"} residual and ${settings.relu ? "a" : "no"} ReLU`;
    throw new RangeError(`Cannot run batchNormForked: it has ${given}; expected both`);
  }
  return normalize(x, tensors, settings, true) as [T, T];
}

/**
 * Batch normalisation with the running statistics, which stay as they are.
 *
 * @param x [N, H, W, C] or [M, C]
 * @returns of x's shape
 * @throws {RangeError} for empty tensors and shapes that do not fit
 * @throws {TypeError} for other types than float32
 */
export function batchNormInference<T extends tf.Tensor>(
  x: T,
  tensors: BatchNormTensors,
  { epsilon, relu }: Pick<BatchNormSettings, "epsilon" | "relu">,
): T {
  const inputs = requireTensors(x, tensors);
  const attributes = { epsilon, relu, hasResidual: tensors.residual !== undefined };
  return tf.engine().runKernel(INFERENCE_KERNEL, inputs, attributes) as unknown as T;
}
