/** Comparing a kernel's output with its reference. */

/**
 * Throws unless every value is within `tolerance` of the reference's largest magnitude; NaN never passes.
 *
 * @param what the op and the case, for the message
 */
export function compare(
  what: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${what}: ${actual.length} values, the reference has ${expected.length}`);
  }
  let scale = 1e-30;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]));
  let wrong = 0;
  let worst = -1;
  let worstError = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]) / scale;
    if (error <= tolerance) continue;
    wrong++;
    if (worst < 0 || !(error <= worstError)) [worst, worstError] = [i, error];
  }
  if (wrong > 0) {
    throw new Error(
      `${what}: ${wrong} of ${expected.length} values differ by more than ${tolerance} of ${scale}; the worst at ` +
        `${worst}: ${actual[worst]}, the reference ${expected[worst]} (error ${worstError})`,
    );
  }
}
