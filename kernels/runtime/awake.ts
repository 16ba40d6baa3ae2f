/**
 * Keeps a GPU at the clock at which it works. One that has little to do runs at a fraction of it, and takes some tenths
 * of a second of work to speed up: an NVIDIA H200 idles at 345 MHz of 1980, and short dispatches with waits between them
 * took 3 to 5 times as long there as the same dispatches after 0.2 s of work. A software adapter has no such clock.
 *
 * @module
 */
import fmaSource from "./peak_fma.wgsl" with { type: "text" };
import { backendInternals, currentTraits, release, run, submit } from "./program.ts";
import type { ShaderFile } from "./wgsl.ts";

const FMA: ShaderFile = { file: "runtime/peak_fma.wgsl", source: fmaSource };
const CONSTANTS = { GROUP: 64, SUMS: 4, REPEATS: 8 };
const INVOCATIONS = 1 << 16;

/** Milliseconds of work that an idle GPU is given. */
const AWAKENING = 300;
/** Milliseconds after which a GPU counts as idle. */
const IDLE = 50;
/** Milliseconds of work that fill the time in which the host records the next commands. */
const HOLD = 10;

/** Rounds of the shader in a millisecond, once they have been counted. */
const rates = new WeakMap<GPUDevice, number>();
let workedUntil = -Infinity;

function work(rounds: number): void {
  const [y] = run({
    shader: FMA,
    constants: CONSTANTS,
    inputs: [],
    outputs: [{ shape: [INVOCATIONS, 4] }],
    uniforms: { rounds: Math.ceil(rounds) },
    workgroups: [INVOCATIONS / CONSTANTS.GROUP],
  });
  release(y);
}

/** Gives a GPU work until it is at its clock, if it has been idle, and some more that goes on when this returns. */
export async function awaken(): Promise<void> {
  if (currentTraits().software) return;
  const { device } = backendInternals();
  const begin = performance.now();
  let rounds = HOLD * (rates.get(device) ?? 1);
  while (begin - workedUntil > IDLE && performance.now() - begin < AWAKENING) {
    const start = performance.now();
    work(rounds);
    submit();
    await device.queue.onSubmittedWorkDone();
    const took = performance.now() - start;
    rates.set(device, rounds / took); // too few by the wait's 10 ms, so twice what is asked for at least
    if (took < 4 * HOLD) rounds *= took < 2 * HOLD ? 8 : 2;
  }
  keepAwake(HOLD);
  submit();
}

/** Records so many milliseconds of work, as a dispatch of ours, on a GPU that has been awakened. */
export function keepAwake(milliseconds: number): void {
  if (currentTraits().software) return;
  work(milliseconds * (rates.get(backendInternals().device) ?? 1));
  workedUntil = performance.now() + milliseconds;
}
