/**
 * Checking labels before a loss is computed.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { hostValues } from "../runtime/tensors.ts";

/** The label of a row, or of an entry, that does not count. */
export const IGNORED = -1;

/**
 * Checks the type, and the values where the host has them: a kernel makes NaN of labels that it cannot use.
 *
 * @param op for the message
 * @param classes labels are below it
 * @throws {TypeError} unless labels are int32
 * @throws {RangeError} for a label that is neither -1 nor in [0, classes)
 */
export function requireLabels(op: string, labels: tf.Tensor, classes: number): void {
  if (labels.dtype !== "int32") {
    throw new TypeError(`Cannot run ${op}: labels are ${labels.dtype}; expected int32`);
  }
  const values = hostValues(labels);
  for (let i = 0; values !== undefined && i < values.length; i++) {
    if (values[i] >= IGNORED && values[i] < classes) continue;
    throw new RangeError(
      `Cannot run ${op}: label ${i} is ${values[i]}; expected ${IGNORED} (ignored) or 0 to ${classes - 1}`,
    );
  }
}
