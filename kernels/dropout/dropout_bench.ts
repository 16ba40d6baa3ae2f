/**
 * Dropout, forward and backward, side by side with a mask that is drawn on the host and uploaded, as `tf.dropout` does;
 * here the same mask, so that both sides can be compared. The clock is the host's, which draws.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { dropout } from "./dropout.ts";
import { DROPOUT_CASES, DROPOUT_TOLERANCE } from "./dropout_cases.ts";
import { dropoutMaskRef } from "./dropout_ref.ts";

const KEY = { seed: 1, layer: 2, step: 3 };

function benchOf(name: string, shape: number[], rate: number): BenchCase {
  const elements = shape.reduce((product, n) => product * n, 1);
  return {
    op: "dropout",
    name: `${name} [${shape}]`,
    bytes: 4 * 4 * elements, // x, dy, y, dx
    setup() {
      const [x, dy] = [randomTensor(shape), randomTensor(shape)];
      const both = (f: (x: tf.Tensor) => tf.Tensor) => {
        const { value, grad } = tf.valueAndGrad(f)(x, dy);
        return [value, grad];
      };
      return {
        ours: () => both((x) => dropout(x, rate, KEY)),
        stock: () => both((x) => x.mul(tf.tensor(dropoutMaskRef(elements, rate, KEY), shape))),
        tolerance: 2 * DROPOUT_TOLERANCE,
        clock: "wall",
        dispose: () => tf.dispose([x, dy]),
      };
    },
  };
}

/** The networks' layers. */
export const DROPOUT_BENCHES: readonly BenchCase[] = DROPOUT_CASES
  .filter(({ name }) => name.startsWith("cnn_transformer"))
  .map(({ name, shape, rate }) => benchOf(name, [...shape], rate));
