/**
 * The cases of one GRU layer, for tests and benches.
 *
 * @module
 */
import type { GruGeometry } from "./gru_tiles.ts";

/** A named layer. */
export interface GruCase {
  readonly name: string;
  readonly geometry: GruGeometry;
  readonly initialState: boolean;
}

/** [B, T, D, G, directions] */
type Numbers = readonly [number, number, number, number, 1 | 2];

function toCase(
  name: string,
  [clips, frames, depth, hidden, directions]: Numbers,
  initialState = false,
): GruCase {
  return { name, geometry: { clips, frames, depth, hidden, directions }, initialState };
}

/** Small shapes at the edges of what the kernels do; `gru` pads G to a multiple of 4. */
export const EDGE_CASES: readonly GruCase[] = [
  toCase("size 1", [1, 1, 1, 1, 1]),
  toCase("one frame with an initial state", [3, 1, 5, 8, 1], true),
  toCase("primes", [7, 5, 13, 11, 1], true),
  toCase("primes, both directions", [5, 7, 3, 7, 2], true),
  toCase("both directions, no initial state", [2, 4, 6, 12, 2]),
  toCase("clips and units beyond one tile", [37, 3, 8, 36, 1]),
  toCase("33 frames", [2, 33, 4, 8, 2], true),
  toCase("more steps than a dispatch takes", [1, 400, 4, 128, 1]),
  toCase("more rows than a loop takes", [520, 32, 1, 4, 1]),
  toCase("steps apart", [9, 3, 8, 132, 1], true),
];

/** Layers of the recurrent heads: of the tiny preset. */
export const MODEL_CASES: readonly GruCase[] = [
  toCase("tiny rnn, layer 0", [32, 9, 96, 48, 2]),
];

/** Largest relative error: that of float32 sums of as many products (kernels.md: 1e-5 sqrt(K)). */
export function toleranceOf({ frames, depth, hidden, clips }: GruGeometry): number {
  return 1e-5 * Math.sqrt(Math.max(depth, 3 * hidden, clips * frames));
}
