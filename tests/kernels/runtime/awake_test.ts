import { assertEquals } from "@std/assert";
import { awaken, keepAwake } from "../../../kernels/runtime/awake.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { countDispatches } from "../../../kernels/runtime/timing.ts";

await initializeDevice();

Deno.test("a GPU is given work until its clock has settled, and none while it is awake", async () => {
  // What is timed: a first run, which compiles; 64 rounds; then loads of 10 ms at the rate before. The clock rises twice.
  const ns = [1e3, 2e6, 5e6, 5e6, 1e7];
  const left = [...ns];
  await awaken(() => Promise.resolve(new Array<number>(10).fill(left.shift()!)), false);
  assertEquals(left, []);
  await awaken(() => Promise.reject(new Error("it is awake")), false);
});

Deno.test("a software adapter is given no work, a GPU one dispatch", async () => {
  await awaken(() => Promise.reject(new Error("nothing is timed")), true);
  assertEquals(countDispatches(() => keepAwake(0.1, true)).ours, 0);
  assertEquals(countDispatches(() => keepAwake(0.1, false)).ours, 1);
});
