/**
 * One dispatch on tfjs's own buffers and command encoder: several inputs, several outputs, uniforms by name. No readback,
 * and no submit but where tfjs makes one, after so many dispatches. This is the file that uses the backend's private
 * members; buffer_pool.ts and backend.ts replace some, scope.ts and debug.ts wrap one each.
 *
 * A shader's bindings are, in this order: the inputs, the outputs, then the uniforms, if it has any. (What it reads from
 * textures is bound by wgsl.ts.)
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { env, type TensorInfo } from "@tensorflow/tfjs";
import { bindGroup, type BoundResource, newBindGroup } from "./bind_groups.ts";
import type { BufferPool } from "./buffer_pool.ts";
import { debug, dispatchText } from "./debug.ts";
import { type AdapterTraits, adapterTraits } from "./device.ts";
import { boundOf, type Dispatch, inputOf, requireDispatch, type UniformValue } from "./dispatch.ts";
import { type CommandHook, type ComputePass, hookedEncoder } from "./hook.ts";
import intToFloatSource from "./int_to_float.wgsl" with { type: "text" };
import { compile } from "./pipeline.ts";
import { requireTexture, toTextures } from "./textures.ts";
import { uniformBuffer } from "./uniform_buffers.ts";
import { packUniforms } from "./uniforms.ts";
import { type BufferPart, bytesOf, copyBytes, isPart, moveOut, partOf, type Resource } from "./views.ts";

export type { Dispatch, Input, Output, UniformValue } from "./dispatch.ts";
import { sizeOf } from "./shapes.ts";

/** The private members of tfjs's WebGPUBackend 4.22 that are used; a test asserts that each is there. */
export interface BackendInternals {
  readonly device: GPUDevice;
  readonly tensorMap: {
    has(id: object): boolean;
    get(id: object): { resource?: Resource; values?: unknown; refCount: number; dtype: string };
  };
  readonly bufferManager: BufferPool;
  uploadToGPU(id: object): void;
  /** ours, see backend.ts */
  forgetValues(id: object): void;
  makeTensorInfo(shape: number[], dtype: string, values?: Float32Array): TensorInfo;
  incRef(id: object): void;
  disposeData(id: object): boolean;
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
  commandEncoder: GPUCommandEncoder | null;
  computePassEncoder: ComputePass | null;
  commandQueueOwnedIds: WeakSet<object>;
  stagingPendingDisposal: GPUBuffer[];
  dispatchCountInPass: number;
}

/** tfjs's flag: dispatches per submit. */
const BATCH_FLAG = "WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE";

/** Is told while commands are captured what the commands do not tell; see capture.ts. */
export interface CaptureSink {
  /** @returns the buffer of a dispatch's uniforms, with these bytes; `pack` makes them anew */
  uniforms(bytes: ArrayBuffer, values: Iterable<UniformValue>, pack: () => ArrayBuffer): GPUBuffer;
  /** a tensor is new */
  made(dataId: object): void;
  /** a command may read or write a tensor */
  used(dataId: object): void;
  /** a tensor that was there before is written to */
  written(dataId: object): void;
}

/** Is told of every new output before it has a buffer; it may give it a part of one, see views.ts. */
export type Placer = (output: TensorInfo) => void;

let current: Dispatch | undefined; // while `run` records it
let hooked = false;
let poisoned = false;
let sink: CaptureSink | undefined;
let placer: Placer | undefined;

/** The backend's private side. */
export function backendInternals(): BackendInternals {
  return tf.backend() as unknown as BackendInternals;
}

/** The traits of the adapter that runs. */
export function currentTraits(): AdapterTraits {
  return adapterTraits(backendInternals().device);
}

/** Fills outputs with NaN before each dispatch while `body` runs, so that an element that is not written shows. */
export function withPoisonedOutputs<T>(body: () => T): T {
  const before = poisoned;
  poisoned = true;
  try {
    return body();
  } finally {
    poisoned = before;
  }
}

/** Lets `given` place the new outputs of what runs in `body`. */
export function withPlacer<T>(given: Placer, body: () => T): T {
  const before = placer;
  placer = given;
  try {
    return body();
  } finally {
    placer = before;
  }
}

/** Splits a number of workgroups over x and y, since one dimension takes 65535; the shader must skip the surplus. */
export function foldWorkgroups(count: number): [number, number] {
  const limit = backendInternals().device.limits.maxComputeWorkgroupsPerDimension;
  if (count <= limit) return [count, 1];
  const y = Math.ceil(count / limit);
  return [Math.ceil(count / y), y];
}

/**
 * Records a dispatch.
 *
 * @returns the outputs, in order; an in-place one is the given tensor
 * @throws {SyntaxError} if the shader cannot be expanded; {RangeError} for an empty output, too many workgroups, a
 * tensor beyond what the adapter binds, or more lanes than a subgroup has; {TypeError} for uniforms that are not the
 * struct's
 */
