/**
 * The third dimension of a grid, which counts batches.
 *
 * @module
 */
import { backendInternals } from "../runtime/program.ts";

/** What WebGPU guarantees; the shaders count on no more. */
const MAX_GRID = 65535;

/** Ranges of so many that each fit one dispatch, as [first, count]. */
export function* gridSlices(count: number): Generator<[first: number, count: number]> {
  const most = Math.min(MAX_GRID, backendInternals().device.limits.maxComputeWorkgroupsPerDimension);
  for (let first = 0; first < count; first += most) yield [first, Math.min(most, count - first)];
}
