/**
 * The layers that the networks are made of, as one interface with two implementations: `stockLayers`
 * (plain TensorFlow.js ops, the reference) and `kernelLayers` (the WGSL kernels).
 *
 * Dimension letters: B clips, T frames, N images, H W C rows, columns, channels, R S filter rows and columns,
 * K output channels, D embedding, G GRU hidden size, A heads.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import type { DropoutKey, SigmoidCrossEntropyOptions, SoftmaxCrossEntropyOptions } from "../kernels/mod.ts";

export type { DropoutKey, SigmoidCrossEntropyOptions, SoftmaxCrossEntropyOptions };

/** The tensors of one batch normalisation, each [C]. */
export interface BatchNormParameters {
  readonly gamma: tf.Tensor1D;
  readonly beta: tf.Tensor1D;
  readonly runningMean: tf.Variable;
  readonly runningVariance: tf.Variable;
}

/** How a batch normalisation is applied. */
export interface BatchNormOptions {
  /** true: batch statistics, and the running ones are updated; false: running statistics */
  readonly training: boolean;
  readonly epsilon: number;
  /** share of the batch's statistics in the update, PyTorch's sense (0.1) */
  readonly momentum: number;
  /** added after the normalisation, before the ReLU; [N, H, W, C] */
  readonly residual?: tf.Tensor4D;
  readonly relu: boolean;
}

/** A convolution's weights with the batch norm behind it folded in; whoever made it disposes it. */
export interface FoldedConv {
  /** [R, S, C, K] */
  readonly filter: tf.Tensor4D;
  /** [K] */
  readonly bias: tf.Tensor1D;
}

/** How a convolution and the batch norm behind it are applied. */
export interface ConvBatchNormOptions extends BatchNormOptions {
  readonly strides: number;
  /** explicit and symmetric, in pixels */
  readonly pad: number;
  /** without training: the same weights, folded before */
  readonly folded?: FoldedConv;
}

/** The weights of one direction of one GRU layer, PyTorch's gate order r, z, n along 3G. */
export interface GruWeights {
  /** [D, 3G] */
  readonly inputWeight: tf.Tensor2D;
  /** [G, 3G] */
  readonly hiddenWeight: tf.Tensor2D;
  /** [3G] */
  readonly inputBias: tf.Tensor1D;
  /** [3G] */
  readonly hiddenBias: tf.Tensor1D;
}

/** The weights of multi-head self-attention. */
export interface AttentionWeights {
  /** [D, 3D], columns q, k, v */
  readonly qkvWeight: tf.Tensor2D;
  /** [3D] */
  readonly qkvBias: tf.Tensor1D;
  /** [D, D] */
  readonly outputWeight: tf.Tensor2D;
  /** [D] */
  readonly outputBias: tf.Tensor1D;
}

/** The layers; every method records its gradient on tfjs's tape. */
export interface Layers {
  /** `stock` or `fervid`, for logs and reports */
  readonly name: string;

  /**
   * x [N, H, W, C], filter [R, S, C, K], bias [K] -> [N, Ho, Wo, K]; `pad` is explicit and symmetric, in pixels; the
   * ReLU, if there is one, comes last.
   */
  conv2d(
    x: tf.Tensor4D,
    filter: tf.Tensor4D,
    options: { strides: number; pad: number; bias?: tf.Tensor1D; relu?: boolean },
  ): tf.Tensor4D;

  /** x [N, H, W, C] -> normalised, + residual, ReLU: [N, H, W, C] */
  batchNorm(x: tf.Tensor4D, parameters: BatchNormParameters, options: BatchNormOptions): tf.Tensor4D;

  /**
   * x [N, H, W, C], filter [R, S, C, K] -> convolution, batch norm, + residual, ReLU: [N, Ho, Wo, K]. Without training it
   * may have no gradient.
   */
  convBatchNorm(
    x: tf.Tensor4D,
    filter: tf.Tensor4D,
    parameters: BatchNormParameters,
    options: ConvBatchNormOptions,
  ): tf.Tensor4D;

  /** What `convBatchNorm` makes of its weights without training, if it makes something of them. */
  foldBatchNorm?(filter: tf.Tensor4D, parameters: BatchNormParameters, epsilon: number): FoldedConv;

  /** As `convBatchNorm`, for a result that goes two ways: y twice. There is a residual and a ReLU. */
  convBatchNormForked(
    x: tf.Tensor4D,
    filter: tf.Tensor4D,
    parameters: BatchNormParameters,
    options: ConvBatchNormOptions,
  ): readonly [tf.Tensor4D, tf.Tensor4D];

  /** x [N, H, W, C] -> [N, Ho, Wo, C]; no padding; `ceilMode` keeps a last partial window (Caffe). */
  maxPool(x: tf.Tensor4D, options: { size: number; strides: number; ceilMode: boolean }): tf.Tensor4D;

  /** x [N, H, W, C] -> [N, C] */
  globalAveragePool(x: tf.Tensor4D): tf.Tensor2D;

  /** x [M, D], weight [D, K], bias [K] -> [M, K] */
  linear(x: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor1D, activation?: "relu" | "gelu"): tf.Tensor2D;

  /** max(x, 0) of any shape; NaN stays NaN */
  relu<T extends tf.Tensor>(x: T): T;

  /**
   * x [B, T, D] -> [B, T, G * directions]. `weights[layer][direction]`; direction 1, where it is there, runs
   * backwards in time; reset gate applied after the recurrent product (PyTorch's form); initial state 0.
   */
  gru(x: tf.Tensor3D, weights: readonly (readonly GruWeights[])[]): tf.Tensor3D;

  /** x [B, T, D] -> [B, T, D]; softmax(q k' / sqrt(D / heads)) v per head, then the output projection. */
  selfAttention(x: tf.Tensor3D, weights: AttentionWeights, options: { heads: number }): tf.Tensor3D;

  /** x [.., D] normalised over D; gamma, beta [D] */
  layerNorm<T extends tf.Tensor>(x: T, gamma: tf.Tensor1D, beta: tf.Tensor1D, epsilon: number): T;

  /** x, residual [.., D] -> x + residual, and that normalised over D; gamma, beta [D] */
  addLayerNorm<T extends tf.Tensor>(
    x: T,
    residual: T,
    gamma: tf.Tensor1D,
    beta: tf.Tensor1D,
    epsilon: number,
  ): [sum: T, y: T];

  /** Zeroes each element with probability `rate` and scales the others by 1 / (1 - rate). */
  dropout<T extends tf.Tensor>(x: T, rate: number, key: DropoutKey): T;

  /**
   * logits [M, K], labels int32 [M], -1 = ignored -> mean cross-entropy over the labelled rows, a scalar; 0 without one.
   * Class weights, label smoothing and focal factor as `softmaxCrossEntropy` of kernels/mod.ts defines them.
   */
  softmaxCrossEntropy(
    logits: tf.Tensor2D,
    labels: tf.Tensor1D,
    options?: SoftmaxCrossEntropyOptions,
  ): tf.Scalar;

  /**
   * logits [M, K], labels int32 [M, K] in {0, 1, -1 = ignored} -> mean binary cross-entropy over the labelled entries, a
   * scalar; 0 without one. Positive weights as `sigmoidCrossEntropy` of kernels/mod.ts defines them.
   */
  sigmoidCrossEntropy(
    logits: tf.Tensor2D,
    labels: tf.Tensor2D,
    options?: SigmoidCrossEntropyOptions,
  ): tf.Scalar;
}
