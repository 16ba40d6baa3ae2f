/** A task whose device fails after a checkpoint; run by device_test.ts. */
import { endRun } from "../../../kernels/runtime/device.ts";
import { defineCommand, runTask } from "../../../tasks/run/cli.ts";

const command = defineCommand({ task: "lose", summary: "Loses the device.", flags: {} });

await runTask(command, Deno.args, async (_, context) => {
  context.progress("steps", 10).update(1);
  context.lastWords("the last checkpoint (epoch 2, step 7) is out/x.safetensors: --resume goes on from it");
  endRun("the device was lost: unplugged");
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  return {};
});
