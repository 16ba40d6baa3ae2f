/** That the tests of an op give back what they make. */
import * as tf from "@tensorflow/tfjs";
import { assertEquals } from "@std/assert";
import { submit } from "../../kernels/runtime/program.ts";

/**
 * Watches tensors, and the data of those that only a kernel has, which tfjs does not count as tensors.
 *
 * @returns to be called where all that was made since is disposed but for `kept` tensors: fails if more is left
 */
export function watchLeaks(): (kept?: number) => void {
  const count = () => {
    submit(); // until then what is disposed is still there
    return { tensors: tf.memory().numTensors, data: tf.backend().numDataIds() };
  };
  const before = count();
  return (kept = 0) => {
    assertEquals(count(), { tensors: before.tensors + kept, data: before.data + kept }, "something leaks");
  };
}
