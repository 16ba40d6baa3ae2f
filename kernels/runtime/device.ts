/**
 * Our own GPUDevice, with every useful feature and the adapter's limits, given to tfjs as backend "webgpu".
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";

/** What a log or a bench prints about the adapter it ran on. */
export interface AdapterRecord {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly features: string[];
}

/**
 * Makes the WebGPU device and sets it as tfjs's backend.
 *
 * @throws {Error} if there is no WebGPU adapter
 */
export async function initializeDevice(): Promise<AdapterRecord> {
  tf.env().set("PROD", true);
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) {
    throw new Error("Cannot start: no WebGPU adapter was found; `./fervid` installs a software driver");
  }
  const { info } = adapter;
  const device = await adapter.requestDevice();
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", () => new WebGPUBackend(device, info), 3);
  await tf.setBackend("webgpu");
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    description: info.description,
    features: [...device.features].sort(),
  };
}
