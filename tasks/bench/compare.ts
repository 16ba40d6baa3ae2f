/**
 * What changed since an earlier bench, and whether it is more than noise.
 *
 * Compared is ours's time in units of stock's of the same round: what else the machine does slows down both. The noise of
 * a run is the spread of its rounds, s = 1.4826 times the median absolute deviation of the logarithms (for a normal
 * distribution, its standard deviation); a change of the medians counts if it is beyond 2 sqrt(s_old^2 + s_new^2), and
 * beyond 5 %, since two runs of the same code are apart by more than the rounds of one.
 *
 * Load does not slow down both alike, though: 1575 short dispatches of stock's and 2 of ours went from 263 to 95 ms and
 * from 1.05 to 1.66 with the same code. So ours's own milliseconds must have moved too, the same way and by the same rule;
 * where they have not, the change is stock's. A kernel that became slower on a machine that became faster by as much is
 * not found.
 *
 * @module
 */
import type { BenchResult } from "../../kernels/runtime/bench_case.ts";
import { median } from "../../kernels/runtime/timing.ts";
import type { BenchContent } from "./file.ts";

/** A case since an earlier run; the names are those of the JSON file. */
export interface Change {
  /** ours's time in units of stock's, new / old - 1: positive is slower */
  readonly change: number;
  /** what it must exceed to count */
  readonly noise: number;
  readonly verdict: "regression" | "gain" | "same";
  /** ours, in the earlier run */
  readonly old_ms: number;
}

/** Least change that counts. */
export const LEAST_CHANGE = 0.05;
/** Milliseconds: what a clock that saw no time pass has missed at most. */
const TICK = 1e-6;
const SIGMAS = 2;
const MAD_TO_SIGMA = 1.4826;

type Samples = BenchResult["samples"];

/** How far the middle of some values has moved, and what it must exceed to count; logarithms. */
interface Move {
  readonly by: number;
  readonly noise: number;
}

function moveOf(was: Samples, is: Samples, valueOf: (ours: number, stock: number) => number): Move {
  const [before, now] = [was, is].map(({ ours, stock }) => {
    const values = ours.map((ms, i) => Math.log(valueOf(Math.max(ms, TICK), Math.max(stock[i], TICK))));
    const middle = median(values);
    return { middle, spread: MAD_TO_SIGMA * median(values.map((value) => Math.abs(value - middle))) };
  });
  return {
    by: now.middle - before.middle,
    noise: Math.max(Math.log1p(LEAST_CHANGE), SIGMAS * Math.hypot(before.spread, now.spread)),
  };
}

/** -1, 0 or 1: faster, the same, slower. */
const directionOf = ({ by, noise }: Move) => Math.abs(by) <= noise ? 0 : Math.sign(by);

/** Compares a case with an earlier run; undefined if that does not have it. */
export function compareCase(
  result: BenchResult,
  { results }: Pick<BenchContent, "results">,
): Change | undefined {
  const before = results.find((item) => item.op === result.op && item.case === result.case);
  if (before === undefined) return undefined;
  const ratio = moveOf(before.samples, result.samples, (ours, stock) => ours / stock);
  const own = moveOf(before.samples, result.samples, (ours) => ours);
  const direction = directionOf(ratio);
  const verdict = direction === 0 || directionOf(own) !== direction
    ? "same"
    : direction > 0
    ? "regression"
    : "gain";
  return { change: Math.expm1(ratio.by), noise: Math.expm1(ratio.noise), verdict, old_ms: before.ours_ms };
}

/** Cases of the earlier run that this one lacks. */
export function missingFrom<T extends Pick<BenchResult, "op" | "case">>(
  results: readonly Pick<BenchResult, "op" | "case">[],
  old: { readonly results: readonly T[] },
): T[] {
  const measured = new Set(results.map(({ op, case: name }) => `${op} ${name}`));
  return old.results.filter(({ op, case: name }) => !measured.has(`${op} ${name}`));
}

const signed = (share: number) => `${share < 0 ? "−" : "+"}${(100 * Math.abs(share)).toFixed(1)} %`;

/** A change in words, with what it must exceed: `+12.3 % ±5.0 SLOWER`; `stock`: beyond it, but ours's own time is not. */
export function changeText(change: Change | undefined): string {
  if (change === undefined) return "new";
  const beyond = Math.abs(Math.log1p(change.change)) > Math.log1p(change.noise);
  const word = { regression: " SLOWER", gain: " faster", same: beyond ? " stock" : "" }[change.verdict];
  return `${signed(change.change)} ±${(100 * change.noise).toFixed(1)}${word}`;
}

/** Cases of a run by what became of them. */
export function tally(changes: readonly (Change | undefined)[]): Record<Change["verdict"] | "new", number> {
  const counts = { regression: 0, gain: 0, same: 0, new: 0 };
  for (const change of changes) counts[change?.verdict ?? "new"]++;
  return counts;
}
