/**
 * ReLU as an elementwise kernel, for where no other kernel ends in it. Unlike tfjs's it shows NaN on every driver.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { elementShader, requireFloats, runElementwise } from "../runtime/elements.ts";
import type { NewKernel } from "../runtime/registry.ts";
import backwardSource from "./relu_bwd.wgsl" with { type: "text" };
import forwardSource from "./relu_fwd.wgsl" with { type: "text" };

const FORWARD = elementShader({ file: "relu/relu_fwd.wgsl", source: forwardSource });
const BACKWARD = elementShader({ file: "relu/relu_bwd.wgsl", source: backwardSource });

const NAME = "FervidRelu";

/** ReLU with its gradient, for tfjs's registry. */
export const RELU_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run: ({ x }) => runElementwise(FORWARD, [x]),
    gradient: {
      outputsToSave: [true],
      gradFunc: (dy, [y]) => ({
        x: () => tf.engine().runKernel(`${NAME}Grad`, { y, dy: dy as tf.Tensor }) as tf.Tensor,
      }),
    },
  },
  { name: `${NAME}Grad`, run: ({ y, dy }) => runElementwise(BACKWARD, [y, dy]) },
];

/**
 * max(x, 0), and NaN of NaN. One dispatch, and one for the gradient.
 *
 * @param x float32 of any shape that is not empty
 * @throws {TypeError} unless x is float32
 * @throws {RangeError} for an empty tensor
 */
export function relu<T extends tf.Tensor>(x: T): T {
  requireFloats("relu", x);
  return tf.engine().runKernel(NAME, { x }) as T;
}