export function run(dispatch: Dispatch): TensorInfo[] {
  const internals = backendInternals();
  const { device } = internals;
  const given = dispatch.inputs.map(inputOf);
  // All that may throw comes before the first buffer is taken.
  const bound = boundOf(given, dispatch.outputs);
  requireDispatch(dispatch, bound, device.limits);
  const { pipeline, layout, uniforms, textures } = compile(device, dispatch.shader, dispatch.constants);
  for (const { operand } of textures) requireTexture(dispatch.shader.file, bound[operand], device.limits);
  const values = dispatch.uniforms ?? {};
  const pack = () => packUniforms(dispatch.shader.file, uniforms, values);
  const bytes = pack();
  const updated = dispatch.outputs.flatMap((output) => "inPlace" in output ? [output.inPlace] : []);
  for (const tensor of updated) requireFloats(`run ${dispatch.shader.file}`, tensor);
  for (const { dataId } of [...given.map(({ tensor }) => tensor), ...updated]) internals.uploadToGPU(dataId);
  const converted = given.map(({ tensor }) => asFloats(tensor));
  const inputs = given.map((input, i) => ({ ...input, tensor: converted[i] ?? input.tensor }));
  const outputs = dispatch.outputs.map((output): TensorInfo => {
    if ("inPlace" in output) return output.inPlace;
    const made = internals.makeTensorInfo(output.shape, output.dtype ?? "float32");
    placer?.(made);
    return made;
  });
  for (const { dataId } of outputs) internals.uploadToGPU(dataId);
  dispatch.outputs.forEach((output, i) => {
    // tfjs keeps the values of a tensor that was read; an update in place makes them stale.
    if ("inPlace" in output) valuesChange(outputs[i]);
    else if (poisoned) poison(internals, outputs[i]);
  });
  // WebGPU lets a dispatch not read one part of a buffer and write another.
  const written = outputs.map(({ dataId }) => internals.tensorMap.get(dataId).resource).filter(isPart);
  for (const { tensor } of written.length > 0 ? inputs : []) {
    const { buffer } = bytesOf(internals, tensor);
    if (written.some((part) => part.buffer === buffer)) moveOut(internals, tensor.dataId);
  }
  const operands: BufferPart[] = [
    ...inputs.map(({ tensor, offset, size }) => bytesOf(internals, tensor, offset, size)),
    ...dispatch.outputs.map(({ offset, size }, i) => bytesOf(internals, outputs[i], offset, size)),
  ];
  const views = toTextures(internals, operands, textures, poisoned);
  const resources: BoundResource[] = [...operands];
  internals.ensureCommandEncoderReady();
  if (bytes.byteLength > 0) {
    const buffer = sink?.uniforms(bytes, Object.values(values), pack) ??
      uniformBuffer(device, internals.commandEncoder!, bytes);
    resources.push(partOf(buffer));
  }
  textures.forEach(({ binding }, i) => resources[binding] = views[i]);
  const group = (sink === undefined ? bindGroup : newBindGroup)(device, layout, resources);
  record(internals, pipeline, group, dispatch);
  debug(2, () => dispatchText(dispatch));
  // A tensor that is disposed before the submit keeps its buffer until then.
  for (const { tensor } of inputs) internals.commandQueueOwnedIds.add(tensor.dataId);
  for (const { dataId } of outputs) internals.commandQueueOwnedIds.add(dataId);
  converted.forEach((tensor) => tensor && release(tensor));
  if (internals.dispatchCountInPass >= (env().get(BATCH_FLAG) as number)) {
    internals.endComputePassEncoder();
    internals.submitQueue();
  }
  return outputs;
}

/** True for a float32 tensor that tfjs cast from integers: it keeps their buffer, and tfjs's kernels read it by its type. */
function holdsIntegers({ dataId, dtype }: TensorInfo): boolean {
  return dtype === "float32" && backendInternals().tensorMap.get(dataId).dtype !== "float32";
}

/** @throws {TypeError} for a tensor that tfjs cast from integers: it cannot be written to as floats */
export function requireFloats(action: string, tensor: TensorInfo): void {
  if (!holdsIntegers(tensor)) return;
  throw new TypeError(
    `Cannot ${action}: a tensor of shape [${tensor.shape}] that tfjs cast from integers is written to; expected one that ` +
      "was made of floats",
  );
}

/** What tfjs cast from integers, as floats: a new tensor. Undefined for any other tensor. */
export function asFloats(tensor: TensorInfo): TensorInfo | undefined {
  if (!holdsIntegers(tensor)) return undefined;
  const count = sizeOf(tensor.shape);
  const workgroups = foldWorkgroups(Math.ceil(count / 64));
  const [floats] = run({
    shader: { file: "runtime/int_to_float.wgsl", source: intToFloatSource },
    inputs: [{ ...tensor, dtype: "int32" }],
    outputs: [{ shape: tensor.shape }],
    uniforms: { count, row: 64 * workgroups[0] },
    workgroups,
  });
  return floats;
}

