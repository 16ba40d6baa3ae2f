import { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { BufferPool, withBufferPool } from "../../../kernels/runtime/buffer_pool.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals } from "../../../kernels/runtime/program.ts";

await initializeDevice();

const USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
const { device } = backendInternals();

Deno.test("the oldest free buffer serves first, in whatever order they came back", () => {
  const pool = new BufferPool(device);
  const made = Array.from({ length: 5 }, () => pool.acquireBuffer(64, USAGE));
  assertEquals(new Set(made).size, 5);
  for (const i of [3, 0, 4, 2]) pool.releaseBuffer(made[i]);
  assertEquals([0, 2, 3, 4].map(() => made.indexOf(pool.acquireBuffer(64, USAGE))), [0, 2, 3, 4]);
  pool.releaseBuffer(made[4]);
  pool.releaseBuffer(made[1]);
  assert(pool.acquireBuffer(64, USAGE) === made[1]);
  pool.dispose();
});

Deno.test("a buffer serves its size and usage alone", () => {
  const pool = new BufferPool(device);
  const buffer = pool.acquireBuffer(64, USAGE);
  pool.releaseBuffer(buffer);
  const larger = pool.acquireBuffer(68, USAGE);
  const other = pool.acquireBuffer(64, USAGE | GPUBufferUsage.COPY_DST);
  const fresh = pool.acquireBuffer(64, USAGE, false, false);
  assertEquals([larger.size, other.size, fresh.size], [68, 64, 64]);
  assertEquals(other.usage, USAGE | GPUBufferUsage.COPY_DST);
  for (const taken of [larger, other, fresh]) assert(taken !== buffer);
  assert(pool.acquireBuffer(64, USAGE) === buffer);
  pool.dispose();
});

Deno.test("the pool counts bytes and buffers, and destroys what is not to serve again", () => {
  const pool = new BufferPool(device);
  const counts = () => [
    pool.numBytesUsed,
    pool.numBytesAllocated,
    pool.getNumUsedBuffers(),
    pool.getNumFreeBuffers(),
  ];
  const [a, b] = [pool.acquireBuffer(64, USAGE), pool.acquireBuffer(32, USAGE, true)];
  assertEquals(b.mapState, "mapped");
  b.unmap();
  assertEquals(counts(), [96, 96, 2, 0]);
  pool.releaseBuffer(a);
  assertEquals(counts(), [32, 96, 1, 1]);
  pool.releaseBuffer(b, false);
  assertEquals(counts(), [0, 64, 0, 1]);
  assertThrows(() => pool.releaseBuffer(a), Error, "Cannot give a buffer back: it is not in use");
  assertThrows(() => pool.releaseBuffer(b), Error, "Cannot give a buffer back: it is not in use");
  const again = pool.acquireBuffer(64, USAGE);
  pool.dispose();
  assertEquals(counts(), [0, 0, 0, 0]);
  pool.releaseBuffer(again);
  assertEquals(counts(), [0, 0, 0, 0]);
});

Deno.test("the pool has every method and count of the manager that it replaces, and that tfjs reads", () => {
  const backend = new WebGPUBackend(device, device.adapterInfo);
  const stock = (backend as unknown as { bufferManager: object }).bufferManager;
  const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(stock));
  assert(methods.includes("acquireBuffer"));
  withBufferPool(backend, device);
  const ours = (backend as unknown as { bufferManager: BufferPool }).bufferManager;
  assert(ours instanceof BufferPool);
  for (const name of methods) assert(name in ours, `BufferPool has no ${name}`);
  const { numBytesInGPU, numBytesAllocatedInGPU } = backend.memory() as unknown as Record<string, number>;
  assertEquals([numBytesInGPU, numBytesAllocatedInGPU], [0, 0]);
  backend.dispose();
});
