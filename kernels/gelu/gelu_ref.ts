/**
 * The error function and GELU in float64: what the kernels are held against.
 *
 * @module
 */

/** 2 / sqrt(pi) exp(-x^2) sum over n of 2^n x^(2n+1) / (2n+1)!!: Abramowitz and Stegun 7.1.6; every term is positive. */
function erfSeries(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) sum += term *= 2 * x * x / (2 * n + 1);
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

/** For x >= 2: the continued fraction of Abramowitz and Stegun 7.1.14, from its 200th term. */
function erfcFraction(x: number): number {
  let denominator = x;
  for (let k = 200; k > 0; k--) denominator = x + k / 2 / denominator;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / denominator;
}

/** erf(x) */
export function erfRef(x: number): number {
  return Math.abs(x) < 2 ? erfSeries(x) : Math.sign(x) * (1 - erfcFraction(Math.abs(x)));
}

/** Phi(x), the normal distribution; the lower tail keeps its digits. */
function normalCdf(x: number): number {
  const z = Math.abs(x) * Math.SQRT1_2;
  if (z < 2) return 0.5 * (1 + erfSeries(x * Math.SQRT1_2));
  const tail = 0.5 * erfcFraction(z);
  return x > 0 ? 1 - tail : tail;
}

/** x Phi(x) */
export function geluRef(x: number): number {
  return x * normalCdf(x);
}

/** Phi(x) + x phi(x) */
export function geluDerivativeRef(x: number): number {
  return normalCdf(x) + x * Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
}
