/** Checking a reference's gradient against central differences in float64. */
import { compare } from "./_compare.ts";

/**
 * Throws unless `gradient` is the gradient of `f` at `x`.
 *
 * @param what the op and the input, for the message
 * @param tolerance of the gradient's largest magnitude
 */
export function gradcheck(
  what: string,
  f: (x: Float64Array) => number,
  x: Float64Array,
  gradient: ArrayLike<number>,
  tolerance = 1e-7,
): void {
  const step = 1e-4;
  const differences = x.map((value, i) => {
    const at = (offset: number) => f(x.with(i, value + offset));
    // Of fourth order: the error is that of the sums, not of the step.
    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
  });
  compare(`gradcheck ${what}`, gradient, differences, tolerance);
}
