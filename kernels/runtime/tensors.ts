/**
 * What is done with tensors besides dispatches: copies, values from the host, who shares a buffer.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import {
  asFloats,
  backendInternals,
  isCapturing,
  release,
  requireFloats,
  submit,
  valuesChange,
} from "./program.ts";
import { sizeOf } from "./shapes.ts";
import { bytesOf, copyBytes, moveOut } from "./views.ts";

/** A part of one tensor that becomes a part of another; offsets and size in bytes, multiples of 4. */
export interface TensorCopy {
  readonly from: TensorInfo;
  readonly fromOffset: number;
  readonly to: TensorInfo;
  readonly toOffset: number;
  readonly size: number;
}

/**
 * Records copies between tensors, which are no dispatches, but for the conversion of what tfjs cast from integers.
 *
 * @throws {TypeError} for a target that tfjs cast from integers
 */
export function copyTensors(copies: readonly TensorCopy[]): void {
  const internals = backendInternals();
  for (const { from, fromOffset, to, toOffset, size } of copies) {
    requireFloats("copy a tensor", to);
    for (const { dataId } of [from, to]) internals.uploadToGPU(dataId);
    valuesChange(to);
    const target = bytesOf(internals, to, toOffset, size);
    if (bytesOf(internals, from).buffer === target.buffer) moveOut(internals, from.dataId);
    const floats = asFloats(from);
    copyBytes(internals, bytesOf(internals, floats ?? from, fromOffset, size), target);
    for (const { dataId } of [floats ?? from, to]) internals.commandQueueOwnedIds.add(dataId);
    if (floats !== undefined) release(floats);
  }
}

/** A new tensor whose values are not set. */
export function emptyTensor(shape: number[], dtype = "float32"): TensorInfo {
  return backendInternals().makeTensorInfo(shape, dtype);
}

/**
 * Gives a tensor on the device other values, once all that was recorded before has run.
 *
 * @throws {RangeError} if there are not as many as the tensor has; {TypeError} if they are of another type; {Error} while
 * commands are captured, since a launch would not write them again
 */
export function writeTensor(tensor: TensorInfo, values: Float32Array | Int32Array): void {
  const internals = backendInternals();
  const { dtype } = internals.tensorMap.get(tensor.dataId);
  const fail = (given: string, wanted: string) => `Cannot write to a tensor: ${given}; expected ${wanted}`;
  if (values.length !== sizeOf(tensor.shape)) {
    throw new RangeError(
      fail(
        `it has shape [${tensor.shape}] and ${values.length} values were given`,
        `${sizeOf(tensor.shape)}`,
      ),
    );
  }
  if ((dtype === "float32") !== values instanceof Float32Array) {
    throw new TypeError(
      fail(`it is ${dtype} and a ${values.constructor.name} was given`, "values of its type"),
    );
  }
  if (isCapturing()) throw new Error(fail("commands are captured", "a write before each launch"));
  if (values.length === 0) return; // Deno 2.9 panics at a write of no bytes
  submit();
  internals.uploadToGPU(tensor.dataId);
  valuesChange(tensor);
  const { buffer, offset } = bytesOf(internals, tensor);
  internals.device.queue.writeBuffer(buffer, offset, values as BufferSource);
}

/** True if another tensor has the same buffer, so that an update in place would change it too. */
export function sharesBuffer({ dataId }: TensorInfo): boolean {
  return backendInternals().tensorMap.get(dataId).refCount > 1;
}

/** A tensor's values where the host has them, as it does of a tensor that it made or read; never a readback. */
export function hostValues(tensor: TensorInfo): ArrayLike<number> | undefined {
  const { values } = backendInternals().tensorMap.get(tensor.dataId);
  return (values ?? undefined) as ArrayLike<number> | undefined;
}
