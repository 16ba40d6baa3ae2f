/**
 * The cases of `deno task bench`, in the order in which they run.
 *
 * @module
 */
import { CONV2D_BENCHES } from "../../kernels/conv2d/conv2d_bench.ts";
import type { BenchCase } from "../../kernels/runtime/bench.ts";
import { RESNET50_STEP } from "./resnet50_step.ts";

/** Every case. */
export const BENCH_CASES: readonly BenchCase[] = [...CONV2D_BENCHES, RESNET50_STEP];
