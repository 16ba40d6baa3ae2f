/**
 * The cases of the linear layer, for tests and benches.
 *
 * @module
 */
import type { LinearActivation } from "./linear.ts";

/** x [M, D], weight [D, K]. */
export interface LinearCase {
  readonly name: string;
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  readonly activation?: LinearActivation;
}

function toCase(
  name: string,
  [rows, depth, columns]: readonly [number, number, number],
  activation?: LinearActivation,
): LinearCase {
  return { name, rows, depth, columns, ...(activation ? { activation } : {}) };
}

/** Small shapes at the edges. */
export const EDGE_CASES: readonly LinearCase[] = [
  toCase("one element", [1, 1, 1]),
  toCase("one element, relu", [1, 1, 1], "relu"),
  toCase("primes", [13, 7, 11]),
  toCase("primes, relu", [13, 7, 11], "relu"),
  toCase("primes, gelu", [13, 7, 11], "gelu"),
  toCase("fours, relu", [20, 8, 36], "relu"),
  toCase("fours, gelu", [20, 8, 36], "gelu"),
];

/** Layers of the networks: the demo's, and the paper's. */
export const MODEL_CASES: readonly LinearCase[] = [
  toCase("seven expressions", [288, 96, 7]),
  toCase("features of the demo", [288, 512, 96], "relu"),
  toCase("transformer of the demo", [288, 96, 384], "gelu"),
];

/** Layers at the paper's scale, for benches. */
export const PAPER_CASES: readonly LinearCase[] = [
  toCase("features of the paper", [864, 2048, 768], "relu"),
  toCase("transformer of the paper", [864, 768, 3072], "gelu"),
];
