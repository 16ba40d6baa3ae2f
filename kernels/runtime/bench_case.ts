/**
 * Runs one case of `deno task bench`: first that ours and stock tfjs's agree, then both in turns, then the medians.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { keepAwake } from "./awake.ts";
import { type BenchCase, type BenchRun, freeOutputs, outputsOf } from "./bench.ts";
import { relativeDifferences } from "./difference.ts";
import type { Peaks } from "./peak.ts";
import { backendInternals, currentTraits, submit } from "./program.ts";
import { withStockKernels } from "./registry.ts";
import { canTime, countDispatches, median, timeByDifference, timeDispatches, totalMs } from "./timing.ts";

/** What was measured; the names are those of the JSON file. */
export interface BenchResult {
  readonly op: string;
  readonly case: string;
  /** medians, in milliseconds */
  readonly ours_ms: number;
  readonly stock_ms: number;
  /** how many times faster ours is */
  readonly ratio: number;
  /** of ours; null if the case does not tell its operations */
  readonly gflops: number | null;
  /** the time that the adapter's peak and bandwidth allow at best, as a share of ours; null if the case tells neither */
  readonly percent_of_roofline: number | null;
  /** of one run */
  readonly dispatches: { readonly ours: number; readonly stock: number };
  /** milliseconds, in the order of measuring: ours[i] and stock[i] are of the same round */
  readonly samples: { readonly ours: readonly number[]; readonly stock: readonly number[] };
}

/** How long a case is measured. */
export interface BenchBudget {
  /** milliseconds of the two sides together that the rounds of a case should take */
  readonly time: number;
  readonly minRounds: number;
  readonly maxRounds: number;
  readonly signal?: AbortSignal;
}

const HOST_FLAG = "WEBGPU_CPU_FORWARD";

type Side = "ours" | "stock";
type Times = Record<Side, number[]>;

/**
 * Measures a case.
 *
 * @throws {Error} if the two sides differ by more than the case's tolerance; the signal's reason if it is aborted
 */
export async function benchCase(item: BenchCase, peaks: Peaks, budget: BenchBudget): Promise<BenchResult> {
  const run = item.setup();
  // tfjs computes small tensors that are not on the device yet on the host: that would be no dispatch to time.
  const onHost = tf.env().get(HOST_FLAG);
  tf.env().set(HOST_FLAG, false);
  try {
    await requireAgreement(item, run);
    const dispatches = {
      ours: total(countDispatches(() => discard(run, "ours"))),
      stock: total(countDispatches(() => discard(run, "stock"))),
    };
    const measure = run.clock === "wall" ? wallTimes : canTime() ? deviceTimes : differences;
    const first = await measure(run, { rounds: 1, runs: 1 }, budget.signal);
    const amount = amountOf(first, budget, measure === deviceTimes && currentTraits().software);
    return summarize(item, peaks, dispatches, await measure(run, amount, budget.signal));
  } finally {
    tf.env().set(HOST_FLAG, onHost);
    run.dispose();
  }
}

/** How much is measured. */
interface Amount {
  readonly rounds: number;
  /** of a side in one submission; of more than one the first is not counted */
  readonly runs: number;
}

/**
 * Milliseconds below which a run follows another one of its side: a device that was idle takes up to 0.4 of them to wake
 * up (lavapipe 22.3), as much as a small layer, and in a training step it is never idle.
 */
const SHORT = 10;
/** Runs of a side in one submission, where a run is short. */
const SHORT_RUNS = 4;

/** A case that takes so many times the time it should has the fewest rounds that a median can be of. */
const SLOW = 10;
const FEWEST_ROUNDS = 3;

/**
 * The same for both sides, whichever of them is short. By the wall clock no run is alone, and a GPU has been given other
 * work, so none warms up.
 */
function amountOf({ ours: [ours], stock: [stock] }: Times, budget: BenchBudget, warmUp: boolean): Amount {
  const runs = warmUp && Math.min(ours, stock) < SHORT ? SHORT_RUNS : 1;
  const counted = Math.max(1, runs - 1);
  const wanted = Math.ceil(budget.time / (runs * (ours + stock)));
  const slow = budget.minRounds * (ours + stock) > SLOW * budget.time;
  const least = Math.ceil((slow ? FEWEST_ROUNDS : budget.minRounds) / counted);
  return { runs, rounds: Math.max(least, Math.min(Math.ceil(budget.maxRounds / counted), wanted)) };
}

function total({ ours, stock }: { ours: number; stock: number }): number {
  return ours + stock;
}

