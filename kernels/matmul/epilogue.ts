/**
 * What a kernel does to its result before it is written.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import type { Constants } from "../runtime/wgsl.ts";
import { type Activation, ACTIVATION_INCLUDES, activationCode } from "./activation.ts";
import storeSource from "./matmul_store.wgsl" with { type: "text" };

/** For the `includes` of a shader that stores tiles with an epilogue. */
export const STORE_INCLUDES: Readonly<Record<string, string>> = {
  ...ACTIVATION_INCLUDES,
  "matmul_store.wgsl": storeSource,
};

/** Bias, then activation; or addition to what is there. */
export interface Epilogue {
  /** [N], added to every row */
  readonly bias?: TensorInfo;
  /** applied after the bias */
  readonly activation?: Activation;
  /** slope of `leakyrelu` below 0; 0.2 */
  readonly alpha?: number;
  /** [N] slopes of `prelu` below 0 */
  readonly slopes?: TensorInfo;
  /** [.., M, N], to which the result is added in place; not with an activation */
  readonly addTo?: TensorInfo;
}

/** The constants of a shader that ends in an epilogue. */
export function epilogueConstants({ bias, slopes, activation, addTo }: Epilogue): Constants {
  return {
    ACTIVATION: activationCode(activation),
    ADD: addTo !== undefined,
    BIAS: bias !== undefined,
    PRELU: slopes !== undefined,
  };
}

/** The slope of `leakyrelu` as a uniform. */
export function epilogueAlpha({ alpha = 0.2 }: Epilogue): { f32: number } {
  return { f32: alpha };
}
