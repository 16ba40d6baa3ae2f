import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import {
  type BackendInternals,
  backendInternals,
  currentTraits,
  foldWorkgroups,
  release,
  reshapeInfo,
  run,
  submit,
  withPoisonedOutputs,
} from "../../../kernels/runtime/program.ts";
import { SEVERAL, several } from "./_several.ts";
import inPlaceSource from "./shaders/in_place.wgsl" with { type: "text" };
import lanesSource from "./shaders/lanes.wgsl" with { type: "text" };

await initializeDevice();

const IN_PLACE = { file: "shaders/in_place.wgsl", source: inPlaceSource };

async function read(info: TensorInfo): Promise<number[]> {
  return Array.from(await tf.backend().read(info.dataId) as Float32Array);
}

/** Buffers of tfjs that are in use. */
function buffersInUse(): number {
  submit();
  const { bufferManager } = backendInternals() as unknown as {
    bufferManager: { getNumUsedBuffers(): number };
  };
  return bufferManager.getNumUsedBuffers();
}

Deno.test("tfjs has every private member that is used", () => {
  const kinds: Record<Exclude<keyof BackendInternals, "forgetValues">, string> = {
    device: "object",
    tensorMap: "object",
    bufferManager: "object",
    uploadToGPU: "function",
    makeTensorInfo: "function",
    incRef: "function",
    disposeData: "function",
    ensureCommandEncoderReady: "function",
    endComputePassEncoder: "function",
    submitQueue: "function",
    commandEncoder: "object", // null between submits
    computePassEncoder: "object",
    commandQueueOwnedIds: "object",
    stagingPendingDisposal: "object",
    dispatchCountInPass: "number",
  };
  const internals = backendInternals() as unknown as Record<string, unknown>;
  submit();
  for (const [name, kind] of Object.entries(kinds)) {
    assert(name in internals, `WebGPUBackend has no ${name}`);
    assertEquals(typeof internals[name], kind, name);
  }
  assert(backendInternals().commandQueueOwnedIds instanceof WeakSet);
  assert(Array.isArray(internals.stagingPendingDisposal));
  assertEquals(typeof backendInternals().bufferManager.acquireBuffer, "function");
  assertEquals(typeof backendInternals().tensorMap.get, "function");
  const data = tf.backend() as unknown as { tensorMap: { get(id: object): Record<string, unknown> } };
  const x = tf.tensor1d([1]);
  for (const name of ["values", "refCount", "dtype"]) assert(name in data.tensorMap.get(x.dataId), name);
  backendInternals().uploadToGPU(x.dataId);
  assert(data.tensorMap.get(x.dataId).resource instanceof GPUBuffer);
  x.dispose();
  // What ours hide or wrap: backend.ts, views.ts, debug.ts, scope.ts.
  const theirs = WebGPUBackend.prototype as unknown as Record<string, unknown>;
  for (const name of ["uploadToGPU", "read", "getBufferData", "readToGPU", "runWebGPUProgram"]) {
    assertEquals(typeof theirs[name], "function", `WebGPUBackend's ${name}`);
  }
  assertMatch(String(theirs.releaseResource), /external/);
  const engine = tf.engine() as unknown as { addTapeNode: unknown; state: { activeTape: unknown } };
  assertEquals(typeof engine.addTapeNode, "function");
  tf.tidy(() =>
    tf.grad((a) => {
      assert(Array.isArray(engine.state.activeTape), "tfjs's engine has no tape");
      return a.square();
    })(tf.scalar(1))
  );
});

Deno.test("several inputs and outputs, uniforms by name in any order", async () => {
  const a = tf.tensor1d([1, 2, 3]);
  const b = tf.tensor1d([10, 20, 30]);
  const [sum, numbers] = several(a, b, { scale: 0.5, shift: -2 });
  assertEquals(sum.dtype, "float32");
  assertEquals(numbers.dtype, "int32");
  assertEquals(await read(sum), [3.5, 9, 14.5]);
  assertEquals(await read(numbers), [-2, -1, 0]);
  [sum, numbers].forEach(release);
  tf.dispose([a, b]);
});

