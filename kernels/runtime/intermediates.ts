/**
 * Tensors that an op makes on its way.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { release } from "./program.ts";

/** Has a tensor, which it returns, given back at the end. */
export type Own = (tensor: TensorInfo) => TensorInfo;

/** Runs a body and gives back the tensors that it owned, also when it throws. */
export function withIntermediates<T>(body: (own: Own) => T): T {
  const owned: TensorInfo[] = [];
  try {
    return body((tensor) => {
      owned.push(tensor);
      return tensor;
    });
  } finally {
    owned.forEach(release);
  }
}
