import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals, assertThrows } from "@std/assert";
import { ATTENTION_TOLERANCE, type AttentionCase } from "../../kernels/attention/attention_cases.ts";
import { selfAttentionBackwardRef, selfAttentionForwardRef } from "../../kernels/attention/attention_ref.ts";
import { selfAttention, type SelfAttentionWeights } from "../../kernels/attention/self_attention.ts";
import { register } from "../../kernels/mod.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import golden from "../golden/attention.json" with { type: "json" };
import { compareSummary, noise } from "../golden/noise.ts";
import { draw, KEY, optionsOf, random, seed } from "./_attention.ts";
import { requireNothingLeft } from "./_failing.ts";

register();

const WEIGHTS = ["qkvWeight", "qkvBias", "outputWeight", "outputBias"] as const;

/** float32 sums of 768 products, three after another, against float64: of a tensor's norm. */
const GOLDEN_TOLERANCE = 1e-5;

/** x and the weights of a layer, the latter of the size that training begins with. */
function drawLayer({ clips, frames, heads, size }: AttentionCase) {
  const depth = heads * size;
  const bound = 1 / Math.sqrt(depth);
  const drawn = {
    x: draw([clips, frames, depth]),
    qkvWeight: draw([depth, 3 * depth], 2 * bound),
    qkvBias: draw([3 * depth], bound),
    outputWeight: draw([depth, depth], bound),
    outputBias: draw([depth], bound),
  };
  return {
    values: {
      x: drawn.x.values,
      qkvWeight: drawn.qkvWeight.values,
      qkvBias: drawn.qkvBias.values,
      outputWeight: drawn.outputWeight.values,
      outputBias: drawn.outputBias.values,
    },
    tensors: [drawn.x.tensor, ...WEIGHTS.map((name) => drawn[name].tensor)],
  };
}

function toWeights(tensors: readonly tf.Tensor[]): SelfAttentionWeights {
  return Object.fromEntries(WEIGHTS.map((name, i) => [name, tensors[i]])) as unknown as SelfAttentionWeights;
}

const LAYER_CASES: readonly AttentionCase[] = [
  { name: "plain", clips: 2, frames: 5, heads: 2, size: 8 },
  { name: "masked, dropout", clips: 2, frames: 5, heads: 2, size: 8, masked: true, rate: 0.4 },
  { name: "heads of 6", clips: 2, frames: 3, heads: 4, size: 6, masked: true },
  { name: "heads of 5, depth 15", clips: 1, frames: 2, heads: 3, size: 5 },
];

for (const testCase of LAYER_CASES) {
  Deno.test(`selfAttention: values, every gradient, no leak: ${testCase.name}`, async () => {
    const { name, clips, frames, heads, size } = testCase;
    const { values, tensors } = drawLayer(testCase);
    const { mask, dropout, factors } = optionsOf(testCase);
    const dy = draw([clips, frames, heads * size]);
    const options = { heads, mask, dropout };
    const layer = (x: tf.Tensor, ...weights: tf.Tensor[]) =>
      selfAttention(x as tf.Tensor3D, toWeights(weights), options);
    const before = tf.memory();
    const y = withPoisonedOutputs(() => layer(tensors[0], ...tensors.slice(1)));
    assertEquals(tf.memory().numTensors, before.numTensors + 1);
    const gradients = withPoisonedOutputs(() => tf.grads(layer)(tensors, dy.tensor));
    assertEquals(tf.memory().numTensors, before.numTensors + 1 + gradients.length);
    const label = `${name} (seed ${seed})`;
    const expected = selfAttentionForwardRef(values, testCase, factors);
    compare(`selfAttention ${label}`, await y.data(), expected, ATTENTION_TOLERANCE);
    const reference = selfAttentionBackwardRef(values, dy.values, testCase, factors);
    for (const [i, gradient] of gradients.entries()) {
      const what = `selfAttention gradient of ${["x", ...WEIGHTS][i]} ${label}`;
      compare(what, await gradient.data(), reference[i], ATTENTION_TOLERANCE);
    }
    tf.dispose([y, gradients]);
    assertEquals(tf.memory().numTensors, before.numTensors);
    assertEquals(tf.memory().numDataBuffers, before.numDataBuffers);
    tf.dispose([tensors, dy.tensor, mask ?? []]);
  });
}

Deno.test("selfAttention: the reference's gradients are those of its values", () => {
  const testCase: AttentionCase = {
    name: "",
    clips: 2,
    frames: 3,
    heads: 2,
    size: 2,
    masked: true,
    rate: 0.3,
  };
  const { values, tensors } = drawLayer(testCase);
  const { mask, factors } = optionsOf(testCase);
  const dy = Float64Array.from({ length: values.x.length }, () => random.uniform(-1, 1));
  const gradients = selfAttentionBackwardRef(values, dy, testCase, factors);
  for (const [i, name] of (["x", ...WEIGHTS] as const).entries()) {
    const f = (input: Float64Array) =>
      selfAttentionForwardRef({ ...values, [name]: input }, testCase, factors)
        .reduce((sum, y, n) => sum + y * dy[n], 0);
    gradcheck(`selfAttention ${name} (seed ${seed})`, f, Float64Array.from(values[name]), gradients[i]);
  }
  tf.dispose([tensors, mask ?? []]);
});