Deno.test("more than 65535 workgroups", async () => {
  const size = 8 * 65536 + 5;
  assertEquals(foldWorkgroups(65535), [65535, 1]);
  assertEquals(foldWorkgroups(65537), [32769, 2]);
  const a = tf.range(0, size);
  const b = tf.zeros([size]);
  const [sum, numbers] = several(a, b);
  const values = await read(sum);
  assertEquals(values.findIndex((value, i) => value !== i), -1);
  [sum, numbers].forEach(release);
  tf.dispose([a, b]);
});

Deno.test("part of an input", async () => {
  const a = tf.range(0, 200);
  const b = tf.zeros([8]);
  const uniforms = { row: 8, a_first: 0, shift: 0, scale: 1, count: 8 };
  const [sum, numbers] = run({
    shader: SEVERAL,
    inputs: [{ tensor: a, offset: 256, size: 32 }, b],
    outputs: [{ shape: [8] }, { shape: [8], dtype: "int32" }],
    uniforms,
    workgroups: [1],
  });
  assertEquals(await read(sum), [64, 65, 66, 67, 68, 69, 70, 71]);
  [sum, numbers].forEach(release);
  tf.dispose([a, b]);
});

Deno.test("in place, a part of an input, with a constant", async () => {
  const x = tf.range(0, 128);
  const y = tf.tensor1d([100, 100, 100, 100, 100]);
  await y.data(); // tfjs keeps what it has read
  const tensors = tf.memory().numTensors;
  for (const [ODD, offset] of [[1, 0], [0, 256]]) {
    const input = { tensor: x, offset, size: 64 };
    const [same] = run({
      shader: IN_PLACE,
      constants: { ODD },
      inputs: [input],
      outputs: [{ inPlace: y }],
      workgroups: [1],
    });
    assertEquals(same.dataId, y.dataId);
  }
  assertEquals(Array.from(await y.data()), [164, 101, 166, 103, 168]);
  assertEquals(tf.memory().numTensors, tensors);
  tf.dispose([x, y]);
});

Deno.test("a view shares the buffer until both are released", async () => {
  const x = tf.tensor1d([1, 2, 3, 4]);
  const view = reshapeInfo(x, [2, 2]);
  assertEquals(view.shape, [2, 2]);
  x.dispose();
  assertEquals(await read(view), [1, 2, 3, 4]);
  const before = tf.backend().numDataIds();
  release(view);
  submit();
  assertEquals(tf.backend().numDataIds(), before - 1);
});

Deno.test("an output element that is not written reads NaN when poisoned", async () => {
  const a = tf.ones([8]);
  const [sum, numbers] = withPoisonedOutputs(() => several(a, a, { count: 5 }));
  assertEquals(await read(sum), [2, 2, 2, 2, 2, NaN, NaN, NaN]);
  assertEquals((await read(numbers)).slice(5), [-1, -1, -1]);
  const y = tf.tensor1d([1, 2]);
  withPoisonedOutputs(() =>
    run({ shader: IN_PLACE, inputs: [a], outputs: [{ inPlace: y }], workgroups: [1] })
  );
  assertEquals(Array.from(await y.data()), [1, 3]); // what is updated in place is not poisoned
  [sum, numbers].forEach(release);
  tf.dispose([a, y]);
});

Deno.test("buffers are released exactly once", async () => {
  const a = tf.tensor1d([1, 2, 3]);
  backendInternals().uploadToGPU(a.dataId);
  const before = buffersInUse();
  for (let i = 0; i < 40; i++) { // over several submits of tfjs's own
    const [sum, numbers] = withPoisonedOutputs(() => several(a, a, { shift: i }));
    const [next, others] = several(sum, a);
    [sum, numbers, others].forEach(release);
    if (i === 39) assertEquals(await read(next), [42, 45, 48]);
    release(next);
  }
  assertEquals(buffersInUse(), before);
  a.dispose();
  assertEquals(buffersInUse(), before - 1);
});

