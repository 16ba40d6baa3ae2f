/**
 * One dispatch on tfjs's own buffers and command encoder: several inputs, several outputs, uniforms by name.
 * No readback and no submit of its own. This is the one file that touches tfjs's private members.
 *
 * A shader's bindings are, in this order: the inputs, the outputs, then the uniforms, if it has any.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { env, type TensorInfo } from "@tensorflow/tfjs";
import { type Constants, expandShader, type ShaderFile, shaderKey } from "./wgsl.ts";

/** The private members of tfjs's WebGPUBackend 4.22 that are used; a test asserts that each is there. */
export interface BackendInternals {
  readonly device: GPUDevice;
  readonly tensorMap: {
    get(id: object): { resource?: GPUBuffer; values?: unknown; refCount: number; dtype: string };
  };
  readonly bufferManager: {
    acquireBuffer(size: number, usage: number, mappedAtCreation?: boolean, reuse?: boolean): GPUBuffer;
  };
  uploadToGPU(id: object): void;
  makeTensorInfo(shape: number[], dtype: string): TensorInfo;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  commandEncoder: GPUCommandEncoder;
  computePassEncoder: GPUComputePassEncoder | null;
  commandQueueOwnedIds: WeakSet<object>;
  uniformPendingDisposal: GPUBuffer[];
  dispatchCountInPass: number;
}

/** How a shader reads an input. */
export interface Input {
  readonly tensor: TensorInfo;
  /**
   * `storage` by default. `uniform` copies a window of at most 64 KiB into the uniform address space, where it is an
   * `array<vec4<f32>, 4096>`: a software adapter loads values that a workgroup shares from there once, not once
   * per lane (16x16 register tile, lavapipe 22.3: 36 GFLOP/s on two cores against 15 from a storage buffer).
   */
  readonly as?: "storage" | "uniform";
  /** the window's first byte and length in bytes; the whole buffer by default */
  readonly offset?: number;
  readonly size?: number;
}

/** An output: a new tensor, or one that is updated in place. */
export type Output = { readonly shape: number[]; readonly dtype?: "float32" | "int32" } | {
  readonly inPlace: TensorInfo;
};

/** A value of the uniform struct: u32 unless it says f32. */
export type UniformValue = number | { readonly f32: number };

/** One dispatch. */
export interface Dispatch {
  readonly shader: ShaderFile;
  readonly constants?: Constants;
  readonly inputs: readonly (TensorInfo | Input)[];
  readonly outputs: readonly Output[];
  /** in the order of the shader's struct, whose members are all u32 or f32 */
  readonly uniforms?: Readonly<Record<string, UniformValue>>;
  readonly workgroups: readonly [number, number?, number?];
  /** floating-point operations, for profiles */
  readonly flops?: number;
}

/** Called with every dispatch; see {@link observeDispatches}. */
export type DispatchObserver = (name: string, dispatch: Dispatch | undefined) => void;

const observers = new Set<DispatchObserver>();
const pipelines = new WeakMap<GPUDevice, Map<string, GPUComputePipeline>>();
let poisoned = false;

/** The backend's private side. */
export function backendInternals(): BackendInternals {
  return tf.backend() as unknown as BackendInternals;
}

/** Bytes of a uniform window: the smallest limit that WebGPU guarantees. */
export const WINDOW_BYTES = 65536;

const windows = new WeakMap<GPUDevice, Map<number, GPUBuffer>>();

/**
 * Copies a part of a tensor to the device's scratch window of that binding. Commands run in order, so one window a
 * binding serves all dispatches.
 */
function fillWindow(
  internals: BackendInternals,
  binding: number,
  source: GPUBuffer,
  input: Input,
): GPUBuffer {
  const { device } = internals;
  const { offset = 0, size = source.size - (input.offset ?? 0) } = input;
  if (size > WINDOW_BYTES) {
    throw new RangeError(`Cannot bind a uniform window of ${size} bytes; expected at most ${WINDOW_BYTES}`);
  }
  let scratch = windows.get(device);
  if (scratch === undefined) windows.set(device, scratch = new Map());
  let buffer = scratch.get(binding);
  if (buffer === undefined) {
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    scratch.set(binding, buffer = device.createBuffer({ size: WINDOW_BYTES, usage }));
  }
  internals.ensureCommandEncoderReady();
  internals.endComputePassEncoder();
  internals.commandEncoder.copyBufferToBuffer(source, offset, buffer, 0, size);
  return buffer;
}

/** Fills outputs with NaN before each dispatch while `body` runs, so that an element that is not written shows. */
export function withPoisonedOutputs<T>(body: () => T): T {
  poisoned = true;
  try {
    return body();
  } finally {
    poisoned = false;
  }
}

/** Calls the observer with every dispatch of ours until the returned function is called. */
export function observeDispatches(observer: DispatchObserver): () => void {
  observers.add(observer);
  return () => observers.delete(observer);
}

/** Splits a number of workgroups over x and y, since one dimension takes 65535; the shader must skip the surplus. */
export function foldWorkgroups(count: number): [number, number] {
  const limit = backendInternals().device.limits.maxComputeWorkgroupsPerDimension;
  if (count <= limit) return [count, 1];
  const y = Math.ceil(count / limit);
  return [Math.ceil(count / y), y];
}

