/**
 * The activations that a kernel can apply to its result before it is written.
 *
 * @module
 */
import erfSource from "../gelu/erf.wgsl" with { type: "text" };
import nanSource from "../runtime/nan.wgsl" with { type: "text" };
import activationSource from "./activation.wgsl" with { type: "text" };

/** Names as in tfjs's fused ops, and `gelu` in its exact form, x Phi(x). */
export type Activation =
  | "linear"
  | "relu"
  | "relu6"
  | "elu"
  | "sigmoid"
  | "tanh"
  | "gelu"
  | "leakyrelu"
  | "prelu";

/** `ACTIVATION` of activation.wgsl. */
const CODES: Readonly<Record<Activation, number>> = {
  linear: 0,
  relu: 1,
  relu6: 2,
  elu: 3,
  sigmoid: 4,
  tanh: 5,
  gelu: 6,
  leakyrelu: 7,
  prelu: 7,
};

/** For the `includes` of a shader that calls `activate`. */
export const ACTIVATION_INCLUDES: Readonly<Record<string, string>> = {
  "erf.wgsl": erfSource,
  "nan.wgsl": nanSource,
  "activation.wgsl": activationSource,
};

/** True if the kernels know the activation. */
export function isActivation(name: unknown): name is Activation {
  return typeof name === "string" && Object.hasOwn(CODES, name);
}

/** The constant of activation.wgsl. */
export function activationCode(activation: Activation = "linear"): number {
  return CODES[activation];
}
