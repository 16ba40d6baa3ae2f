/**
 * Measures steps of a workload: once as they run, once with every dispatch timed and every layer named.
 *
 * @module
 */
import { backendInternals, submit } from "../../kernels/runtime/program.ts";
import { scope, type ScopeSlice, traceScopes } from "../../kernels/runtime/scope.ts";
import { bringToClock, type DispatchRecord, startTiming } from "../../kernels/runtime/timing.ts";
import type { Workload } from "./workload.ts";

/** A step's place in the records, and the host's part of it. */
export interface MeasuredStep {
  readonly from: number;
  readonly to: number;
  /** milliseconds in which the host recorded it, and in which it encoded and submitted it */
  readonly recording: number;
  readonly submitting: number;
  /** when it was submitted: milliseconds of `performance.now()` */
  readonly submitted: number;
}

/** What was measured. */
export interface Measurement {
  readonly records: readonly DispatchRecord[];
  readonly steps: readonly MeasuredStep[];
  /** stays of the host in a step's layers; the outermost name is the step's */
  readonly slices: readonly ScopeSlice[];
  /** when the first dispatch began: milliseconds of `performance.now()` */
  readonly deviceStart: number;
  /** milliseconds from the first dispatch's begin to when the host knew that all was done, by the host's clock */
  readonly whole: number;
  /** milliseconds by which the host can learn late that all was done: its wait on an idle device */
  readonly lateness: number;
  /** milliseconds of a step as it usually runs, by the host's clock, and until the host has submitted it */
  readonly usual: { readonly wall: number; readonly host: number };
}

/** Steps until everything is compiled and most buffers are there: at the paper's size new ones take seconds. */
const WARM_UP = 3;
/** Milliseconds that the steps should take together: the wait for the device is late by up to 10. */
const LONG_ENOUGH = 1000;
const LEAST_STEPS = 3;
const MOST_STEPS = 1000;

/** Waits until all that was submitted is done; when the host learnt it. Deno looks every 10 ms. */
async function whenDone(): Promise<number> {
  await backendInternals().device.queue.onSubmittedWorkDone();
  return performance.now();
}

/**
 * Measures steps, which must not read anything back: as they usually run, then command by command.
 *
 * @param steps how many; by default as many as take about a second
 * @throws {Error} if the adapter has no timestamp queries; the signal's reason if it is aborted
 */
export async function measureSteps(
  { step }: Pick<Workload, "step">,
  steps: number | undefined,
  signal: AbortSignal,
): Promise<Measurement> {
  const run = async (count: number) => {
    await bringToClock();
    submit();
    await whenDone();
    signal.throwIfAborted();
    const start = performance.now();
    let host = 0;
    for (let i = 0; i < count; i++) {
      const begin = performance.now();
      step();
      submit(); // as reading the loss does
      host += performance.now() - begin;
    }
    return { wall: (await whenDone() - start) / count, host: host / count };
  };
  await run(WARM_UP);
  let count = steps ?? LEAST_STEPS;
  let usual = await run(count);
  for (; steps === undefined; usual = await run(count)) { // a few steps are less than their wait makes believe
    const wanted = Math.min(MOST_STEPS, Math.ceil(LONG_ENOUGH / usual.wall));
    if (wanted <= 1.25 * count) break;
    count = wanted;
  }
  await timeSteps(step, 1, signal); // makes the buffers that a step in one submission takes
  let timed = await timeSteps(step, count, signal);
  while (steps === undefined && count < MOST_STEPS && timed.whole < LONG_ENOUGH / 2) { // a slow moment chose few
    count = Math.min(MOST_STEPS, Math.ceil(count * LONG_ENOUGH / timed.whole));
    timed = await timeSteps(step, count, signal);
  }
  return { ...timed, usual };
}

/** Each step is one submission: the host records the next one while the device runs it. */
async function timeSteps(
  step: () => void,
  count: number,
  signal: AbortSignal,
): Promise<Omit<Measurement, "usual">> {
  await bringToClock();
  const session = startTiming();
  const trace = traceScopes();
  try {
    const steps: MeasuredStep[] = [];
    for (let i = 0; i < count; i++) {
      signal.throwIfAborted();
      const from = session.count;
      const begin = performance.now();
      scope(`step ${i + 1}`, step);
      const submitted = performance.now();
      submit();
      const submitting = performance.now() - submitted;
      steps.push({ from, to: session.count, recording: submitted - begin, submitted, submitting });
    }
    const end = await whenDone();
    const records = await session.finish();
    const deviceStart = await session.hostStart();
    const idle = performance.now();
    const lateness = await whenDone() - idle;
    return { records, steps, slices: trace.slices, deviceStart, whole: end - deviceStart, lateness };
  } catch (error) {
    session.cancel();
    throw error;
  } finally {
    trace.stop();
  }
}
