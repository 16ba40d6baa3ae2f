import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals } from "../../../kernels/runtime/program.ts";

Deno.test("the device is tfjs's backend, with the adapter's limits, and the record tells of it", async () => {
  const record = await initializeDevice();
  assertEquals(await initializeDevice(), record);
  assertEquals(tf.getBackend(), "webgpu");
  const { device } = backendInternals();
  const adapter = (await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }))!;
  assertEquals(record.description, adapter.info.description);
  assert(record.description !== "");
  assert(Object.keys(record.limits).length > 5);
  for (const [name, value] of Object.entries(record.limits)) {
    const key = name as "maxBufferSize";
    assertEquals([device.limits[key], adapter.limits[key]], [value, value], name);
  }
  assertEquals(record.features, [...device.features].sort());
  for (const feature of ["timestamp-query", "shader-f16"] as const) {
    assertEquals(device.features.has(feature), adapter.features.has(feature), feature);
  }
  const text = await tf.tidy(() => tf.ones([4]).add(1)).data();
  assertEquals(Array.from(text), [2, 2, 2, 2]);
});

Deno.test("a tensor beyond what a buffer takes is refused where it is made", async () => {
  const { limits } = await initializeDevice();
  const size = 1024 * (Math.floor(limits.maxBufferSize / 4096) + 1); // of 4 bytes
  const before = tf.memory().numTensors;
  assertThrows(
    () => tf.fill([size], 1),
    RangeError,
    `Cannot make a tensor of ${4 * size} bytes: expected at most ${limits.maxBufferSize}`,
  );
  assertEquals(tf.memory().numTensors, before);
});

/** Runs `_device_errors.ts` in a process of its own. */
async function provoke(kind: string) {
  const script = new URL("_device_errors.ts", import.meta.url).pathname;
  const command = new Deno.Command("deno", {
    args: ["run", "--no-check", "--allow-env=DEBUG", script, kind],
    cwd: new URL("../../../", import.meta.url).pathname,
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await command.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

const MESSAGES: Record<string, RegExp> = {
  refused: /Cannot go on computing: WebGPU refused a command: .*MAP/s,
  memory:
    /Cannot go on computing: the device is out of memory: no 64 MiB are left; a smaller batch takes less/,
  lost: /Cannot go on computing: the device was lost: the driver was reset/,
  shader: /Cannot go on computing: shaders\/wrong\.wgsl:6 does not compile: .*nothing/s,
};

for (const [kind, message] of Object.entries(MESSAGES)) {
  Deno.test(`an error of the device ends the run: ${kind}`, async () => {
    const { code, stdout, stderr } = await provoke(kind);
    assertEquals([code, stdout], [1, ""], stderr);
    assertMatch(stderr, message);
  });
}

Deno.test("a device that is destroyed on purpose is no error", async () => {
  const { code, stdout, stderr } = await provoke("destroyed");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stdout, "went on");
});
