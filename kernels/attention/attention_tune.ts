/**
 * What the tuner tries for attention's core: every candidate on the shape classes of the transformers.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { randomTensor } from "../runtime/bench.ts";
import { currentTraits, release } from "../runtime/program.ts";
import { onePerClass, type TuneCase } from "../runtime/tuner.ts";
import { attentionBackward, attentionForward } from "./attention.ts";
import { stockCore } from "./attention_bench.ts";
import { ATTENTION_TOLERANCE } from "./attention_cases.ts";
import {
  ATTENTION_SHADERS,
  backwardCandidates,
  type BackwardVariant,
  forwardCandidates,
  type ForwardVariant,
  type Sizes,
  sizesOf,
} from "./variants.ts";

const TOLERANCE = 2 * ATTENTION_TOLERANCE; // two float32 results, each with its own error

/** Every candidate of forward. */
export function attentionForwardTuneCase(sizes: Sizes): TuneCase<ForwardVariant> {
  const { clips, frames, heads, size } = sizes;
  return {
    op: "attention_fwd",
    sizes: sizesOf(sizes),
    shaders: ATTENTION_SHADERS.forward,
    candidates: () => forwardCandidates(frames, currentTraits().software),
    setup() {
      const qkv = randomTensor([clips * frames, 3 * heads * size]);
      return {
        run(variant) {
          const { context, logSumExp } = attentionForward(qkv, sizes, variant);
          release(logSumExp);
          return context;
        },
        expected: () => stockCore(qkv, sizes),
        tolerance: TOLERANCE,
        dispose: () => qkv.dispose(),
      };
    },
  };
}

/** Every candidate of backward. */
export function attentionBackwardTuneCase(sizes: Sizes): TuneCase<BackwardVariant> {
  const { clips, frames, heads, size } = sizes;
  return {
    op: "attention_bwd",
    sizes: sizesOf(sizes),
    shaders: ATTENTION_SHADERS.backward,
    candidates: () => backwardCandidates(frames, currentTraits().software),
    setup() {
      const qkv = randomTensor([clips * frames, 3 * heads * size]);
      const dcontext = randomTensor<tf.Rank.R2>([clips * frames, heads * size]);
      const outputs = attentionForward(qkv, sizes);
      return {
        run: (variant): TensorInfo => attentionBackward(qkv, outputs, dcontext, sizes, variant),
        expected: () => tf.grad((x) => stockCore(x, sizes))(qkv, dcontext),
        tolerance: TOLERANCE,
        dispose() {
          tf.dispose([qkv, dcontext]);
          [outputs.context, outputs.logSumExp].forEach(release);
        },
      };
    },
  };
}

/** The transformers, the demo's and the paper's, at their batches; and long clips. */
const SIZES: readonly Sizes[] = [
  { clips: 32, frames: 9, heads: 4, size: 24 },
  { clips: 96, frames: 9, heads: 12, size: 64 },
  { clips: 32, frames: 32, heads: 4, size: 24 },
  { clips: 8, frames: 128, heads: 12, size: 64 },
  { clips: 1, frames: 512, heads: 4, size: 24 },
];

/** One case a class. */
export const ATTENTION_TUNE_CASES: readonly TuneCase[] = [
  ...onePerClass(SIZES.map(attentionForwardTuneCase)),
  ...onePerClass(SIZES.map(attentionBackwardTuneCase)),
] as readonly TuneCase[];
