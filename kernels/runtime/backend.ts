/**
 * tfjs's backend, with a faster way for tensors to the device, ways back for those that are parts of a buffer, and reads
 * that hold where a tensor is updated in place.
 *
 * tfjs writes a tensor's values to a buffer that it maps. What that takes in Deno 2.9, next to `queue.writeBuffer`, in
 * milliseconds: 57.8 MB, the paper's batch, 2000 to 2800 and 6 on an NVIDIA H200, 340 and 165 on lavapipe; 590 KB 10 to 20
 * and 0.2 on the H200; 4 KB as long either way.
 *
 * @module
 */
import type { GPUData } from "@tensorflow/tfjs";
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import type { BackendInternals } from "./program.ts";
import { type BufferPart, copyOf, isPart, type Resource, TENSOR_USAGE } from "./views.ts";

function valuesOf(dtype: string, values: ArrayLike<number>): Float32Array | Int32Array {
  if (dtype === "float32") return values instanceof Float32Array ? values : Float32Array.from(values);
  return values instanceof Int32Array ? values : Int32Array.from(values);
}

/** The backend "webgpu". */
export class Backend extends WebGPUBackend {
  /**
   * Values come to the device before all that is not submitted yet. That may be: tfjs takes a tensor's buffer back only
   * once what reads it is submitted.
   */
  override uploadToGPU(dataId: object): void {
    const { tensorMap, bufferManager, device } = this as unknown as BackendInternals;
    const data = tensorMap.get(dataId);
    if (data.resource || !data.values) return super.uploadToGPU(dataId);
    const values = valuesOf(data.dtype, data.values as ArrayLike<number>); // 4 bytes each, as all that a shader sees
    if (values.length === 0) return super.uploadToGPU(dataId); // Deno 2.9 panics at a write of no bytes
    const buffer = bufferManager.acquireBuffer(values.byteLength, TENSOR_USAGE);
    device.queue.writeBuffer(buffer, 0, values as BufferSource);
    Object.assign(data, { resource: buffer, values: null });
  }

  /** how often each tensor's values have changed on the device */
  readonly #changes = new WeakMap<object, number>();

  /** The device writes to a tensor: what the host knows of its values, or is reading, is of before. */
  forgetValues(dataId: object): void {
    this.#changes.set(dataId, (this.#changes.get(dataId) ?? 0) + 1);
    (this as unknown as BackendInternals).tensorMap.get(dataId).values = null;
  }

  override async read(dataId: object) {
    const { tensorMap } = this as unknown as BackendInternals;
    const changes = this.#changes.get(dataId);
    const values = await super.read(dataId);
    // tfjs keeps what it has read.
    if (this.#changes.get(dataId) !== changes && tensorMap.has(dataId)) tensorMap.get(dataId).values = null;
    return values;
  }

  /** The bytes of a tensor's buffer, or of its part of one. */
  override getBufferData(resource: Resource): Promise<ArrayBuffer> {
    return isPart(resource)
      ? this.#copied(resource, (own) => super.getBufferData(own))
      : super.getBufferData(resource);
  }

  /** See `tf.Tensor.dataToGPU`. */
  override readToGPU(dataId: object): GPUData {
    const data = (this as unknown as BackendInternals).tensorMap.get(dataId);
    const { resource } = data;
    if (!isPart(resource)) return super.readToGPU(dataId);
    return this.#copied(resource, (own) => {
      data.resource = own;
      try {
        return super.readToGPU(dataId);
      } finally {
        data.resource = resource;
      }
    });
  }

  /** @param submit records and submits at once what reads the copy */
  #copied<T>(part: BufferPart, submit: (own: GPUBuffer) => T): T {
    const internals = this as unknown as BackendInternals;
    const own = copyOf(internals, part);
    const result = submit(own);
    internals.bufferManager.releaseBuffer(own);
    return result;
  }
}
