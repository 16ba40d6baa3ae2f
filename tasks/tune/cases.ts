/**
 * The cases of `deno task tune`, in the order in which they run: the ops that have several variants.
 *
 * @module
 */
import { ATTENTION_TUNE_CASES } from "../../kernels/attention/attention_tune.ts";
import { BATCH_NORM_TUNE_CASES } from "../../kernels/batch_norm/batch_norm_tune.ts";
import { CONV2D_TUNE_CASES } from "../../kernels/conv2d/conv2d_tune.ts";
import { GRU_TUNE_CASES } from "../../kernels/gru/gru_tune.ts";
import { MATMUL_TUNE_CASES } from "../../kernels/matmul/matmul_tune.ts";
import type { TuneCase } from "../../kernels/runtime/tuner.ts";

/** Every case. */
export const TUNE_CASES: readonly TuneCase[] = [
  ...CONV2D_TUNE_CASES,
  ...BATCH_NORM_TUNE_CASES,
  ...MATMUL_TUNE_CASES,
  ...GRU_TUNE_CASES,
  ...ATTENTION_TUNE_CASES,
] as readonly TuneCase[];
