/**
 * GELU, forward and backward, side by side with a graph of TensorFlow.js's ops.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { gelu } from "./gelu.ts";
import { GELU_CASES } from "./gelu_cases.ts";

function benchOf(name: string, shape: number[]): BenchCase {
  const elements = shape.reduce((product, n) => product * n, 1);
  return {
    op: "gelu",
    name: `${name} [${shape}]`,
    bytes: 4 * 4 * elements, // x, dy, y, dx
    setup() {
      const [x, dy] = [randomTensor(shape), randomTensor(shape)];
      const both = (f: (x: tf.Tensor) => tf.Tensor) => {
        const { value, grad } = tf.valueAndGrad(f)(x, dy);
        return [value, grad];
      };
      return {
        ours: () => both(gelu),
        stock: () => both((x) => x.mul(x.mul(Math.SQRT1_2).erf().add(1)).mul(0.5)),
        tolerance: 3e-6, // tfjs's erf is Abramowitz and Stegun's 7.1.26
        dispose: () => tf.dispose([x, dy]),
      };
    },
  };
}

/** The networks' layers. */
export const GELU_BENCHES: readonly BenchCase[] = GELU_CASES
  .filter(({ name }) => name.startsWith("cnn_transformer"))
  .map(({ name, shape }) => benchOf(name, [...shape]));
