/**
 * tfjs's backend, with a faster way for tensors to the device.
 *
 * tfjs writes a tensor's values to a buffer that it maps. What that takes in Deno 2.9, next to `queue.writeBuffer`, in
 * milliseconds: 57.8 MB, the paper's batch, 2000 to 2800 and 6 on an NVIDIA H200, 340 and 165 on lavapipe; 590 KB 10 to 20
 * and 0.2 on the H200; 4 KB as long either way.
 *
 * @module
 */
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import type { BackendInternals } from "./program.ts";

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
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    data.resource = bufferManager.acquireBuffer(values.byteLength, usage);
    device.queue.writeBuffer(data.resource, 0, values as BufferSource);
    data.values = null;
  }
}
