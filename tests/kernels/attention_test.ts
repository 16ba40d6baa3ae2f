import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { attentionBackward, attentionForward, requireSettings } from "../../kernels/attention/attention.ts";
import {
  ATTENTION_TOLERANCE,
  type AttentionCase,
  EDGE_CASES,
  MODEL_CASES,
} from "../../kernels/attention/attention_cases.ts";
import { attentionBackwardRef, attentionForwardRef } from "../../kernels/attention/attention_ref.ts";
import { biasSums } from "../../kernels/attention/self_attention.ts";
import {
  backwardCandidates,
  type BackwardVariant,
  forwardCandidates,
  type ForwardVariant,
} from "../../kernels/attention/variants.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";
import { draw, optionsOf, seed } from "./_attention.ts";
import { watchConstants } from "./_constants.ts";

const requireVaried = watchConstants("attention");

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

async function check(testCase: AttentionCase, forward?: ForwardVariant, backward?: BackwardVariant) {
  const { name, clips, frames, heads, size } = testCase;
  const depth = heads * size;
  const { mask, dropout, factors } = optionsOf(testCase);
  const settings = { clips, frames, heads, size, mask, dropout };
  const qkv = draw([clips * frames, 3 * depth], 2);
  const dcontext = draw([clips * frames, depth]);
  const { outputs, dqkv } = withPoisonedOutputs(() => {
    const outputs = attentionForward(qkv.tensor, settings, forward);
    return {
      outputs,
      dqkv: attentionBackward(qkv.tensor, outputs, dcontext.tensor, settings, backward),
    };
  });
  const label = `${name} ${JSON.stringify(forward ?? "")} ${JSON.stringify(backward ?? "")} (seed ${seed})`;
  const expected = attentionForwardRef(qkv.values, testCase, factors);
  const gradient = attentionBackwardRef(qkv.values, dcontext.values, testCase, factors);
  compare(`attention ${label}`, await read(outputs.context), expected.context, ATTENTION_TOLERANCE);
  compare(`attention lse ${label}`, await read(outputs.logSumExp), expected.logSumExp, ATTENTION_TOLERANCE);
  compare(`attention gradient ${label}`, await read(dqkv), gradient, ATTENTION_TOLERANCE);
  tf.dispose([qkv.tensor, dcontext.tensor, ...(mask ? [mask] : [])]);
}

for (const testCase of [...EDGE_CASES, ...MODEL_CASES]) {
  Deno.test(`attention: ${testCase.name}`, () => check(testCase));
}

Deno.test("attention: every tile size", async () => {
  const options = { masked: true, rate: 0.3 };
  const short: AttentionCase = { name: "5 frames", clips: 2, frames: 5, heads: 2, size: 12, ...options };
  const long: AttentionCase = { name: "11 frames", clips: 2, frames: 11, heads: 2, size: 12, ...options };
  for (const frames of [5, 6]) await check(short, undefined, { kind: "short", frames });
  for (const [own, others] of [[1, 1], [2, 1], [1, 3], [3, 2]]) {
    const backward: BackwardVariant = { kind: "registers", rows: own, others };
    await check(long, { kind: "registers", queries: own, keys: others }, backward);
  }
  const plain = { masked: false, rate: 0 };
  const forward: ForwardVariant = { kind: "registers", queries: 2, keys: 4 };
  await check({ ...short, ...plain }, forward, { kind: "short", frames: 5 });
  await check({ ...long, ...plain }, forward, { kind: "registers", rows: 2, others: 4 });
});

Deno.test("attention: the variants for GPUs", async () => {
  const options = { masked: true, rate: 0.3 };
  const sizes: AttentionCase[] = [
    { name: "one tile", clips: 3, frames: 5, heads: 2, size: 8, ...options },
    { name: "tiles", clips: 2, frames: 19, heads: 2, size: 8, ...options },
    { name: "channels beyond a tile", clips: 2, frames: 9, heads: 1, size: 40 },
  ];
  for (const testCase of sizes) {
    await check(testCase, { kind: "workgroup", rows: 1 }, { kind: "workgroup", rows: 1 });
  }
  for (const rows of [2, 4]) {
    const plain = { ...sizes[1], masked: false, rate: 0 };
    await check(plain, { kind: "workgroup", rows }, { kind: "workgroup", rows });
  }
});

Deno.test("attention: a GPU gets workgroups, a software adapter registers", () => {
  for (const frames of [1, 8, 9, 16, 17, 512]) {
    const rows = frames <= 8 ? 1 : frames <= 16 ? 2 : 4;
    for (
      const variant of [
        forwardCandidates(frames, false)[0],
        backwardCandidates(frames, false)[0],
      ]
    ) {
      assertEquals(variant, { kind: "workgroup", rows });
    }
  }
  for (const frames of [1, 9, 10, 11, 512]) {
    assertEquals(forwardCandidates(frames, true)[0].kind, "registers");
    assertEquals(backwardCandidates(frames, true)[0].kind, frames <= 10 ? "short" : "registers");
  }
});

Deno.test("attention: the biases' gradients, for any number of slices", async () => {
  const [rows, columnsA, columnsB] = [13, 20, 8];
  const [a, b] = [draw([rows, columnsA]), draw([rows, columnsB])];
  const sums = (values: Float32Array, columns: number) =>
    Float64Array.from(
      { length: columns },
      (_, n) => values.reduce((sum, value, i) => i % columns === n ? sum + value : sum, 0),
    );
  for (const slices of [1, 3, 8]) {
    const [da, db] = withPoisonedOutputs(() => biasSums(a.tensor, b.tensor, slices));
    compare(`bias sums, ${slices} slices (seed ${seed})`, await read(da), sums(a.values, columnsA), 1e-5);
    compare(`bias sums, ${slices} slices (seed ${seed})`, await read(db), sums(b.values, columnsB), 1e-5);
  }
  tf.dispose([a.tensor, b.tensor]);
});

Deno.test("attention: refuses what does not fit", () => {
  const settings = { clips: 2, frames: 3, heads: 2, size: 4 };
  const [qkv, context, logSumExp] = [tf.zeros([6, 24]), tf.zeros([6, 8]), tf.zeros([2, 2, 3])];
  assertThrows(() => attentionForward(qkv, { ...settings, heads: 3 }), RangeError, "expected [6,36]");
  for (const size of [2, 6, 132]) {
    assertThrows(() => attentionForward(qkv, { ...settings, size }), RangeError, `the head size is ${size}`);
  }
  const most = { clips: 16, heads: 16, frames: 4096, size: 4 }; // 2^32 probabilities
  const dropout = { rate: 0.1, seed: 1, layer: 2, step: 3 };
  requireSettings({ ...most, dropout });
  requireSettings({ ...most, clips: 17, dropout: { ...dropout, rate: 0 } });
  assertThrows(
    () => requireSettings({ ...most, clips: 17, dropout }),
    RangeError,
    "dropout of 4563402752 probabilities, [17, 16, 4096, 4096]; expected at most 4294967296",
  );
  assertThrows(
    () => attentionBackward(qkv, { context, logSumExp }, context, settings, { kind: "short", frames: 2 }),
    RangeError,
    "a tile of 2 frames; expected at least 3",
  );
  assertThrows(
    () => attentionBackward(qkv, { context, logSumExp }, qkv, settings),
    RangeError,
    "the gradient of the context has shape [6,24]; expected [6,8]",
  );
});

Deno.test("attention: the tests above vary every constant of the shaders", () =>
  requireVaried("attention_bwd_workgroup STRIDE", "attention_fwd_workgroup STRIDE")); // rows in memory, no tile
