/**
 * The cases of `deno task bench`, in the order in which they run.
 *
 * @module
 */
import type { BenchCase } from "../../kernels/runtime/bench.ts";

/** Every case. */
export const BENCH_CASES: readonly BenchCase[] = [];
