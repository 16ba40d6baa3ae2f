import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals } from "@std/assert";
import {
  attentionBackwardTuneCase,
  attentionForwardTuneCase,
} from "../../kernels/attention/attention_tune.ts";
import { batchNormTuneCase } from "../../kernels/batch_norm/batch_norm_tune.ts";
import { conv2dTuneCase } from "../../kernels/conv2d/conv2d_tune.ts";
import { geometryOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import { gruTuneCase } from "../../kernels/gru/gru_tune.ts";
import { matmulTuneCase } from "../../kernels/matmul/matmul_tune.ts";
import { batchNorm, gru, type GruDirectionWeights, register, selfAttention } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { type BenchOutputs, randomTensor } from "../../kernels/runtime/bench.ts";
import {
  choiceFile,
  forgetChoices,
  hashShaders,
  shapeClass,
  type TuneCase,
  tuneCase,
  useChoices,
} from "../../kernels/runtime/tuner.ts";
import { dispatchesOf } from "../../tasks/profile/alone.ts";
import { TUNE_CASES } from "../../tasks/tune/cases.ts";

const adapter = await initializeDevice();
register();

/** A case, and a call of the op that belongs to its class. */
interface Tuned {
  readonly item: TuneCase;
  call(): tf.Tensor | tf.Tensor[];
}

const geometry = geometryOf([2, 5, 5, 8], [3, 3, 8, 12], { strides: 1, pad: 1 });
const attention = { clips: 2, frames: 3, heads: 2, size: 8 };
const layer = { clips: 3, frames: 3, depth: 4, hidden: 8, directions: 2 } as const;

/** y and the gradients of both operands. */
const convolve = () =>
  tf.grads((x, filter) => tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, "same"))(
    [randomTensor([2, 5, 5, 8]), randomTensor([3, 3, 8, 12])],
  );

const attend = () =>
  tf.grads((x, qkvWeight, qkvBias, outputWeight, outputBias) =>
    selfAttention(
      x as tf.Tensor3D,
      { qkvWeight, qkvBias, outputWeight, outputBias } as Parameters<typeof selfAttention>[1],
      { heads: attention.heads },
    )
  )([[2, 3, 16], [16, 48], [48], [16, 16], [16]].map((shape) => randomTensor(shape)));

/** Both directions of a layer. */
const recur = () =>
  tf.grads((x, ...tensors) => {
    const [forwards, backwards] = [tensors.slice(0, 4), tensors.slice(4)].map((
      [inputWeight, hiddenWeight, inputBias, hiddenBias],
    ) => ({ inputWeight, hiddenWeight, inputBias, hiddenBias } as unknown as GruDirectionWeights));
    return gru(x as tf.Tensor3D, [[forwards, backwards]]);
  })(
    [[3, 3, 4], ...[0, 1].flatMap(() => [[4, 24], [8, 24], [24], [24]])].map((shape) => randomTensor(shape)),
  );

const normalize = () =>
  tf.grads((x, gamma, beta) =>
    batchNorm(x, {
      gamma: gamma as tf.Tensor1D,
      beta: beta as tf.Tensor1D,
      runningMean: tf.zeros([8]),
      runningVariance: tf.ones([8]),
    }, { epsilon: 1e-5, momentum: 0.1, relu: false })
  )([[2, 3, 3, 8], [8], [8]].map((shape) => randomTensor(shape)));

const TUNED = ([
  { item: conv2dTuneCase("forward", geometry), call: convolve },
  { item: conv2dTuneCase("backwardInput", geometry), call: convolve },
  { item: conv2dTuneCase("backwardFilter", geometry), call: convolve },
  { item: batchNormTuneCase([2, 3, 3, 8]), call: normalize },
  {
    item: matmulTuneCase({ m: 9, k: 8, n: 12, transposeA: false, transposeB: true }),
    call: () => tf.matMul(randomTensor<tf.Rank.R2>([9, 8]), randomTensor<tf.Rank.R2>([12, 8]), false, true),
  },
  { item: gruTuneCase("forward", layer), call: recur },
  { item: gruTuneCase("backward", layer), call: recur },
  { item: attentionForwardTuneCase(attention), call: attend },
  { item: attentionBackwardTuneCase(attention), call: attend },
] as unknown) as readonly Tuned[];

/** File and constants of each dispatch of a body that runs one of the shaders. */
function ran(
  shaders: TuneCase["shaders"],
  body: () => BenchOutputs,
) {
  const files = shaders.map(({ file }) => file);
  return dispatchesOf(body).filter(({ shader }) => files.includes(shader.file))
    .map(({ shader, constants }) => `${shader.file} ${JSON.stringify(constants)}`);
}

for (const { item, call } of TUNED) {
  Deno.test(`tune: every candidate of ${item.op} is right, one is chosen, nothing leaks`, async () => {
    const before = tf.memory();
    const choice = await tuneCase(item, (variant, difference) => {
      throw new Error(`${JSON.stringify(variant)} is wrong by ${difference}`);
    });
    const candidates = item.candidates().map((variant) => JSON.stringify(variant));
    assert(candidates.includes(JSON.stringify(choice.variant)), JSON.stringify(choice));
    assertEquals(new Set(candidates).size, candidates.length);
    assertEquals(tf.memory().numTensors, before.numTensors);
    assertEquals(tf.memory().numDataBuffers, before.numDataBuffers);
  });

  Deno.test(`tune: ${item.op} runs the tuned variant where choices are used`, async () => {
    const candidates = item.candidates();
    const [shipped, other] = [candidates[0], candidates[candidates.length - 1]];
    const run = item.setup();
    const wanted = [shipped, other].map((variant) => ran(item.shaders, () => run.run(variant)));
    run.dispose();
    assert(wanted[1].some((dispatch) => !wanted[0].includes(dispatch)), `${wanted[1]}`);
    const includes = (dispatches: string[], part: string[]) => part.every((one) => dispatches.includes(one));
    assert(includes(ran(item.shaders, call), wanted[0]), "the default");
    const choice = {
      op: item.op,
      shape_class: shapeClass(item.sizes),
      shaders: await hashShaders(item.shaders),
      variant: other,
      ms: 1,
      default_ms: 2,
    };
    const file = JSON.parse(JSON.stringify(choiceFile(adapter, [choice])));
    try {
      assertEquals(await useChoices(file, adapter, [item]), { used: 1, stale: 0 });
      const tuned = ran(item.shaders, call);
      assert(includes(tuned, wanted[1]), `${tuned}; expected ${wanted[1]}`);
      assert(!includes(tuned, wanted[0]), `${tuned} besides the tuned ${wanted[1]}`);
    } finally {
      forgetChoices();
    }
  });
}

Deno.test("tune: one case a class, and shaders to tell a changed op by", () => {
  const names = TUNE_CASES.map(({ op, sizes }) => `${op} ${shapeClass(sizes)}`);
  assertEquals(new Set(names).size, names.length);
  for (const item of TUNE_CASES) {
    assert(item.shaders.length > 0, item.op);
    assert(item.candidates().length > 1, item.op);
  }
  assertEquals([...new Set(TUNE_CASES.map(({ op }) => op))], [
    "conv2d_fwd",
    "conv2d_bwd_input",
    "conv2d_bwd_filter",
    "batch_norm",
    "matmul",
    "gru_fwd",
    "gru_bwd",
    "attention_fwd",
    "attention_bwd",
  ]);
});
