import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assert, assertEquals } from "@std/assert";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import {
  backendInternals,
  release,
  run,
  submit,
  withPlacer,
  withPoisonedOutputs,
} from "../../../kernels/runtime/program.ts";
import { copyTensors, emptyTensor, writeTensor } from "../../../kernels/runtime/tensors.ts";
import { isPart, liesIn, moveIn, moveOut, partOf } from "../../../kernels/runtime/views.ts";
import { several } from "./_several.ts";
import inPlaceSource from "./shaders/in_place.wgsl" with { type: "text" };

await initializeDevice();

const IN_PLACE = { file: "shaders/in_place.wgsl", source: inPlaceSource };
const OFFSET = 256; // bytes: what WebGPU lets every adapter ask for

const resourceOf = ({ dataId }: TensorInfo) => backendInternals().tensorMap.get(dataId).resource!;

/** A tensor [128] that counts from 0, and a part of it [4], from its element 64 on. */
function begin() {
  const whole = tf.tidy(() => tf.range(0, 128).add(0));
  backendInternals().uploadToGPU(whole.dataId);
  const part = partOf(resourceOf(whole), OFFSET, 16);
  const info = emptyTensor([4]);
  moveIn(backendInternals(), info.dataId, part);
  const view = tf.engine().makeTensorFromTensorInfo(info) as tf.Tensor1D;
  return { whole, part, view, dispose: () => tf.dispose([whole, view]) };
}

Deno.test("a part of a buffer is read, by the host, by tfjs's kernels and by ours", async () => {
  const { view, dispose } = begin();
  assertEquals([...await view.data()], [64, 65, 66, 67]);
  assertEquals([...await tf.tidy(() => view.add(1)).data()], [65, 66, 67, 68]);
  const zeros = tf.zeros([4]);
  const [sum, numbers] = several(view, zeros, { count: 4 });
  assertEquals([...await tf.backend().read(sum.dataId) as Float32Array], [64, 65, 66, 67]);
  backendInternals().tensorMap.get(view.dataId).values = null; // what the host has read
  const { tensorRef, buffer } = view.dataToGPU();
  assertEquals(buffer!.size, 16);
  assertEquals([...await tensorRef.data()], [64, 65, 66, 67]);
  assert(isPart(resourceOf(view)));
  [sum, numbers].forEach(release);
  tf.dispose([zeros, tensorRef]);
  dispose();
});

Deno.test("a part is written by a dispatch, a copy and the host, and what is beside it stays", async () => {
  const { whole, view, dispose } = begin();
  const x = tf.tensor1d([1, 2, 3, 4]);
  run({
    shader: IN_PLACE,
    constants: { ODD: 0 },
    inputs: [x],
    outputs: [{ inPlace: view }],
    workgroups: [1],
  });
  assertEquals([...await view.data()], [65, 65, 69, 67]);
  copyTensors([{ from: x, fromOffset: 4, to: view, toOffset: 8, size: 8 }]);
  assertEquals([...await view.data()], [65, 65, 2, 3]);
  writeTensor(view, Float32Array.of(-1, -2, 2, 3));
  assertEquals([...(await whole.data()).slice(62, 70)], [62, 63, -1, -2, 2, 3, 68, 69]);
  tf.dispose(x);
  dispose();
});

Deno.test("a part that is read where another is written, or copied within its buffer, moves out", async () => {
  const { whole, part, view, dispose } = begin();
  const other = emptyTensor([4]);
  moveIn(backendInternals(), other.dataId, partOf(part.buffer, 0, 16));
  run({
    shader: IN_PLACE,
    constants: { ODD: 1 },
    inputs: [view],
    outputs: [{ inPlace: other }],
    workgroups: [1],
  });
  assertEquals([...await tf.backend().read(other.dataId) as Float32Array], [0, 66, 2, 70]);
  assert(!isPart(resourceOf(view)));
  assertEquals([...await view.data()], [64, 65, 66, 67]);
  copyTensors([{ from: other, fromOffset: 0, to: whole, toOffset: 16, size: 16 }]);
  assertEquals([...(await whole.data()).slice(0, 9)], [0, 66, 2, 70, 0, 66, 2, 70, 8]);
  assert(!liesIn(backendInternals(), other.dataId, partOf(part.buffer, 0, 16)));
  release(other);
  dispose();
});

Deno.test("a new output that is placed is poisoned, and gives nothing back but itself", async () => {
  const { whole, part, view, dispose } = begin();
  view.dispose();
  submit();
  const { bufferManager, tensorMap } = backendInternals();
  const ones = tf.ones([4]);
  backendInternals().uploadToGPU(ones.dataId);
  const before = bufferManager.getNumUsedBuffers();
  const [sum, numbers] = withPlacer(
    (output) => output.dtype === "float32" && moveIn(backendInternals(), output.dataId, part),
    () => withPoisonedOutputs(() => several(ones, ones, { count: 3 })),
  );
  release(numbers);
  const read = [...await tf.backend().read(sum.dataId) as Float32Array];
  assertEquals(read, [2, 2, 2, NaN]);
  assertEquals([...(await whole.data()).slice(63, 69)], [63, 2, 2, 2, NaN, 68]);
  assertEquals(bufferManager.getNumUsedBuffers(), before);
  release(sum);
  submit();
  assert(!tensorMap.has(sum.dataId));
  assertEquals(bufferManager.getNumUsedBuffers(), before);
  tf.dispose(ones);
  dispose();
});

Deno.test("a tensor that has moved out gives its buffer back", () => {
  const { view, dispose } = begin();
  submit();
  const { bufferManager } = backendInternals();
  const before = bufferManager.getNumUsedBuffers();
  moveOut(backendInternals(), view.dataId);
  moveOut(backendInternals(), view.dataId); // nothing more to do
  assertEquals(bufferManager.getNumUsedBuffers(), before + 1);
  dispose();
  submit();
  assertEquals(bufferManager.getNumUsedBuffers(), before - 1);
});

Deno.test("what moves out keeps its buffer until the copy is submitted, though it is disposed at once", async () => {
  const { view, dispose } = begin();
  submit();
  moveOut(backendInternals(), view.dataId);
  dispose();
  // Takes the buffers that are free, and writes to them before what is recorded runs.
  const others = Array.from({ length: 6 }, (_, i) => tf.tensor1d([i, 20, 30, 40]));
  const sums = others.map((other) => several(other, other, { scale: 0.5 }));
  for (const [i, [sum, numbers]] of sums.entries()) {
    assertEquals([...await tf.backend().read(sum.dataId) as Float32Array], [i, 20, 30, 40]);
    [sum, numbers].forEach(release);
  }
  tf.dispose(others);
});
