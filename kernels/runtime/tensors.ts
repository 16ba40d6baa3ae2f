/**
 * What is done with tensors besides dispatches: copies, values from the host, who shares a buffer.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { backendInternals, submit, valuesChange } from "./program.ts";
import { bytesOf, copyBytes, moveOut } from "./views.ts";

/** A part of one tensor that becomes a part of another; offsets and size in bytes, multiples of 4. */
export interface TensorCopy {
  readonly from: TensorInfo;
  readonly fromOffset: number;
  readonly to: TensorInfo;
  readonly toOffset: number;
  readonly size: number;
}

/** Records copies between tensors, which are no dispatches. */
export function copyTensors(copies: readonly TensorCopy[]): void {
  const internals = backendInternals();
  for (const { from, fromOffset, to, toOffset, size } of copies) {
    for (const { dataId } of [from, to]) internals.uploadToGPU(dataId);
    valuesChange(to);
    const target = bytesOf(internals, to, toOffset, size);
    if (bytesOf(internals, from).buffer === target.buffer) moveOut(internals, from.dataId);
    copyBytes(internals, bytesOf(internals, from, fromOffset, size), target);
    for (const { dataId } of [from, to]) internals.commandQueueOwnedIds.add(dataId);
  }
}

/** A new tensor whose values are not set. */
export function emptyTensor(shape: number[], dtype = "float32"): TensorInfo {
  return backendInternals().makeTensorInfo(shape, dtype);
}

/** Gives a tensor on the device other values, once all that was recorded before has run. */
export function writeTensor(tensor: TensorInfo, values: Float32Array | Int32Array): void {
  submit();
  const internals = backendInternals();
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
