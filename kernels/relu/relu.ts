/**
 * ReLU as an elementwise kernel, for where no other kernel ends in it. Unlike tfjs's it shows NaN on every driver.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { foldWorkgroups, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import backwardSource from "./relu_bwd.wgsl" with { type: "text" };
import forwardSource from "./relu_fwd.wgsl" with { type: "text" };

const FORWARD = elementShader({ file: "relu/relu_fwd.wgsl", source: forwardSource });
const BACKWARD = elementShader({ file: "relu/relu_bwd.wgsl", source: backwardSource });

const NAME = "FervidRelu";
const GROUP = 64;

/** Runs the forward shader on x, or the backward one on y and dy. */
function apply(...inputs: [x: TensorInfo] | [y: TensorInfo, dy: TensorInfo]): TensorInfo {
  const { shape } = inputs[0];
  const size = shape.reduce((product, n) => product * n, 1);
  const { shader, width } = (inputs.length === 1 ? FORWARD : BACKWARD).forRow(size);
  const count = size / width;
  const workgroups = foldWorkgroups(Math.ceil(count / GROUP));
  const [result] = run({
    shader,
    inputs,
    outputs: [{ shape }],
    uniforms: { count, row: workgroups[0] * GROUP },
    workgroups,
  });
  return result;
}

/** ReLU with its gradient, for tfjs's registry. */
export const RELU_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run: ({ x }) => apply(x),
    gradient: {
      outputsToSave: [true],
      gradFunc: (dy, [y]) => ({
        x: () => tf.engine().runKernel(`${NAME}Grad`, { y, dy: dy as tf.Tensor }) as tf.Tensor,
      }),
    },
  },
  { name: `${NAME}Grad`, run: ({ y, dy }) => apply(y, dy) },
];

/**
 * max(x, 0), and NaN of NaN. One dispatch, and one for the gradient.
 *
 * @param x float32 of any shape that is not empty
 * @throws {TypeError} unless x is float32
 * @throws {RangeError} for an empty tensor
 */
export function relu<T extends tf.Tensor>(x: T): T {
  if (x.dtype !== "float32") throw new TypeError(`Cannot run relu: x is ${x.dtype}; expected float32`);
  if (x.size === 0) {
    throw new RangeError(`Cannot run relu: x has shape [${x.shape}]; expected no empty dimension`);
  }
  return tf.engine().runKernel(NAME, { x }) as T;
}
