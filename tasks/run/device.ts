/**
 * Starting the device for a task.
 *
 * @module
 */
import { type AdapterRecord, initializeDevice } from "../../kernels/runtime/device.ts";
import type { Context } from "./cli.ts";

/** Starts the device and says on what: the first line of every log. */
export async function startDevice(context: Context): Promise<AdapterRecord> {
  const adapter = await initializeDevice();
  context.log(
    `adapter: ${adapter.description} (${[adapter.vendor, adapter.architecture].filter(Boolean).join(", ")})`,
  );
  return adapter;
}