Deno.test("a tensor that is disposed before the submit keeps its buffer until then", async () => {
  submit();
  const a = tf.tensor1d([1, 2, 3, 4]);
  const b = tf.zeros([4]);
  const [sum, numbers] = several(a, b);
  a.dispose();
  // The upload would overwrite a's buffer if it had been given back.
  const other = tf.tensor1d([9, 9, 9, 9]);
  const [otherSum, otherNumbers] = several(other, b);
  assertEquals(await read(sum), [1, 2, 3, 4]);
  assertEquals(await read(otherSum), [9, 9, 9, 9]);
  [sum, numbers, otherSum, otherNumbers].forEach(release);
  tf.dispose([b, other]);
});

Deno.test("what WebGPU would refuse is refused at once, naming the shader", () => {
  const a = tf.ones([4]);
  const uniforms = { row: 8, a_first: 0, shift: 0, scale: 1, count: 4 };
  const dispatch =
    (size: number, workgroups: [number, number?, number?], given: Record<string, number> = uniforms) => () =>
      run({
        shader: SEVERAL,
        inputs: [a, a],
        outputs: [{ shape: [size] }, { shape: [4], dtype: "int32" }],
        uniforms: given,
        workgroups,
      });
  assertThrows(dispatch(0, [1]), RangeError, "Cannot run shaders/several.wgsl: an output has shape [0]");
  assertThrows(dispatch(NaN, [1]), RangeError, "an output has shape [NaN]");
  assertThrows(dispatch(4, [0]), RangeError, "it has [0] workgroups; expected 1 to 65535 in each dimension");
  assertThrows(dispatch(4, [1, 65536]), RangeError, "it has [1,65536] workgroups");
  assertThrows(dispatch(4, [1.5]), RangeError, "it has [1.5] workgroups");
  const most = backendInternals().device.limits.maxStorageBufferBindingSize;
  assertThrows(
    dispatch(most / 4 + 1, [1]),
    RangeError,
    `a tensor of shape [${most / 4 + 1}] takes ${
      most + 4
    } bytes; expected at most the ${most} that this adapter binds`,
  );
  const { row: _, ...missing } = uniforms;
  assertThrows(
    dispatch(4, [1], missing),
    TypeError,
    "Cannot run shaders/several.wgsl: uniform row is missing",
  );
  const before = buffersInUse();
  assertThrows(dispatch(4, [1], { ...uniforms, rows: 1 }), TypeError, "there is no uniform rows");
  assertEquals(buffersInUse(), before, "a refused dispatch leaves buffers behind");
  a.dispose();
});

Deno.test("integers that tfjs cast to float32 are read as floats, from the host and from the device", async () => {
  const before = buffersInUse();
  const integers = tf.tensor1d([1, -2, 300000], "int32");
  const cast = integers.toFloat();
  const one = tf.scalar(1, "int32");
  const onDevice = integers.add(one);
  const castOnDevice = onDevice.toFloat();
  const flags = tf.tidy(() => tf.tensor1d([true, false, true]).toFloat());
  const outputs = [
    several(cast, castOnDevice),
    several(flags, cast),
  ];
  assertEquals(await read(outputs[0][0]), [3, -3, 600001]);
  assertEquals(await read(outputs[1][0]), [2, -2, 300001]);
  outputs.flat().forEach(release);
  tf.dispose([integers, cast, one, onDevice, castOnDevice, flags]);
  assertEquals(buffersInUse(), before);
});

Deno.test("lanes that are more than a subgroup are refused, before anything is allocated", () => {
  const { subgroupSize } = currentTraits();
  const buffers = buffersInUse();
  const shader = { file: "shaders/lanes.wgsl", source: lanesSource };
  const lanes = 2 * Math.max(1, subgroupSize);
  assertThrows(
    () =>
      run({ shader, constants: { LANES: lanes }, inputs: [], outputs: [{ shape: [8] }], workgroups: [1] }),
    RangeError,
    `Cannot run shaders/lanes.wgsl: ${lanes} lanes share values; expected at most the ${subgroupSize}`,
  );
  assertEquals(buffersInUse(), buffers);
});
