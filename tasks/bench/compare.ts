/**
 * What changed since an earlier bench, and whether it is more than noise.
 *
 * Compared is ours's time in units of stock's of the same round: what else the machine does slows down both. The noise of
 * a run is the spread of its rounds, s = 1.4826 times the median absolute deviation of the logarithms (for a normal
 * distribution, its standard deviation); a change of the medians counts if it is beyond 2 sqrt(s_old^2 + s_new^2), and
 * beyond 5 %, since two runs of the same code are apart by more than the rounds of one.
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

/** Medium and spread of the logarithms of the rounds' ratios. */
function ratios({ ours, stock }: BenchResult["samples"]): { middle: number; spread: number } {
  const logarithms = ours.map((ms, i) => Math.log(Math.max(ms, TICK) / Math.max(stock[i], TICK)));
  const middle = median(logarithms);
  return { middle, spread: MAD_TO_SIGMA * median(logarithms.map((value) => Math.abs(value - middle))) };
}

/** Compares a case with an earlier run; undefined if that does not have it. */
export function compareCase(
  result: BenchResult,
  { results }: Pick<BenchContent, "results">,
): Change | undefined {
  const before = results.find((item) => item.op === result.op && item.case === result.case);
  if (before === undefined) return undefined;
  const [was, is] = [ratios(before.samples), ratios(result.samples)];
  const logarithm = is.middle - was.middle;
  const noise = Math.max(Math.log1p(LEAST_CHANGE), SIGMAS * Math.hypot(was.spread, is.spread));
  const verdict = Math.abs(logarithm) <= noise ? "same" : logarithm > 0 ? "regression" : "gain";
  return { change: Math.expm1(logarithm), noise: Math.expm1(noise), verdict, old_ms: before.ours_ms };
}

const signed = (share: number) => `${share < 0 ? "−" : "+"}${(100 * Math.abs(share)).toFixed(1)} %`;

/** A change in words, with what it must exceed: `+12.3 % ±5.0 SLOWER`. */
export function changeText(change: Change | undefined): string {
  if (change === undefined) return "new";
  const word = { regression: " SLOWER", gain: " faster", same: "" }[change.verdict];
  return `${signed(change.change)} ±${(100 * change.noise).toFixed(1)}${word}`;
}

/** Cases of a run by what became of them. */
export function tally(changes: readonly (Change | undefined)[]): Record<Change["verdict"] | "new", number> {
  const counts = { regression: 0, gain: 0, same: 0, new: 0 };
  for (const change of changes) counts[change?.verdict ?? "new"]++;
  return counts;
}
