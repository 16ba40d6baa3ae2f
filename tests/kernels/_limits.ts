/** Limits of the device, lowered, so that small tensors reach them. */
import { backendInternals } from "../../kernels/runtime/program.ts";

/** Runs a body that believes the device to have this limit. */
export function withLimit<T>(name: keyof GPUSupportedLimits, value: number, body: () => T): T {
  const { limits } = backendInternals().device;
  Object.defineProperty(limits, name, { value, configurable: true }); // an own property hides the prototype's
  try {
    return body();
  } finally {
    delete (limits as unknown as Record<string, number>)[name];
  }
}

/** A grid so narrow that what is small, too, has several rows of workgroups. */
export function withGrid<T>(width: number, body: () => T): T {
  return withLimit("maxComputeWorkgroupsPerDimension", width, body);
}
