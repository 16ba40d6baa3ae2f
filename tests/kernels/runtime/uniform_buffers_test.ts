import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals } from "@std/assert";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals, release } from "../../../kernels/runtime/program.ts";
import { uniformBuffer } from "../../../kernels/runtime/uniform_buffers.ts";
import { several } from "./_several.ts";

await initializeDevice();

/** Sixteen bytes that begin with a word. */
function bytesOf(word: number): ArrayBuffer {
  return new Uint32Array([word, 0, 0, 0]).buffer;
}

Deno.test("the same uniforms have one buffer, others another one", () => {
  const { device } = backendInternals();
  const encoder = device.createCommandEncoder();
  const bufferOf = (bytes: ArrayBuffer) => uniformBuffer(device, encoder, bytes);
  const first = bufferOf(bytesOf(7));
  assert(bufferOf(bytesOf(7)) === first);
  assert(bufferOf(bytesOf(8)) !== first);
  assert(bufferOf(new Uint32Array([7, 0, 0, 0, 0, 0, 0, 0]).buffer) !== first);
});

Deno.test("a dispatch keeps its uniforms, however many others follow before the submit", async () => {
  const [a, b] = [tf.tensor1d([1, 2]), tf.tensor1d([10, 20])];
  const dispatch = (shift: number) => several(a, b, { shift, scale: 2 });
  const [first, firstIndices] = dispatch(-5);
  const { device, commandEncoder } = backendInternals();
  for (let word = 0; word < 5000; word++) uniformBuffer(device, commandEncoder!, bytesOf(1e6 + word));
  const [second, secondIndices] = dispatch(3);
  assertEquals(Array.from(await tf.backend().read(first.dataId) as Float32Array), [17, 39]);
  assertEquals(Array.from(await tf.backend().read(second.dataId) as Float32Array), [25, 47]);
  [first, firstIndices, second, secondIndices].forEach(release);
  tf.dispose([a, b]);
});

Deno.test("uniforms that are not used any more are destroyed, those of an unsubmitted command are not", () => {
  const { device } = backendInternals();
  const [earlier, current] = [device.createCommandEncoder(), device.createCommandEncoder()];
  const destroyed = new Set<number>();
  const watch = (encoder: GPUCommandEncoder, word: number) => {
    const buffer = uniformBuffer(device, encoder, bytesOf(word));
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      destroyed.add(word);
      return destroy();
    };
  };
  const words = Array.from({ length: 4096 }, (_, i) => 2e6 + i);
  words.forEach((word) => watch(earlier, word));
  uniformBuffer(device, current, bytesOf(2e6 + 1)); // used again
  Array.from({ length: 3000 }, (_, i) => 3e6 + i).forEach((word) => watch(current, word));
  assert(destroyed.size >= 2000, `${destroyed.size}`);
  assert(destroyed.has(2e6) && destroyed.has(2e6 + 2));
  assert(!destroyed.has(2e6 + 1) && [...destroyed].every((word) => word < 3e6));
});
