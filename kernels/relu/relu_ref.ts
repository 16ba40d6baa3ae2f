/**
 * ReLU in float64: what the kernels are held against.
 *
 * @module
 */

/** max(x, 0) */
export function reluRef(x: number): number {
  return x <= 0 ? 0 : x;
}

/** 1 above 0, else 0 */
export function reluDerivativeRef(x: number): number {
  return x <= 0 ? 0 : 1;
}
