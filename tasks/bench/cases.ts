/**
 * The cases of `deno task bench`, in the order in which they run.
 *
 * @module
 */
import { ATTENTION_BENCHES } from "../../kernels/attention/attention_bench.ts";
import { BATCH_NORM_BENCHES } from "../../kernels/batch_norm/batch_norm_bench.ts";
import { CONV2D_BIAS_RELU_BENCHES } from "../../kernels/conv2d/conv2d_bias_relu_bench.ts";
import { CONV2D_BENCHES } from "../../kernels/conv2d/conv2d_bench.ts";
import { DROPOUT_BENCHES } from "../../kernels/dropout/dropout_bench.ts";
import { GELU_BENCHES } from "../../kernels/gelu/gelu_bench.ts";
import { LAYER_NORM_BENCHES } from "../../kernels/layer_norm/layer_norm_bench.ts";
import { GRU_BENCHES } from "../../kernels/gru/gru_bench.ts";
import { LINEAR_BENCHES } from "../../kernels/linear/linear_bench.ts";
import { MATMUL_BENCHES } from "../../kernels/matmul/matmul_bench.ts";
import { POOL_BENCHES } from "../../kernels/pool/pool_bench.ts";
import { RELU_BENCHES } from "../../kernels/relu/relu_bench.ts";
import type { BenchCase } from "../../kernels/runtime/bench.ts";
import { SGD_BENCHES } from "../../kernels/sgd/sgd_bench.ts";
import { SIGMOID_CROSS_ENTROPY_BENCHES } from "../../kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_bench.ts";
import { SOFTMAX_CROSS_ENTROPY_BENCHES } from "../../kernels/softmax_cross_entropy/softmax_cross_entropy_bench.ts";
import { RESNET50_STEP } from "./resnet50_step.ts";

/** Every case. */
export const BENCH_CASES: readonly BenchCase[] = [
  ...MATMUL_BENCHES,
  ...LINEAR_BENCHES,
  ...CONV2D_BENCHES,
  ...CONV2D_BIAS_RELU_BENCHES,
  ...BATCH_NORM_BENCHES,
  ...POOL_BENCHES,
  ...GRU_BENCHES,
  ...SGD_BENCHES,
  ...LAYER_NORM_BENCHES,
  ...GELU_BENCHES,
  ...RELU_BENCHES,
  ...DROPOUT_BENCHES,
  ...SOFTMAX_CROSS_ENTROPY_BENCHES,
  ...SIGMOID_CROSS_ENTROPY_BENCHES,
  ...ATTENTION_BENCHES,
  RESNET50_STEP,
];
