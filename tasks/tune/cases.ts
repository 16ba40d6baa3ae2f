/**
 * The cases of `deno task tune`, in the order in which they run.
 *
 * @module
 */
import { CONV2D_TUNE_CASES } from "../../kernels/conv2d/conv2d_tune.ts";
import type { TuneCase } from "../../kernels/runtime/tuner.ts";

/** Every case. */
export const TUNE_CASES: readonly TuneCase[] = [...CONV2D_TUNE_CASES] as readonly TuneCase[];