Deno.test("selfAttention: the same as the graph of plain tfjs, with a bool mask of ones too", async () => {
  const testCase: AttentionCase = { name: "", clips: 2, frames: 5, heads: 3, size: 8 };
  const { tensors: [x, ...rest] } = drawLayer(testCase);
  const weights = toWeights(rest);
  const stock = stockLayers.selfAttention(x as tf.Tensor3D, weights, { heads: 3 });
  const expected = await stock.data();
  for (const mask of [undefined, tf.ones<tf.Rank.R2>([2, 5], "bool")]) {
    const y = selfAttention(x as tf.Tensor3D, weights, { heads: 3, mask });
    compare(`selfAttention (seed ${seed})`, await y.data(), expected, ATTENTION_TOLERANCE);
    tf.dispose([y, mask ?? []]);
  }
  tf.dispose([x, rest, stock]);
});

Deno.test("selfAttention: 3 dispatches forward, 7 at most backward, for short and long clips", () => {
  for (const frames of [5, 33]) {
    // Four clips: where B T is no multiple of 4, matmul pads its operands in further dispatches.
    const { tensors } = drawLayer({ name: "", clips: 4, frames, heads: 2, size: 8 });
    const layer = (x: tf.Tensor, ...weights: tf.Tensor[]) =>
      selfAttention(x as tf.Tensor3D, toWeights(weights), { heads: 2 });
    const forward = countDispatches(() => layer(tensors[0], ...tensors.slice(1)));
    assertEquals([forward.ours, forward.stock], [3, 0]);
    const dy = tf.ones(tensors[0].shape);
    const both = countDispatches(() => tf.grads(layer)(tensors, dy));
    assertEquals([both.ours - forward.ours, both.stock], [6, 0]);
    tf.dispose([tensors, forward.value, both.value, dy]);
  }
});

Deno.test("selfAttention: the same bits twice", async () => {
  const { tensors } = drawLayer({ name: "", clips: 1, frames: 33, heads: 2, size: 8 });
  const mask = tf.ones<tf.Rank.R2>([1, 33], "int32");
  const layer = (x: tf.Tensor, ...weights: tf.Tensor[]) =>
    selfAttention(x as tf.Tensor3D, toWeights(weights), { heads: 2, mask, dropout: { rate: 0.2, ...KEY } });
  const runs: Float32Array[][] = [];
  for (let i = 0; i < 2; i++) {
    const { value, grads } = tf.valueAndGrads(layer)(tensors, tensors[0] as tf.Tensor3D);
    runs.push(await Promise.all([value, ...grads].map((tensor) => tensor.data<"float32">())));
    tf.dispose([value, grads]);
  }
  assertEquals(runs[0], runs[1]);
  tf.dispose([tensors, mask]);
});

Deno.test("selfAttention: leaves nothing behind where a dispatch cannot run", () => {
  // 20 rows: of other than multiples of 4 matmul pads its operands first.
  const testCase: AttentionCase = { name: "", clips: 4, frames: 5, heads: 2, size: 8 };
  const kernel = (name: string, inputs: Record<string, TensorInfo>) => {
    const { kernelFunc } = tf.getKernel(name, "webgpu");
    const attrs = { heads: 2, scale: 0.3 } as unknown as tf.NamedAttrMap;
    return kernelFunc({ inputs, backend: tf.backend(), attrs }) as TensorInfo[];
  };
  const draw = () => drawLayer(testCase).tensors;
  const forward = ([x, ...weights]: TensorInfo[]) =>
    kernel("FervidSelfAttention", { x, ...Object.fromEntries(WEIGHTS.map((name, i) => [name, weights[i]])) });
  requireNothingLeft(draw, forward);
  const withSaved = () => {
    const tensors = draw();
    const made = forward(tensors).map((info) => tf.engine().makeTensorFromTensorInfo(info));
    return [...tensors, ...made];
  };
  requireNothingLeft(
    withSaved,
    ([x, qkvWeight, , outputWeight, , dy, qkv, context, logSumExp]) =>
      kernel("FervidSelfAttentionGrad", { x, dy, qkvWeight, outputWeight, qkv, context, logSumExp }),
  );
});

