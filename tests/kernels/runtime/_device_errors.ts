// Runs in a process of its own: `deno run _device_errors.ts KIND` must end with an error, before it prints "went on".
import { endRunOnErrors, initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals, run } from "../../../kernels/runtime/program.ts";
import wrongSource from "./shaders/wrong.wgsl" with { type: "text" };

await initializeDevice();
const { device } = backendInternals();
switch (Deno.args[0]) {
  case "refused": // a buffer that is both mapped and bound as storage
    device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
    break;
  case "memory": // no adapter here runs out of memory before the machine does, so this one only says that it has
    device.dispatchEvent(
      Object.assign(new Event("uncapturederror"), { error: new GPUOutOfMemoryError("no 64 MiB are left") }),
    );
    break;
  case "lost": { // no call loses a device for good, so this one only says that it is lost
    const lost = Promise.resolve({ reason: "unknown", message: "the driver was reset" });
    endRunOnErrors({ addEventListener() {}, lost } as unknown as GPUDevice);
    break;
  }
  case "shader": {
    const includes = { "included.wgsl": "// one\n// two\n// three" };
    const shader = { file: "shaders/wrong.wgsl", source: wrongSource, includes };
    run({ shader, inputs: [], outputs: [{ shape: [8] }], workgroups: [1] });
    break;
  }
  case "destroyed": // on purpose: no error
    device.destroy();
    await device.lost;
    break;
}
await new Promise((resolve) => setTimeout(resolve, 200));
console.log("went on");
Deno.exit(0);
