/**
 * The kernels, and `register()`, which puts them into tfjs in place of its own.
 *
 * @module
 */
import { ATTENTION_KERNELS } from "./attention/self_attention.ts";
import { BATCH_NORM_KERNELS } from "./batch_norm/batch_norm.ts";
import { CONV2D_BIAS_RELU_KERNELS } from "./conv2d/conv2d_bias_relu.ts";
import { CONV2D_REPLACEMENTS } from "./conv2d/replacements.ts";
import { DROPOUT_KERNELS } from "./dropout/dropout.ts";
import { GELU_KERNELS } from "./gelu/gelu.ts";
import { LAYER_NORM_KERNELS } from "./layer_norm/layer_norm.ts";
import { LINEAR_KERNELS } from "./linear/linear.ts";
import { MATMUL_REPLACEMENTS } from "./matmul/replacements.ts";
import { GRU_KERNELS } from "./gru/gru.ts";
import { SIGMOID_CROSS_ENTROPY_KERNELS } from "./sigmoid_cross_entropy/sigmoid_cross_entropy.ts";
import { SOFTMAX_CROSS_ENTROPY_KERNELS } from "./softmax_cross_entropy/softmax_cross_entropy.ts";
import { GLOBAL_AVERAGE_POOL_KERNELS } from "./pool/global_average_pool.ts";
import { MAX_POOL_KERNELS } from "./pool/max_pool.ts";
import { RELU_KERNELS } from "./relu/relu.ts";
import { addKernels, replaceKernels, restoreKernels } from "./runtime/registry.ts";

export type { AttentionDropout } from "./attention/attention.ts";
export {
  selfAttention,
  type SelfAttentionOptions,
  type SelfAttentionWeights,
} from "./attention/self_attention.ts";
export {
  batchNorm,
  batchNormForked,
  batchNormInference,
  type BatchNormSettings,
  type BatchNormTensors,
} from "./batch_norm/batch_norm.ts";
export { conv2dBackwardFilter, conv2dBackwardInput, conv2dForward } from "./conv2d/conv2d.ts";
export { conv2dBiasRelu } from "./conv2d/conv2d_bias_relu.ts";
export { conv2dInference, foldBatchNorm } from "./conv2d/inference.ts";
export { dropout, type DropoutKey } from "./dropout/dropout.ts";
export { linear, type LinearActivation } from "./linear/linear.ts";
export { matmul, type MatmulOptions } from "./matmul/matmul.ts";
export { gelu } from "./gelu/gelu.ts";
export { addLayerNorm, layerNorm } from "./layer_norm/layer_norm.ts";
export { gru, type GruDirectionWeights, type GruOptions, gruWithFinalState } from "./gru/gru.ts";
export {
  sigmoidCrossEntropy,
  type SigmoidCrossEntropyOptions,
} from "./sigmoid_cross_entropy/sigmoid_cross_entropy.ts";
export {
  softmaxCrossEntropy,
  type SoftmaxCrossEntropyOptions,
} from "./softmax_cross_entropy/softmax_cross_entropy.ts";
export { globalAveragePool } from "./pool/global_average_pool.ts";
export { maxPool, type MaxPoolOptions } from "./pool/max_pool.ts";
export { relu } from "./relu/relu.ts";
export { capture, CommandGraph } from "./runtime/capture.ts";
export { stockKernel } from "./runtime/registry.ts";
export { scope } from "./runtime/scope.ts";
export { LaunchValue } from "./runtime/uniforms.ts";
export { MomentumSgd, type SgdParameter, type SgdSettings } from "./sgd/sgd.ts";

/** Puts our kernels into tfjs under backend "webgpu"; a second call does nothing. */
export function register(): void {
  replaceKernels(CONV2D_REPLACEMENTS);
  replaceKernels(MATMUL_REPLACEMENTS);
  addKernels(ATTENTION_KERNELS);
  addKernels(BATCH_NORM_KERNELS);
  addKernels(CONV2D_BIAS_RELU_KERNELS);
  addKernels(DROPOUT_KERNELS);
  addKernels(GELU_KERNELS);
  addKernels(LAYER_NORM_KERNELS);
  addKernels(GRU_KERNELS);
  addKernels(LINEAR_KERNELS);
  addKernels(SOFTMAX_CROSS_ENTROPY_KERNELS);
  addKernels(SIGMOID_CROSS_ENTROPY_KERNELS);
  addKernels(GLOBAL_AVERAGE_POOL_KERNELS);
  addKernels(MAX_POOL_KERNELS);
  addKernels(RELU_KERNELS);
}

/** Takes tfjs's own kernels back, for tests and benches; kernels under new names stay. */
export function unregister(): void {
  restoreKernels();
}