Deno.test("selfAttention: refuses what does not fit", () => {
  const { tensors } = drawLayer({ name: "", clips: 2, frames: 3, heads: 2, size: 4 });
  const [x, qkvWeight, qkvBias, outputWeight, outputBias] = tensors;
  const call = (changes: Record<string, unknown> = {}, options: Record<string, unknown> = {}) => () =>
    selfAttention(
      (changes.x ?? x) as tf.Tensor3D,
      { qkvWeight, qkvBias, outputWeight, outputBias, ...changes } as SelfAttentionWeights,
      { heads: 2, ...options },
    );
  assertThrows(call({ x: tf.zeros([3, 8]) }), RangeError, "expected [B, T, D]");
  assertThrows(call({ x: tf.zeros([2, 0, 8]) }), RangeError, "without an empty dimension");
  assertThrows(call({ x: tf.zeros([2 ** 17 + 1, 1, 8]) }), RangeError, "at most 131072 frames in all");
  assertThrows(call({}, { heads: 3 }), RangeError, "3 heads; expected a divisor of D = 8");
  assertThrows(call({}, { heads: 0 }), RangeError, "0 heads");
  assertThrows(
    call({ qkvWeight: tf.zeros([8, 16]) }),
    RangeError,
    "qkvWeight has shape [8,16]; expected [8,24]",
  );
  assertThrows(call({ qkvBias: tf.zeros([8]) }), RangeError, "qkvBias has shape [8]; expected [24]");
  assertThrows(
    call({ outputBias: tf.zeros([8], "int32") }),
    TypeError,
    "outputBias is int32; expected float32",
  );
  const mask = (shape: number[], dtype: "int32" | "float32") => ({ mask: tf.ones(shape, dtype) });
  assertThrows(call({}, mask([3, 2], "int32")), RangeError, "the mask has shape [3,2]; expected [2, 3]");
  assertThrows(call({}, mask([2, 3], "float32")), TypeError, "the mask is float32; expected int32 or bool");
  assertThrows(call({}, { dropout: { rate: 1, ...KEY } }), RangeError, "rate is 1");
  for (const size of [129, 132]) {
    const wide = drawLayer({ name: "", clips: 1, frames: 1, heads: 1, size }).tensors;
    assertThrows(
      () => selfAttention(wide[0] as tf.Tensor3D, toWeights(wide.slice(1)), { heads: 1 }),
      RangeError,
      `heads of ${size}, D / A; expected at most 128`,
    );
    tf.dispose(wide);
  }
  const long = drawLayer({ name: "", clips: 1, frames: 4097, heads: 1, size: 4 }).tensors;
  assertThrows(
    () => selfAttention(long[0] as tf.Tensor3D, toWeights(long.slice(1)), { heads: 1 }),
    RangeError,
    "clips of 4097 frames; expected at most 4096",
  );
  const { tensors: many } = drawLayer({ name: "", clips: 32, frames: 4096, heads: 9, size: 1 });
  assertThrows(
    () =>
      selfAttention(many[0] as tf.Tensor3D, toWeights(many.slice(1)), {
        heads: 9,
        dropout: { rate: 0.5, ...KEY },
      }),
    RangeError,
    "dropout of 4831838208 probabilities, [32, 9, 4096, 4096]; expected at most 4294967296",
  );
  tf.dispose([tensors, long, many]);
});

for (const [name, { clips, frames, masked, tensors: expected }] of Object.entries(golden)) {
  Deno.test(`selfAttention equals PyTorch's nn.MultiheadAttention, 12 heads at D 768: ${name}`, async () => {
    const [depth, scale] = [768, 1 / 16];
    const shapes = [[depth, 3 * depth], [3 * depth], [depth, depth], [depth]];
    const weights = WEIGHTS.map((weight, i) => {
      const values = noise(weight, shapes[i].reduce((product, n) => product * n, 1));
      return tf.tensor(values.map((value) => scale * value), shapes[i]);
    });
    const tensors = [tf.tensor(noise("x", clips * frames * depth), [clips, frames, depth]), ...weights];
    const dy = tf.tensor3d(noise("dy", clips * frames * depth), [clips, frames, depth]);
    const attended = new Int32Array(clips * frames).fill(1);
    for (const [clip, frame] of masked) attended[clip * frames + frame] = 0;
    const mask = masked.length > 0 ? tf.tensor2d(attended, [clips, frames], "int32") : undefined;
    const layer = (x: tf.Tensor, ...weights: tf.Tensor[]) =>
      selfAttention(x as tf.Tensor3D, toWeights(weights), { heads: 12, mask });
    const { value, grads } = tf.valueAndGrads(layer)(tensors, dy);
    const actual = {
      y: value,
      ...Object.fromEntries(["x", ...WEIGHTS].map((input, i) => [input, grads[i]])),
    };
    for (const [tensor, summary] of Object.entries(expected)) {
      const values = await actual[tensor as keyof typeof actual].data();
      compareSummary(name, tensor, values, summary, GOLDEN_TOLERANCE);
    }
    tf.dispose([tensors, dy, mask ?? [], value, grads]);
  });
}
