/**
 * GELU, exact, as an elementwise kernel; `erf.wgsl` serves the epilogues of other kernels.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { foldWorkgroups, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import erf from "./erf.wgsl" with { type: "text" };
import backwardSource from "./gelu_bwd.wgsl" with { type: "text" };
import forwardSource from "./gelu_fwd.wgsl" with { type: "text" };

const includes = { "erf.wgsl": erf };
const FORWARD = elementShader({ file: "gelu/gelu_fwd.wgsl", source: forwardSource, includes });
const BACKWARD = elementShader({ file: "gelu/gelu_bwd.wgsl", source: backwardSource, includes });

const NAME = "FervidGelu";
const GROUP = 64;

/** Runs the forward shader on x, or the backward one on x and dy. */
function apply(...inputs: [x: TensorInfo, dy?: TensorInfo]): TensorInfo {
  const { shape } = inputs[0];
  const size = shape.reduce((product, n) => product * n, 1);
  const { shader, width } = (inputs.length === 1 ? FORWARD : BACKWARD).forRow(size);
  const count = size / width;
  const workgroups = foldWorkgroups(Math.ceil(count / GROUP));
  const [y] = run({
    shader,
    inputs: inputs as TensorInfo[],
    outputs: [{ shape }],
    uniforms: { count, row: workgroups[0] * GROUP },
    workgroups,
  });
  return y;
}

/** GELU with its gradient, for tfjs's registry. */
export const GELU_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run: ({ x }) => apply(x),
    gradient: {
      inputsToSave: ["x"],
      gradFunc: (dy, [x]) => ({
        x: () => tf.engine().runKernel(`${NAME}Grad`, { x, dy: dy as tf.Tensor }) as tf.Tensor,
      }),
    },
  },
  { name: `${NAME}Grad`, run: ({ x, dy }) => apply(x, dy) },
];

/**
 * x Phi(x), Phi the normal distribution (Hendrycks and Gimpel 2016, arXiv 1606.08415, the exact form). One dispatch,
 * and one for the gradient.
 *
 * @param x float32 of any shape that is not empty
 * @throws {TypeError} unless x is float32
 * @throws {RangeError} for an empty tensor
 */
export function gelu<T extends tf.Tensor>(x: T): T {
  if (x.dtype !== "float32") throw new TypeError(`Cannot run gelu: x is ${x.dtype}; expected float32`);
  if (x.size === 0) {
    throw new RangeError(`Cannot run gelu: x has shape [${x.shape}]; expected no empty dimension`);
  }
  return tf.engine().runKernel(NAME, { x }) as T;
}
