/**
 * Tensors that are a part of a larger buffer, e.g. of the one in which all weights lie. Each is a tensor like any other, to
 * our kernels and to tfjs's: what a tensor has for its buffer tfjs hands to WebGPU, and a part of a buffer will do there.
 *
 * A dispatch may not read one part of a buffer and write another, and a buffer cannot be copied to itself: a part that
 * is in the way moves to a buffer of its own (`moveOut`).
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import type { BackendInternals } from "./program.ts";

/** What a tensor's buffer is for. */
export const TENSOR_USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

/** Some bytes of a buffer: what WebGPU binds. */
export interface BufferPart {
  readonly buffer: GPUBuffer;
  /** first byte; a multiple of the device's `minStorageBufferOffsetAlignment` */
  readonly offset: number;
  /** in bytes */
  readonly size: number;
}

/** Where a tensor's values are on the device; a part is not the tensor's to give back. */
export type Resource = GPUBuffer | BufferPart;

/** True for a part of a buffer that is not the tensor's own. */
export function isPart(resource: Resource | null | undefined): resource is BufferPart {
  return resource != null && "buffer" in resource;
}

/** Bytes of a tensor on the device, from `offset` on; all that follow by default. */
export function bytesOf(
  { tensorMap }: BackendInternals,
  { dataId }: TensorInfo,
  offset?: number,
  size?: number,
): BufferPart {
  return partOf(tensorMap.get(dataId).resource!, offset, size);
}

/** The same of a resource. */
export function partOf(resource: Resource, offset = 0, size?: number): BufferPart {
  const whole = isPart(resource) ? resource : { buffer: resource, offset: 0, size: resource.size };
  return { buffer: whole.buffer, offset: whole.offset + offset, size: size ?? whole.size - offset };
}

/** True if the tensor lies there. */
export function liesIn({ tensorMap }: BackendInternals, dataId: object, part: BufferPart): boolean {
  const resource = tensorMap.has(dataId) ? tensorMap.get(dataId).resource : undefined;
  return isPart(resource) && resource.buffer === part.buffer && resource.offset === part.offset;
}

/** Lets a new tensor, which has no buffer yet, have a part of one. */
export function moveIn({ tensorMap }: BackendInternals, dataId: object, part: BufferPart): void {
  // tfjs does not give back what is external.
  Object.assign(tensorMap.get(dataId), { resource: part, external: true });
}

/** The command encoder, outside a pass. */
export function encoderForCopies(internals: BackendInternals): GPUCommandEncoder {
  internals.ensureCommandEncoderReady();
  internals.endComputePassEncoder();
  return internals.commandEncoder!;
}

/** Records a copy of as many bytes as `from` has. */
export function copyBytes(internals: BackendInternals, from: BufferPart, to: BufferPart): void {
  encoderForCopies(internals).copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, from.size);
}

/** A buffer of its own with the bytes of a part. */
export function copyOf(internals: BackendInternals, part: BufferPart): GPUBuffer {
  const own = internals.bufferManager.acquireBuffer(part.size, TENSOR_USAGE);
  copyBytes(internals, part, partOf(own));
  return own;
}

/** Gives a tensor that is a part of a buffer one of its own, with its values. */
export function moveOut(internals: BackendInternals, dataId: object): void {
  const data = internals.tensorMap.get(dataId);
  if (!isPart(data.resource)) return;
  internals.uploadToGPU(dataId); // it is there; who captures is told where
  Object.assign(data, { resource: copyOf(internals, data.resource), external: false });
  internals.commandQueueOwnedIds.add(dataId); // the copy writes to that buffer, so it is not free before the submit
}
