/**
 * What is done with tensors besides dispatches: copies, values from the host, who shares a buffer.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { backendInternals, submit, valuesChange } from "./program.ts";
import { moveOut, partOf } from "./views.ts";

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
    const part = ({ dataId }: TensorInfo, offset: number) =>
      partOf(internals.tensorMap.get(dataId).resource!, offset, size);
    const target = part(to, toOffset);
    if (part(from, fromOffset).buffer === target.buffer) moveOut(internals, from.dataId);
    const source = part(from, fromOffset);
    internals.ensureCommandEncoderReady();
    internals.endComputePassEncoder();
    internals.commandEncoder!.copyBufferToBuffer(
      source.buffer,
      source.offset,
      target.buffer,
      target.offset,
      size,
    );
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
  const { buffer, offset } = partOf(internals.tensorMap.get(tensor.dataId).resource!);
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
