/**
 * Attention side by side with tfjs's: the core from q, k, v, and the whole layer, each forward and backward.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, randomTensor } from "../runtime/bench.ts";
import { attentionBackward, attentionForward } from "./attention.ts";
import { ATTENTION_TOLERANCE, type AttentionCase } from "./attention_cases.ts";
import type { AttentionSizes } from "./attention_ref.ts";
import { selfAttention, type SelfAttentionWeights } from "./self_attention.ts";

/** The layers of the CNN-Transformer, small and the paper's, at their batches; and a minute of frames. */
const CASES: readonly AttentionCase[] = [
  { name: "tiny, T 9", clips: 32, frames: 9, heads: 4, size: 24 },
  { name: "paper, T 9", clips: 96, frames: 9, heads: 12, size: 64 },
  { name: "tiny, T 512", clips: 1, frames: 512, heads: 4, size: 24 },
];

/** q, k, v [B * T, 3D] -> context [B * T, D] by plain tfjs */
export function stockCore(qkv: tf.Tensor, { clips, frames, heads, size }: AttentionSizes): tf.Tensor2D {
  const parts = qkv.reshape([clips, frames, 3, heads, size]).transpose([2, 0, 3, 1, 4]); // [3, B, A, T, S]
  const [q, k, v] = tf.unstack(parts);
  const probabilities = q.matMul(k, false, true).mul(1 / Math.sqrt(size)).softmax(); // [B, A, T, T]
  return probabilities.matMul(v).transpose([0, 2, 1, 3]).reshape([clips * frames, heads * size]);
}

function stockLayer(x: tf.Tensor, weights: readonly tf.Tensor[], testCase: AttentionCase): tf.Tensor3D {
  const [qkvWeight, qkvBias, outputWeight, outputBias] = weights;
  const rows = x.reshape([testCase.clips * testCase.frames, -1]); // [B * T, D]
  const context = stockCore(rows.matMul(qkvWeight).add(qkvBias), testCase);
  return context.matMul(outputWeight).add(outputBias).reshape(x.shape as [number, number, number]);
}

/** Forward: 2 products of [T, S] by [S, T] a head; backward: 5, the scores once more. */
function coreFlops({ clips, frames, heads, size }: AttentionCase): number {
  return 14 * clips * heads * frames ** 2 * size;
}

function coreBench(testCase: AttentionCase): BenchCase {
  const { name, clips, frames, heads, size } = testCase;
  const depth = heads * size;
  return {
    op: "attention",
    name: `core, ${name}`,
    flops: coreFlops(testCase),
    bytes: 4 * clips * frames * depth * (3 + 1 + 1 + 3), // q, k, v; context; their gradients
    setup() {
      const qkv = randomTensor([clips * frames, 3 * depth]);
      const dcontext = randomTensor<tf.Rank.R2>([clips * frames, depth]);
      return {
        ours() {
          const { context, logSumExp } = attentionForward(qkv, testCase);
          const dqkv = attentionBackward(qkv, { context, logSumExp }, dcontext, testCase);
          tf.engine().makeTensorFromTensorInfo(logSumExp); // freed by the tidy
          return [context, dqkv];
        },
        stock() {
          const { value, grad } = tf.valueAndGrad((x) => stockCore(x, testCase))(qkv, dcontext);
          return [value, grad];
        },
        tolerance: 2 * ATTENTION_TOLERANCE,
        dispose: () => tf.dispose([qkv, dcontext]),
      };
    },
  };
}

function layerBench(testCase: AttentionCase): BenchCase {
  const { name, clips, frames, heads, size } = testCase;
  const depth = heads * size;
  return {
    op: "attention",
    name: `layer, ${name}`,
    flops: 3 * 2 * clips * frames * depth * 4 * depth + coreFlops(testCase),
    setup() {
      const bound = 1 / Math.sqrt(depth);
      const tensors = [
        randomTensor([clips, frames, depth]),
        ...[[depth, 3 * depth], [3 * depth], [depth, depth], [depth]].map((shape) =>
          tf.tidy(() => randomTensor(shape).mul<tf.Tensor>(bound))
        ),
      ];
      const dy = randomTensor<tf.Rank.R3>([clips, frames, depth]);
      const both = (layer: (x: tf.Tensor, ...weights: tf.Tensor[]) => tf.Tensor3D) => () => {
        const { value, grads } = tf.valueAndGrads(layer)(tensors, dy);
        return [value, ...grads];
      };
      return {
        ours: both((x, qkvWeight, qkvBias, outputWeight, outputBias) => {
          const weights = { qkvWeight, qkvBias, outputWeight, outputBias } as SelfAttentionWeights;
          return selfAttention(x as tf.Tensor3D, weights, { heads });
        }),
        stock: both((x, ...weights) => stockLayer(x, weights, testCase)),
        tolerance: 2 * ATTENTION_TOLERANCE,
        dispose: () => tf.dispose([tensors, dy]),
      };
    },
  };
}

/** The core and the whole layer. */
export const ATTENTION_BENCHES: readonly BenchCase[] = [...CASES.map(coreBench), ...CASES.map(layerBench)];
