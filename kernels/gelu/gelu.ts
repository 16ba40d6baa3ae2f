/**
 * GELU, exact, as an elementwise kernel; `erf.wgsl` serves the epilogues of other kernels.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { elementShader, requireFloats, runElementwise } from "../runtime/elements.ts";
import type { NewKernel } from "../runtime/registry.ts";
import erf from "./erf.wgsl" with { type: "text" };
import backwardSource from "./gelu_bwd.wgsl" with { type: "text" };
import forwardSource from "./gelu_fwd.wgsl" with { type: "text" };

const includes = { "erf.wgsl": erf };
const FORWARD = elementShader({ file: "gelu/gelu_fwd.wgsl", source: forwardSource, includes });
const BACKWARD = elementShader({ file: "gelu/gelu_bwd.wgsl", source: backwardSource, includes });

const NAME = "FervidGelu";

/** GELU with its gradient, for tfjs's registry. */
export const GELU_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run: ({ x }) => runElementwise(FORWARD, [x]),
    gradient: {
      inputsToSave: ["x"],
      gradFunc: (dy, [x]) => ({
        x: () => tf.engine().runKernel(`${NAME}Grad`, { x, dy: dy as tf.Tensor }) as tf.Tensor,
      }),
    },
  },
  { name: `${NAME}Grad`, run: ({ x, dy }) => runElementwise(BACKWARD, [x, dy]) },
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
  requireFloats("gelu", x);
  return tf.engine().runKernel(NAME, { x }) as T;
}