function compile(device: GPUDevice, { shader, constants = {} }: Dispatch): GPUComputePipeline {
  let cache = pipelines.get(device);
  if (cache === undefined) pipelines.set(device, cache = new Map());
  const key = shaderKey(shader, constants);
  let pipeline = cache.get(key);
  if (pipeline === undefined) {
    const code = expandShader(shader, constants);
    const module = device.createShaderModule({ code, label: key });
    pipeline = device.createComputePipeline({
      layout: "auto",
      label: key,
      compute: { module, entryPoint: "main" },
    });
    cache.set(key, pipeline);
  }
  return pipeline;
}

function packUniforms(
  internals: BackendInternals,
  uniforms: Readonly<Record<string, UniformValue>>,
): GPUBuffer {
  const values = Object.values(uniforms);
  const bytes = new ArrayBuffer(Math.ceil(values.length / 4) * 16);
  const view = new DataView(bytes);
  values.forEach((value, i) => {
    if (typeof value === "number") view.setUint32(4 * i, value, true);
    else view.setFloat32(4 * i, value.f32, true);
  });
  const usage = GPUBufferUsage.COPY_DST | GPUBufferUsage.UNIFORM;
  const buffer = internals.bufferManager.acquireBuffer(bytes.byteLength, usage);
  internals.device.queue.writeBuffer(buffer, 0, bytes);
  internals.uniformPendingDisposal.push(buffer);
  return buffer;
}

function isInput(input: TensorInfo | Input): input is Input {
  return "tensor" in input;
}

/**
 * Records a dispatch.
 *
 * @returns the outputs, in order; an in-place one is the given tensor
 * @throws {SyntaxError} if the shader cannot be expanded
 */
export function run(dispatch: Dispatch): TensorInfo[] {
  const internals = backendInternals();
  const { device } = internals;
  const inputs = dispatch.inputs.map((input): Input => isInput(input) ? input : { tensor: input });
  const outputs = dispatch.outputs.map((output): TensorInfo =>
    "inPlace" in output ? output.inPlace : internals.makeTensorInfo(output.shape, output.dtype ?? "float32")
  );
  for (const { dataId } of [...inputs.map(({ tensor }) => tensor), ...outputs]) internals.uploadToGPU(dataId);
  dispatch.outputs.forEach((output, i) => {
    // tfjs keeps the values of a tensor that was read; an update in place makes them stale.
    if ("inPlace" in output) internals.tensorMap.get(outputs[i].dataId).values = null;
  });
  const pipeline = compile(device, dispatch);
  const bufferOf = ({ dataId }: TensorInfo) => internals.tensorMap.get(dataId).resource!;
  const entries: { buffer: GPUBuffer; offset?: number; size?: number }[] = inputs.map((input, binding) => {
    const buffer = bufferOf(input.tensor);
    if (input.as === "uniform") return { buffer: fillWindow(internals, binding, buffer, input) };
    return { buffer, offset: input.offset, size: input.size };
  });
  outputs.forEach((output) => entries.push({ buffer: bufferOf(output) }));
  if (dispatch.uniforms !== undefined) entries.push({ buffer: packUniforms(internals, dispatch.uniforms) });

  if (poisoned) {
    poison(
      internals,
      dispatch.outputs.map((output, i) => "inPlace" in output ? undefined : outputs[i]),
    );
  }
  internals.ensureCommandEncoderReady();
  internals.computePassEncoder ??= internals.commandEncoder.beginComputePass();
  const pass = internals.computePassEncoder;
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: entries.map((resource, binding) => ({ binding, resource })),
    }),
  );
  const [x, y = 1, z = 1] = dispatch.workgroups;
  pass.dispatchWorkgroups(x, y, z);
  // A tensor that is disposed before the submit keeps its buffer until then.
  for (const { tensor } of inputs) internals.commandQueueOwnedIds.add(tensor.dataId);
  for (const { dataId } of outputs) internals.commandQueueOwnedIds.add(dataId);
  observers.forEach((observer) => observer(dispatch.shader.file, dispatch));
  internals.dispatchCountInPass++;
  if (internals.dispatchCountInPass >= (env().get("WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE") as number)) {
    internals.endComputePassEncoder();
    internals.submitQueue();
  }
  return outputs;
}

/** Overwrites new outputs with a bit pattern that reads as NaN. */
function poison(internals: BackendInternals, outputs: readonly (TensorInfo | undefined)[]): void {
  const { device } = internals;
  for (const output of outputs) {
    if (output === undefined) continue;
    const target = internals.tensorMap.get(output.dataId).resource!;
    const source = device.createBuffer({
      size: target.size,
      usage: GPUBufferUsage.COPY_SRC,
      mappedAtCreation: true,
    });
    new Uint8Array(source.getMappedRange()).fill(0xff);
    source.unmap();
    internals.ensureCommandEncoderReady();
    internals.endComputePassEncoder();
    internals.commandEncoder.copyBufferToBuffer(source, 0, target, 0, target.size);
  }
}

/** A tensor in another shape on the same buffer; the caller owns one more reference. */
export function reshapeInfo(tensor: TensorInfo, shape: number[]): TensorInfo {
  const backend = tf.backend() as unknown as { incRef(id: object): void };
  backend.incRef(tensor.dataId);
  return { dataId: tensor.dataId, shape, dtype: tensor.dtype };
}

/** Gives an intermediate tensor back; its buffer lives until the commands that use it are submitted. */
export function release(tensor: TensorInfo): void {
  (tf.backend() as unknown as { disposeData(id: object): boolean }).disposeData(tensor.dataId);
}
