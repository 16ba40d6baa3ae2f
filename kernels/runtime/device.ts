/**
 * Our own GPUDevice, with every useful feature and the adapter's limits, given to tfjs as backend "webgpu".
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { withBufferPool } from "./buffer_pool.ts";
import { debug, debugStock } from "./debug.ts";
import { Backend } from "./backend.ts";

/** What a log or a bench prints about the adapter it ran on. */
export interface AdapterRecord {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  /** true for a driver that runs on the CPU */
  readonly software: boolean;
  /** of the device, sorted */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** Features that are asked for where the adapter has them. */
const FEATURES: readonly GPUFeatureName[] = ["timestamp-query", "shader-f16"];
/** Limits that are raised to the adapter's. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxTextureDimension2D",
] as const;

/**
 * Dispatches of a submission on a software adapter, where there is no device that a smaller one would keep busy: a
 * training step of the small ResNet50 takes 122 ms, with 60 of them 128 ms, with tfjs's 15 of them 150 ms.
 */
export const SOFTWARE_BATCH = 200;

let initialized: Promise<AdapterRecord> | undefined;

/**
 * Makes the WebGPU device and sets it as tfjs's backend; a second call returns the same record. A validation error
 * or a lost device ends the process with its message: WebGPU would go on with zeros.
 *
 * @throws {Error} if there is no WebGPU adapter
 */
export function initializeDevice(): Promise<AdapterRecord> {
  return initialized ??= initialize();
}

async function initialize(): Promise<AdapterRecord> {
  tf.env().set("PROD", true);
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new Error(
      "Cannot start: there is no WebGPU adapter; ./fervid installs a software driver on Debian and Ubuntu",
    );
  }
  const { info } = adapter;
  if (info.description.startsWith("llvmpipe") && !adapter.features.has("shader-f16")) {
    throw new Error(
      `Cannot start: the only WebGPU adapter is OpenGL on the CPU (${info.description}); expected a Vulkan, Metal or ` +
        "Direct3D driver: ./fervid installs Mesa's software Vulkan driver on Debian and Ubuntu",
    );
  }
  const limits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const device = await requestDevice(adapter, {
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: limits,
  });
  endRunOnErrors(device);
  refuseLargeBuffers(device);
  tf.removeBackend("webgpu");
  tf.registerBackend("webgpu", () => withBufferPool(new Backend(device, info), device), 3);
  await tf.setBackend("webgpu");
  if (isSoftware(info)) tf.env().set("WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE", SOFTWARE_BATCH);
  debugStock(tf.backend());
  const record = {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    software: isSoftware(info),
    features: [...device.features].sort(),
    limits,
  };
  debug(1, () => `adapter ${JSON.stringify({ ...record, ...adapterTraits(device) })}`);
  return record;
}

function isSoftware({ description }: GPUAdapterInfo): boolean {
  return /llvmpipe|lavapipe|swiftshader|softpipe/i.test(description);
}

/** A device with subgroups where the adapter has them: Deno 2.9 lists the feature for none, so only asking tells. */
async function requestDevice(adapter: GPUAdapter, descriptor: GPUDeviceDescriptor): Promise<GPUDevice> {
  const requiredFeatures = [...descriptor.requiredFeatures ?? [], "subgroups" as GPUFeatureName];
  try {
    return await adapter.requestDevice({ ...descriptor, requiredFeatures });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // a TypeError: the adapter lacks a feature
    const fresh = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }); // the first is spent
    if (!fresh) throw new Error("Cannot start: the WebGPU adapter is gone");
    return await fresh.requestDevice(descriptor);
  }
}

/** What the choice of a kernel's variant depends on. */
export interface AdapterTraits {
  /** the driver runs on the CPU */
  readonly software: boolean;
  /** invocations of the smallest subgroup; 0 if the device has no subgroups */
  readonly subgroupSize: number;
}

const traits = new WeakMap<GPUDevice, AdapterTraits>();

/** The traits of a device's adapter. */
export function adapterTraits(device: GPUDevice): AdapterTraits {
  let known = traits.get(device);
  if (known === undefined) {
    const { adapterInfo, features } = device;
    const subgroupSize = features.has("subgroups") ? adapterInfo.subgroupMinSize : 0;
    traits.set(device, known = { software: isSoftware(adapterInfo), subgroupSize });
  }
  return known;
}

/** Ends the run when a command is refused or the device is lost, unless it was destroyed on purpose. */
export function endRunOnErrors(device: GPUDevice): void {
  device.addEventListener("uncapturederror", (event) => {
    const { error } = event as unknown as { error: { message: string } | string }; // Deno hands out both
    const message = (typeof error === "string" ? error : error.message).trim();
    if (error instanceof GPUOutOfMemoryError) {
      endRun(`the device is out of memory: ${message}; a smaller batch takes less`);
    } else endRun(`WebGPU refused a command: ${message}`);
  });
  device.lost.then(({ reason, message }) => {
    if (reason !== "destroyed") endRun(`the device was lost: ${message || reason}`);
  });
}

/**
 * Makes a buffer beyond what the device takes an error where it is asked for: WebGPU would hand out an invalid one, and
 * tell of it later.
 */
function refuseLargeBuffers(device: GPUDevice): void {
  const create = device.createBuffer.bind(device);
  const { maxBufferSize } = device.limits;
  device.createBuffer = (descriptor) => {
    if (descriptor.size <= maxBufferSize) return create(descriptor);
    throw new RangeError(
      `Cannot make a tensor of ${descriptor.size} bytes: expected at most ${maxBufferSize}, what this adapter's ` +
        "buffers take; a smaller batch takes less",
    );
  };
}

let ending = false;

/** Raises an error that nothing catches: results after it would be wrong. What follows from it is not told. */
export function endRun(message: string): void {
  if (ending) return;
  ending = true;
  reportError(new Error(`Cannot go on computing: ${message}`));
}