function summarize(
  { op, name, flops, bytes }: BenchCase,
  peaks: Peaks,
  dispatches: Record<Side, number>,
  samples: Times,
): BenchResult {
  const ours_ms = median(samples.ours);
  const stock_ms = median(samples.stock);
  const best = Math.max((flops ?? 0) / peaks.gflops, (bytes ?? 0) / peaks.bandwidth) / 1e6;
  return {
    op,
    case: name,
    ours_ms,
    stock_ms,
    ratio: stock_ms / ours_ms,
    gflops: flops === undefined ? null : flops / ours_ms / 1e6,
    percent_of_roofline: best === 0 ? null : 100 * best / ours_ms,
    dispatches,
    samples,
  };
}

function runSide(run: BenchRun, side: Side): readonly TensorInfo[] {
  return side === "ours" ? outputsOf(() => run.ours()) : withStockKernels(() => outputsOf(() => run.stock()));
}

function discard(run: BenchRun, side: Side): void {
  freeOutputs(runSide(run, side));
}

async function requireAgreement(item: BenchCase, run: BenchRun): Promise<void> {
  const fail = (what: string) => {
    throw new Error(`Cannot time ${item.op} ${item.name}: ${what}`);
  };
  const [ours, stock] = [runSide(run, "ours"), runSide(run, "stock")];
  const of = (outputs: readonly TensorInfo[], side: Side) => [...outputs, ...run.state?.[side] ?? []];
  const differences = await relativeDifferences(of(ours, "ours"), of(stock, "stock"));
  [ours, stock].forEach(freeOutputs);
  if (ours.length !== stock.length) fail(`ours gives ${ours.length} tensors, stock ${stock.length}`);
  differences.forEach((difference, i) => {
    if (!(difference <= run.tolerance)) {
      fail(`tensor ${i} of ours differs from stock's by ${difference}; expected at most ${run.tolerance}`);
    }
  });
}

/** Milliseconds of other work before a side's runs, on a GPU: at least these, and twice what recording the runs takes. */
const HOLD = 5;
/** Rounds that a GPU's queue holds: each wait leaves it idle for 10 ms. */
const QUEUED = 8;

/**
 * One session for all rounds: the two sides in turns. A GPU gets other work to do while the host records, so that it stays
 * at its clock; a software adapter is waited for, since the host, recording on, would take a core from it.
 */
async function deviceTimes(run: BenchRun, { rounds, runs }: Amount, signal?: AbortSignal): Promise<Times> {
  const { queue } = backendInternals().device;
  const { software } = currentTraits();
  const { value: marks, records } = await timeDispatches(async (session) => {
    const marks: { side: Side; from: number; to: number }[] = [];
    let recording = 0; // milliseconds
    for (let round = 0; round < rounds; round++) {
      signal?.throwIfAborted();
      for (const side of ["ours", "stock"] as const) {
        keepAwake(Math.max(HOLD, 2 * recording));
        const start = performance.now();
        for (let i = 0; i < runs; i++) {
          const from = session.count;
          discard(run, side);
          if (i > 0 || runs === 1) marks.push({ side, from, to: session.count });
        }
        recording = performance.now() - start;
        submit(); // the buffers serve the next
        if (software) await queue.onSubmittedWorkDone();
      }
      if (round % QUEUED === QUEUED - 1) await queue.onSubmittedWorkDone();
    }
    return marks;
  });
  const times: Times = { ours: [], stock: [] };
  for (const { side, from, to } of marks) times[side].push(totalMs(records.slice(from, to)));
  return times;
}

/** Milliseconds that a wall-clock sample takes at least: the wait at its end costs up to 10 of them. */
const WALL_SAMPLE = 300;

async function wallTimes(run: BenchRun, { rounds }: Amount, signal?: AbortSignal): Promise<Times> {
  const { queue } = backendInternals().device;
  const times: Times = { ours: [], stock: [] };
  for (let round = 0; round < rounds; round++) {
    for (const side of ["ours", "stock"] as const) {
      signal?.throwIfAborted();
      submit();
      await queue.onSubmittedWorkDone();
      const last = times[side].at(-1) ?? WALL_SAMPLE;
      const runs = Math.max(1, Math.ceil(WALL_SAMPLE / last));
      const start = performance.now();
      for (let i = 0; i < runs; i++) discard(run, side);
      submit();
      await queue.onSubmittedWorkDone();
      times[side].push((performance.now() - start) / runs);
    }
  }
  return times;
}

async function differences(run: BenchRun, { rounds }: Amount, signal?: AbortSignal): Promise<Times> {
  const times: Times = { ours: [], stock: [] };
  for (let round = 0; round < rounds; round++) {
    for (const side of ["ours", "stock"] as const) {
      signal?.throwIfAborted();
      times[side].push(await timeByDifference(() => discard(run, side)));
    }
  }
  return times;
}
