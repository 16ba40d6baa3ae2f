/**
 * ReLU, forward and backward, side by side with TensorFlow.js's.
 *
 * @module
 */
import { type BenchCase, elementwiseBench } from "../runtime/bench.ts";
import { relu } from "./relu.ts";
import { RELU_CASES } from "./relu_cases.ts";

/** The networks' layers. */
export const RELU_BENCHES: readonly BenchCase[] = RELU_CASES
  .filter(({ name }) => name.startsWith("cnn_rnn"))
  .map(({ name, shape }) =>
    elementwiseBench({ op: "relu", name, shape, ours: relu, stock: (x) => x.relu(), tolerance: 0 })
  );
