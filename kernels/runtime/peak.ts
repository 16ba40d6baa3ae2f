/**
 * What the adapter can do at most, measured: the rate of fused multiply-adds and the bandwidth of a copy.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { backendInternals, release, run } from "./program.ts";
import { canTime, timeByDifference, timeDispatches } from "./timing.ts";
import type { Constants, ShaderFile } from "./wgsl.ts";
import copySource from "./peak_copy.wgsl" with { type: "text" };
import fmaSource from "./peak_fma.wgsl" with { type: "text" };

const FMA: ShaderFile = { file: "runtime/peak_fma.wgsl", source: fmaSource };
const COPY: ShaderFile = { file: "runtime/peak_copy.wgsl", source: copySource };

/** The adapter's measured limits. */
export interface Peaks {
  /** 1e9 floating-point operations a second; a multiply-add counts as two */
  readonly gflops: number;
  /** 1e9 bytes a second, read and written */
  readonly bandwidth: number;
}

/** Milliseconds that a measured dispatch should take at least. */
const LONG_ENOUGH = 4;
const SAMPLES = 4;
const MAX_COPY_BYTES = 128 << 20;

/** Measures both: the best of a few variants and samples. */
export async function measurePeaks(): Promise<Peaks> {
  let gflops = 0;
  for (const [GROUP, SUMS, REPEATS] of [[64, 2, 16], [64, 4, 8], [256, 4, 16], [256, 8, 8]]) {
    gflops = Math.max(gflops, await fmaRate({ GROUP, SUMS, REPEATS }));
  }
  let bandwidth = 0;
  for (const [GROUP, EACH] of [[256, 4], [256, 8], [64, 4], [256, 1]]) {
    bandwidth = Math.max(bandwidth, await copyRate({ GROUP, EACH }));
  }
  return { gflops, bandwidth };
}

/** Nanoseconds of the fastest of some runs; the first, which compiles, does not count. */
async function fastest(body: () => TensorInfo, samples = SAMPLES): Promise<number> {
  release(body());
  if (!canTime()) return 1e6 * await timeByDifference(() => release(body()));
  const { records } = await timeDispatches(() => {
    for (let i = 0; i < samples; i++) release(body());
  });
  return Math.min(...records.filter(({ kind }) => kind === "ours").map(({ ns }) => ns));
}

/** Work that doubles until a dispatch takes long enough; the rate is in units of work per nanosecond. */
async function rateOf(work: (size: number) => TensorInfo, first: number, most: number): Promise<number> {
  let size = first;
  let ns = await fastest(() => work(size), 1);
  while (ns < LONG_ENOUGH * 1e6 && size < most) {
    size = Math.min(most, size * 2 ** Math.ceil(Math.log2(Math.min(64, LONG_ENOUGH * 1e6 / ns))));
    ns = await fastest(() => work(size), 1);
  }
  return size / await fastest(() => work(size));
}

async function fmaRate(constants: Constants & Record<"GROUP" | "SUMS" | "REPEATS", number>): Promise<number> {
  const { GROUP, SUMS, REPEATS } = constants;
  const invocations = 1 << 16;
  const work = (rounds: number) =>
    run({
      shader: FMA,
      constants,
      inputs: [],
      outputs: [{ shape: [invocations, 4] }],
      uniforms: { rounds },
      workgroups: [invocations / GROUP],
    })[0];
  const roundsPerNs = await rateOf(work, 8, 1 << 20);
  return 2 * 4 * SUMS * REPEATS * invocations * roundsPerNs;
}

async function copyRate(constants: Constants & Record<"GROUP" | "EACH", number>): Promise<number> {
  const { device, makeTensorInfo } = backendInternals();
  const { maxStorageBufferBindingSize, maxComputeWorkgroupsPerDimension } = device.limits;
  const vec4s = constants.GROUP * constants.EACH; // of a workgroup
  const most = Math.min(
    Math.min(MAX_COPY_BYTES, maxStorageBufferBindingSize) / (16 * vec4s),
    maxComputeWorkgroupsPerDimension,
  );
  const work = (groups: number) => {
    const shape = [groups * vec4s, 4];
    const x = makeTensorInfo.call(backendInternals(), shape, "float32");
    const [y] = run({ shader: COPY, constants, inputs: [x], outputs: [{ shape }], workgroups: [groups] });
    release(x);
    return y;
  };
  return 2 * 16 * vec4s * await rateOf(work, Math.min(most, 1024), 2 ** Math.floor(Math.log2(most)));
}
