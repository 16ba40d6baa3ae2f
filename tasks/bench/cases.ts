/**
 * The cases of `deno task bench`, in the order in which they run.
 *
 * @module
 */
import { BATCH_NORM_BENCHES } from "../../kernels/batch_norm/batch_norm_bench.ts";
import { CONV2D_BENCHES } from "../../kernels/conv2d/conv2d_bench.ts";
import { POOL_BENCHES } from "../../kernels/pool/pool_bench.ts";
import type { BenchCase } from "../../kernels/runtime/bench.ts";
import { SGD_BENCHES } from "../../kernels/sgd/sgd_bench.ts";
import { RESNET50_STEP } from "./resnet50_step.ts";

/** Every case. */
export const BENCH_CASES: readonly BenchCase[] = [
  ...CONV2D_BENCHES,
  ...BATCH_NORM_BENCHES,
  ...POOL_BENCHES,
  ...SGD_BENCHES,
  RESNET50_STEP,
];
