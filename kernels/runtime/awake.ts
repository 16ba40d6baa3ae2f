/**
 * Keeps a GPU at the clock at which it works. One that has little to do runs at a fraction of it and takes some tenths of
 * a second of work to speed up: an NVIDIA H200 idles at 345 MHz of 1980, and short dispatches with waits between them took
 * 3 to 5 times as long there as the same ones at its clock. A software adapter has no such clock.
 *
 * @module
 */
import fmaSource from "./peak_fma.wgsl" with { type: "text" };
import { backendInternals, currentTraits, release, run, submit } from "./program.ts";
import type { ShaderFile } from "./wgsl.ts";

const FMA: ShaderFile = { file: "runtime/peak_fma.wgsl", source: fmaSource };
const CONSTANTS = { GROUP: 64, SUMS: 4, REPEATS: 8 };
const INVOCATIONS = 1 << 16;

/** Milliseconds after which a GPU without work counts as idle. */
const IDLE = 50;
/** Milliseconds of a dispatch that fills time. */
const HOLD = 10;
/** Dispatches of work without a wait between them, after which the clock is looked at. */
const LOAD = 10;
/** Most times that it is: the clock is then what it is. */
const LOOKS = 12;
/** The clock has settled where it rises by less than this. */
const SETTLED = 1.02;

interface Clock {
  /** rounds of the shader in a millisecond, as last counted */
  rate: number;
  /** when the work given ends, by `performance.now()` */
  until: number;
}

const clocks = new WeakMap<GPUDevice, Clock>();

function clockOf(device: GPUDevice): Clock {
  let clock = clocks.get(device);
  if (clock === undefined) clocks.set(device, clock = { rate: 0, until: -Infinity });
  return clock;
}

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

/** Nanoseconds of the dispatches that a body records. */
type Timer = (body: () => void) => Promise<number[]>;

/**
 * Gives a GPU work until its clock has settled, if it has been idle, and some more that goes on when this returns.
 *
 * @param time by timestamps
 * @param software whether the adapter has no clock to wait for
 */
export async function awaken(time: Timer, software = currentTraits().software): Promise<void> {
  if (software) return;
  const clock = clockOf(backendInternals().device);
  if (clock.rate === 0) await countRounds(clock, time);
  if (performance.now() - clock.until > IDLE) {
    for (let look = 0, before = 0; look < LOOKS && clock.rate > SETTLED * before; look++) {
      before = clock.rate;
      const rounds = HOLD * clock.rate;
      const ns = await time(() => {
        for (let i = 0; i < LOAD; i++) work(rounds);
      });
      clock.rate = 1e6 * rounds / ns[LOAD - 1];
    }
  }
  keepAwake(HOLD, software);
  submit();
}

/** Counts the rounds in a millisecond, whatever the clock is. */
async function countRounds(clock: Clock, time: Timer): Promise<void> {
  await time(() => work(1)); // compiles
  for (let rounds = 64; clock.rate === 0; rounds *= 4) {
    const [ns] = await time(() => work(rounds));
    if (ns > 1e6) clock.rate = 1e6 * rounds / ns;
  }
}

/** Records so many milliseconds of work, as a dispatch of ours, on a GPU that has been awakened. */
export function keepAwake(milliseconds: number, software = currentTraits().software): void {
  if (software) return;
  const clock = clockOf(backendInternals().device);
  work(milliseconds * Math.max(clock.rate, 1));
  clock.until = performance.now() + milliseconds;
}
