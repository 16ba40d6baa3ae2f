/**
 * ReLU, forward and backward, side by side with TensorFlow.js's.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { relu } from "./relu.ts";
import { RELU_CASES } from "./relu_cases.ts";

function benchOf(name: string, shape: number[]): BenchCase {
  const elements = shape.reduce((product, n) => product * n, 1);
  return {
    op: "relu",
    name: `${name} [${shape}]`,
    bytes: 4 * 4 * elements, // x, dy, y, dx
    setup() {
      const [x, dy] = [randomTensor(shape), randomTensor(shape)];
      const both = (f: (x: tf.Tensor) => tf.Tensor) => {
        const { value, grad } = tf.valueAndGrad(f)(x, dy);
        return [value, grad];
      };
      return {
        ours: () => both(relu),
        stock: () => both((x) => x.relu()),
        tolerance: 0,
        dispose: () => tf.dispose([x, dy]),
      };
    },
  };
}

/** The networks' layers. */
export const RELU_BENCHES: readonly BenchCase[] = RELU_CASES
  .filter(({ name }) => name.startsWith("cnn_rnn"))
  .map(({ name, shape }) => benchOf(name, [...shape]));
