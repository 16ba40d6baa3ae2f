/** Limits of the device, lowered, so that small tensors reach them. */
import { assertLessOrEqual } from "@std/assert";
import { backendInternals, submit } from "../../kernels/runtime/program.ts";

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

type Lowered = Partial<Record<"maxStorageBufferBindingSize" | "maxComputeWorkgroupsPerDimension", number>>;

/** Runs a body under lower limits; what anybody, tfjs too, binds beyond them is an error. */
export async function withLimits<T>(lowered: Lowered, body: () => Promise<T>): Promise<T> {
  const { device } = backendInternals();
  submit();
  const { limits, createBindGroup } = device;
  const get = (_: unknown, name: string) =>
    lowered[name as keyof Lowered] ?? limits[name as keyof typeof limits];
  const most = lowered.maxStorageBufferBindingSize ?? Infinity;
  Object.defineProperty(device, "limits", { configurable: true, value: new Proxy({}, { get }) });
  device.createBindGroup = (descriptor) => {
    for (const { resource } of descriptor.entries) {
      if ("buffer" in resource) assertLessOrEqual(resource.size ?? resource.buffer.size, most, "bytes bound");
    }
    return createBindGroup.call(device, descriptor);
  };
  try {
    return await body();
  } finally {
    const own = device as Partial<GPUDevice>; // an own member hid the prototype's
    delete own.createBindGroup;
    delete (own as { limits?: unknown }).limits;
  }
}
