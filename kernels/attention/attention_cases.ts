/**
 * The cases of attention, for tests and benches.
 *
 * @module
 */
import type { AttentionSizes } from "./attention_ref.ts";

/** Named sizes and options. */
export interface AttentionCase extends AttentionSizes {
  readonly name: string;
  /** some keys are masked, and all of the first clip's */
  readonly masked?: boolean;
  /** rate of the dropout on the probabilities */
  readonly rate?: number;
}

function toCase(
  name: string,
  [clips, frames, heads, size]: readonly [number, number, number, number],
  options: Pick<AttentionCase, "masked" | "rate"> = {},
): AttentionCase {
  return { name, clips, frames, heads, size, ...options };
}

/** Sizes at the edges of what the kernels do: B, T, A, S. */
export const EDGE_CASES: readonly AttentionCase[] = [
  toCase("one frame", [1, 1, 1, 4]),
  toCase("two frames, primes", [3, 2, 5, 12]),
  toCase("three frames, masked", [3, 3, 2, 8], { masked: true }),
  toCase("three frames, dropout", [2, 3, 2, 8], { rate: 0.4 }),
  toCase("five frames, masked, dropout", [2, 5, 2, 8], { masked: true, rate: 0.4 }),
  toCase("heads of 128", [1, 5, 2, 128]),
  toCase("31 frames", [1, 31, 2, 8]),
  toCase("32 frames, masked, dropout", [2, 32, 1, 8], { masked: true, rate: 0.3 }),
  toCase("33 frames", [1, 33, 2, 8]),
  toCase("33 frames, masked, dropout", [3, 33, 1, 8], { masked: true, rate: 0.3 }),
  toCase("34 frames, heads of 128", [1, 34, 1, 128]),
  toCase("100 frames", [1, 100, 1, 64]),
  toCase("more workgroups than one dimension takes", [65537, 1, 8, 4]),
];

/** The CNN-Transformer's layers: the small one's with its batch, and the paper's with fewer clips. */
export const MODEL_CASES: readonly AttentionCase[] = [
  toCase("cnn_transformer, tiny", [32, 9, 4, 24]),
  toCase("cnn_transformer, paper", [2, 9, 12, 64]),
];

/**
 * Greatest difference, as a share of the largest value: the scores' sums of S float32 products go through exp, whose
 * error grows with the score (here up to 30), and the gradients through three more such sums.
 */
export const ATTENTION_TOLERANCE = 2e-5;
