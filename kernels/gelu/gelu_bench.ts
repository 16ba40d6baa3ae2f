/**
 * GELU, forward and backward, side by side with a graph of TensorFlow.js's ops.
 *
 * @module
 */
import { type BenchCase, elementwiseBench } from "../runtime/bench.ts";
import { gelu } from "./gelu.ts";
import { GELU_CASES } from "./gelu_cases.ts";

/** The networks' layers. */
export const GELU_BENCHES: readonly BenchCase[] = GELU_CASES
  .filter(({ name }) => name.startsWith("cnn_transformer"))
  .map(({ name, shape }) =>
    elementwiseBench({
      op: "gelu",
      name,
      shape,
      ours: gelu,
      stock: (x) => x.mul(x.mul(Math.SQRT1_2).erf().add(1)).mul(0.5),
      tolerance: 3e-6, // tfjs's erf is Abramowitz and Stegun's 7.1.26
    })
  );