function record(
  internals: BackendInternals,
  pipeline: GPUComputePipeline,
  group: GPUBindGroup,
  dispatch: Dispatch,
): void {
  internals.computePassEncoder ??= internals.commandEncoder!.beginComputePass();
  const pass = internals.computePassEncoder;
  current = dispatch;
  try {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...dispatch.workgroups);
  } finally {
    current = undefined;
  }
  internals.dispatchCountInPass++;
}

/** Overwrites a new output with a bit pattern that reads as NaN. */
function poison(internals: BackendInternals, output: TensorInfo): void {
  const target = bytesOf(internals, output);
  const usage = GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC;
  const source = internals.bufferManager.acquireBuffer(target.size, usage, true, false);
  new Uint8Array(source.getMappedRange()).fill(0xff);
  source.unmap();
  copyBytes(internals, partOf(source, 0, target.size), target);
  internals.stagingPendingDisposal.push(source);
}

/** The device writes to the tensor: what the host knows of it is of before. */
export function valuesChange({ dataId }: TensorInfo): void {
  backendInternals().forgetValues(dataId);
  sink?.written(dataId);
}

/** Submits what has been recorded. */
export function submit(): void {
  const internals = backendInternals();
  internals.endComputePassEncoder();
  if (internals.commandEncoder !== null) internals.submitQueue();
}

/**
 * Lets `wrap` have every command encoder before anything is recorded into it, until the returned function is called.
 * Submits at its begin and end.
 *
 * @returns whose result is false once it has been called before
 * @throws {Error} if somebody has them already
 */
function wrapEncoders(wrap: (encoder: GPUCommandEncoder) => GPUCommandEncoder): () => boolean {
  if (hooked) throw new Error("Cannot watch commands: a timing, counting or capturing session runs already");
  const internals = backendInternals();
  submit();
  hooked = true;
  // An own method hides the prototype's.
  internals.ensureCommandEncoderReady = () => {
    internals.commandEncoder ??= wrap(internals.device.createCommandEncoder());
  };
  let over = false;
  return () => {
    if (over) return false;
    over = true;
    submit();
    delete (internals as Partial<BackendInternals>).ensureCommandEncoderReady;
    hooked = false;
    return true;
  };
}

/**
 * Hands every dispatch and copy to the hook, each dispatch in a pass of its own, until the returned function is
 * called. Submits at its begin and end; between them only `submit` and reads do, so that the device never waits for
 * the host within a submission. Buffers come back at the submit.
 *
 * @throws {Error} if commands are hooked or captured already
 */
export function hookCommands(hook: CommandHook): () => void {
  const unwrap = wrapEncoders((encoder) => hookedEncoder(encoder, hook, () => current));
  const batch = env().get(BATCH_FLAG);
  env().set(BATCH_FLAG, Infinity);
  return () => {
    if (unwrap()) env().set(BATCH_FLAG, batch);
  };
}

/** True while commands are hooked or captured. */
export function isHooked(): boolean {
  return hooked;
}

/** True while commands are captured. */
export function isCapturing(): boolean {
  return sink !== undefined;
}

/** True unless commands are hooked or captured, or outputs poisoned. */
export function canCapture(): boolean {
  return !hooked && !poisoned;
}

/**
 * Runs a body that only records, with its command encoders wrapped; see capture.ts, its one caller.
 *
 * @param capturing is told what the commands do not tell
 * @throws {Error} if commands are hooked or captured already; if a tensor's values come from the host
 */
export function withCapture<T>(
  capturing: CaptureSink,
  wrap: (encoder: GPUCommandEncoder) => GPUCommandEncoder,
  body: () => T,
): T {
  const internals = backendInternals();
  const unwrap = wrapEncoders(wrap);
  const { makeTensorInfo: make, uploadToGPU: upload } = internals;
  internals.makeTensorInfo = (...values) => {
    const info = make.apply(internals, values);
    capturing.made(info.dataId);
    return info;
  };
  internals.uploadToGPU = (id) => {
    const { resource, values } = internals.tensorMap.get(id);
    if (!resource && values) {
      const given = values as ArrayLike<number>;
      throw new Error(
        `Cannot capture commands: the host gives a tensor its values, ${given.length} of them, first ${
          given[0]
        }; ` +
          "expected one that was on the device before: make it once, ahead of what is captured, and keep it",
      );
    }
    upload.call(internals, id);
    capturing.used(id);
  };
  sink = capturing;
  try {
    const value = body();
    submit();
    return value;
  } finally {
    sink = undefined;
    delete (internals as Partial<BackendInternals>).makeTensorInfo;
    delete (internals as Partial<BackendInternals>).uploadToGPU;
    unwrap();
  }
}

/** A tensor in another shape on the same buffer; the caller owns one more reference. */
export function reshapeInfo(tensor: TensorInfo, shape: number[]): TensorInfo {
  backendInternals().incRef(tensor.dataId);
  return { dataId: tensor.dataId, shape, dtype: tensor.dtype };
}

/** Gives an intermediate tensor back; its buffer lives until the commands that use it are submitted. */
export function release(tensor: TensorInfo): void {
  backendInternals().disposeData(tensor.dataId);
}
