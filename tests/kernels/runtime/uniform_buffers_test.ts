import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals } from "@std/assert";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals, foldWorkgroups, release, run } from "../../../kernels/runtime/program.ts";
import { uniformBuffer } from "../../../kernels/runtime/uniform_buffers.ts";
import severalSource from "./shaders/several.wgsl" with { type: "text" };

await initializeDevice();

const SEVERAL = { file: "shaders/several.wgsl", source: severalSource };

/** Sixteen bytes that begin with a word. */
function bytesOf(word: number): ArrayBuffer {
  return new Uint32Array([word, 0, 0, 0]).buffer;
}

Deno.test("the same uniforms have one buffer, others another one", () => {
  const { device } = backendInternals();
  const first = uniformBuffer(device, bytesOf(7));
  assert(uniformBuffer(device, bytesOf(7)) === first);
  assert(uniformBuffer(device, bytesOf(8)) !== first);
  assert(uniformBuffer(device, new Uint32Array([7, 0, 0, 0, 0, 0, 0, 0]).buffer) !== first);
});

Deno.test("a dispatch keeps its uniforms, however many others follow before the submit", async () => {
  const [a, b] = [tf.tensor1d([1, 2]), tf.tensor1d([10, 20])];
  const dispatch = (shift: number) =>
    run({
      shader: SEVERAL,
      inputs: [a, b],
      outputs: [{ shape: [2] }, { shape: [2], dtype: "int32" }],
      uniforms: { row: 8, a_first: 0, shift, scale: 2, count: 2 },
      workgroups: foldWorkgroups(1),
    });
  const [first, firstIndices] = dispatch(-5);
  const { device } = backendInternals();
  for (let word = 0; word < 5000; word++) uniformBuffer(device, bytesOf(1e6 + word));
  const [second, secondIndices] = dispatch(3);
  assertEquals(Array.from(await tf.backend().read(first.dataId) as Float32Array), [17, 39]);
  assertEquals(Array.from(await tf.backend().read(second.dataId) as Float32Array), [25, 47]);
  [first, firstIndices, second, secondIndices].forEach(release);
  tf.dispose([a, b]);
});
