/** Kernels that cannot run to their end. */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assert, assertEquals } from "@std/assert";
import { backendInternals, release } from "../../kernels/runtime/program.ts";

/** Runs a body whose dispatch number `n`, counted by operands, throws before it makes anything. */
function failing<T>(n: number, body: () => T): T | undefined {
  const internals = backendInternals();
  const { uploadToGPU, makeTensorInfo } = internals;
  const failure = new Error("Cannot run: a test says so");
  let count = 0;
  let fresh = 0; // outputs that are made and have no buffer yet
  internals.makeTensorInfo = (...given) => {
    fresh++;
    return makeTensorInfo.apply(internals, given);
  };
  internals.uploadToGPU = (id) => {
    // What a dispatch reads or updates comes first, and has a buffer; then come its outputs.
    if (!internals.tensorMap.get(id).resource) fresh--;
    else if (fresh === 0 && count++ === n) throw failure;
    uploadToGPU.call(internals, id);
  };
  try {
    return body();
  } catch (error) {
    if (error === failure) return undefined;
    throw error;
  } finally {
    const own = internals as Partial<typeof internals>; // an own method hid the prototype's
    delete own.uploadToGPU;
    delete own.makeTensorInfo;
  }
}

/** Requires that kernels leave no tensor behind, whichever of their dispatches cannot run. */
export function requireNothingLeft(
  inputs: () => tf.Tensor[],
  run: (inputs: tf.Tensor[]) => TensorInfo[],
): void {
  for (let n = 0;; n++) {
    const before = tf.backend().numDataIds();
    const given = inputs();
    for (const { dataId } of given) backendInternals().uploadToGPU(dataId);
    const results = failing(n, () => run(given));
    results?.forEach(release);
    tf.dispose(given);
    assertEquals(tf.backend().numDataIds(), before, `tensors left, dispatch at operand ${n} failed`);
    if (results === undefined) continue;
    assert(n > 3, `${n} operands`);
    return;
  }
}
