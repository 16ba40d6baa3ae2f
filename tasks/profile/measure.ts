/**
 * Measures steps of a workload: once as they run, once with every dispatch timed and every layer named.
 *
 * @module
 */
import { backendInternals, submit } from "../../kernels/runtime/program.ts";
import { scope, type ScopeSlice, traceScopes } from "../../kernels/runtime/scope.ts";
import { type DispatchRecord, startTiming } from "../../kernels/runtime/timing.ts";

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
  /** milliseconds of a step as it usually runs, by the host's clock, and of its recording */
  readonly usual: { readonly wall: number; readonly host: number };
}

/** Milliseconds that the steps should take together: a wait for the device is off by up to 10. */
const LONG_ENOUGH = 1000;
const LEAST_STEPS = 3;
const MOST_STEPS = 50;

/**
 * Measures a step, which must not read anything back.
 *
 * @param steps how many; by default as many as take about a second
 * @throws {Error} if the adapter has no timestamp queries; the signal's reason if it is aborted
 */
export async function measureSteps(
  step: () => void,
  steps: number | undefined,
  signal: AbortSignal,
): Promise<Measurement> {
  const { queue } = backendInternals().device;
  const run = async (count: number) => {
    submit();
    await queue.onSubmittedWorkDone();
    signal.throwIfAborted();
    const start = performance.now();
    let host = 0;
    for (let i = 0; i < count; i++) {
      const begin = performance.now();
      step();
      submit(); // as reading the loss does
      host += performance.now() - begin;
    }
    await queue.onSubmittedWorkDone();
    return { wall: (performance.now() - start) / count, host: host / count };
  };
  await run(1); // compiles
  const [first, second] = [await run(1), await run(1)];
  const wanted = Math.ceil(LONG_ENOUGH / Math.min(first.wall, second.wall));
  const count = steps ?? Math.max(LEAST_STEPS, Math.min(MOST_STEPS, wanted));
  const usual = await run(count);
  return { ...await timeSteps(step, count, signal), usual };
}

/** Each step is one submission: the host records the next one while the device runs it. */
async function timeSteps(
  step: () => void,
  count: number,
  signal: AbortSignal,
): Promise<Omit<Measurement, "usual">> {
  const { queue } = backendInternals().device;
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
    await queue.onSubmittedWorkDone();
    const end = performance.now();
    const records = await session.finish();
    const deviceStart = await session.hostStart();
    return { records, steps, slices: trace.slices, deviceStart, whole: end - deviceStart };
  } catch (error) {
    session.cancel();
    throw error;
  } finally {
    trace.stop();
  }
}
