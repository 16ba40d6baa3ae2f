/**
 * The linear layer, forward and backward, side by side with a graph of TensorFlow.js's ops.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { toleranceOf } from "../matmul/matmul_cases.ts";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { linear } from "./linear.ts";
import { type LinearCase, MODEL_CASES, PAPER_CASES } from "./linear_cases.ts";

/** The layer as tfjs's ops. */
function stockLinear(activation: LinearCase["activation"], x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) {
  const z = x.matMul(weight).add(bias);
  if (activation === "relu") return z.relu();
  return activation === "gelu" ? z.mul(z.mul(Math.SQRT1_2).erf().add(1)).mul(0.5) : z;
}

function benchOf({ name, rows, depth, columns, activation }: LinearCase): BenchCase {
  return {
    op: "linear",
    name: `${name} [${rows}, ${depth}, ${columns}]`,
    flops: 6 * rows * depth * columns,
    setup() {
      const inputs = [randomTensor([rows, depth]), randomTensor([depth, columns]), randomTensor([columns])];
      const dy = randomTensor([rows, columns]);
      const both = (f: (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor) => tf.Tensor) => {
        const { value, grads } = tf.valueAndGrads(f as (...inputs: tf.Tensor[]) => tf.Tensor)(inputs, dy);
        return [value, ...grads];
      };
      return {
        ours: () =>
          both((x, weight, bias) =>
            linear(x as tf.Tensor2D, weight as tf.Tensor2D, bias as tf.Tensor1D, activation)
          ),
        stock: () => both((x, weight, bias) => stockLinear(activation, x, weight, bias)),
        tolerance: 2 * toleranceOf(Math.max(rows, depth, columns)),
        dispose: () => tf.dispose([...inputs, dy]),
      };
    },
  };
}

/** The networks' layers. */
export const LINEAR_BENCHES: readonly BenchCase[] = [...MODEL_CASES, ...PAPER_CASES].map(benchOf);
