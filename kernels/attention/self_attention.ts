/**
 * The whole layer of multi-head self-attention: fused projection to q, k, v, the core, the output projection. Forward
 * takes 3 dispatches and backward 6, where a matrix product takes one.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { matmul } from "../matmul/matmul.ts";
import { currentTraits, release, reshapeInfo, run } from "../runtime/program.ts";
import type { KernelInputs, NewKernel } from "../runtime/registry.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import {
  attentionBackward,
  type AttentionDropout,
  attentionForward,
  type AttentionSettings,
  MAX_SIZE,
  requireSettings,
} from "./attention.ts";
import biasSumsSource from "./bias_sums.wgsl" with { type: "text" };

const BIAS_SUMS: ShaderFile = { file: "attention/bias_sums.wgsl", source: biasSumsSource };
const NAME = "FervidSelfAttention";
const MASKED_NAME = "FervidMaskedSelfAttention";
const LANES = 8;
/** Slices of rows of a workgroup that sums the biases. */
const SLICES = { software: 8, gpu: 32 } as const;
/** Most frames of all clips: llvmpipe leaves a loop after 65535 iterations (see rows.ts), and a bias sums an eighth. */
const MAX_ROWS = 2 ** 17;

/** The weights of multi-head self-attention. */
export interface SelfAttentionWeights {
  /** [D, 3D], columns q, k, v, each head by head */
  readonly qkvWeight: tf.Tensor2D;
  /** [3D] */
  readonly qkvBias: tf.Tensor1D;
  /** [D, D] */
  readonly outputWeight: tf.Tensor2D;
  /** [D] */
  readonly outputBias: tf.Tensor1D;
}

/** How the layer is applied. */
export interface SelfAttentionOptions {
  /** A, a divisor of D; D / A is at most 128 */
  readonly heads: number;
  /** int32 or bool [B, T]: where it is 0, nothing attends to that frame */
  readonly mask?: tf.Tensor2D;
  /** of the probabilities, counted by their place in [B, A, T, T]; none by default */
  readonly dropout?: AttentionDropout;
}

interface Attributes {
  readonly heads: number;
  /** of the scores */
  readonly scale: number;
  readonly dropout?: AttentionDropout;
}

/** The heads' sizes are those of the weights, which may be padded. */
function settingsOf({ x, qkvWeight, mask }: KernelInputs, attributes: Attributes): AttentionSettings {
  const [clips, frames] = x.shape;
  return { clips, frames, size: qkvWeight.shape[1] / (3 * attributes.heads), mask, ...attributes };
}

/** @returns y [B, T, D], and what backward needs: q, k, v [B * T, 3AS], context [B * T, AS], log-sum-exp [B, A, T] */
function forward(inputs: KernelInputs, attributes: Attributes): TensorInfo[] {
  const { x, qkvWeight, qkvBias, outputWeight, outputBias } = inputs;
  const [clips, frames, depth] = x.shape;
  const rows = reshapeInfo(x, [clips * frames, depth]);
  const made: TensorInfo[] = []; // given back if a later dispatch cannot run
  try {
    const qkv = matmul(rows, qkvWeight, { bias: qkvBias });
    made.push(qkv);
    const { context, logSumExp } = attentionForward(qkv, settingsOf(inputs, attributes));
    made.push(context, logSumExp);
    const y = matmul(context, outputWeight, { bias: outputBias });
    return [{ ...y, shape: x.shape }, qkv, context, logSumExp];
  } catch (error) {
    made.forEach(release);
    throw error;
  } finally {
    release(rows);
  }
}

/**
 * a [M, Na], b [M, Nb] -> [Na], [Nb]
 *
 * @param slices of the rows, summed apart
 */
export function biasSums(
  a: TensorInfo,
  b: TensorInfo,
  slices: number = currentTraits().software ? SLICES.software : SLICES.gpu,
): TensorInfo[] {
  const [rows, columnsA] = a.shape;
  const columnsB = b.shape[1];
  return run({
    shader: BIAS_SUMS,
    constants: { SLICES: slices },
    inputs: [a, b],
    outputs: [{ shape: [columnsA] }, { shape: [columnsB] }],
    uniforms: { rows, columns_a: columnsA / 4, columns_b: columnsB / 4 },
    workgroups: [Math.ceil((columnsA + columnsB) / (4 * LANES))],
  });
}

/** @returns the gradient of q, k, v */
function backwardCore(inputs: KernelInputs, dy: TensorInfo, attributes: Attributes): TensorInfo {
  const { outputWeight, qkv, context, logSumExp } = inputs;
  const dcontext = matmul(dy, outputWeight, { transposeB: true });
  try {
    return attentionBackward(qkv, { context, logSumExp }, dcontext, settingsOf(inputs, attributes));
  } finally {
    release(dcontext);
  }
}

/** @returns the gradients of x, qkvWeight, qkvBias, outputWeight, outputBias */
function backward(inputs: KernelInputs, attributes: Attributes): TensorInfo[] {
  const { x, qkvWeight, context } = inputs;
  const [clips, frames, depth] = x.shape;
  const rows = reshapeInfo(x, [clips * frames, depth]);
  const dy = reshapeInfo(inputs.dy, [clips * frames, depth]);
  const made: TensorInfo[] = []; // given back if a later dispatch cannot run
  const temporary = [rows, dy];
  try {
    const dOutputWeight = matmul(context, dy, { transposeA: true });
    made.push(dOutputWeight);
    const dqkv = backwardCore(inputs, dy, attributes);
    temporary.push(dqkv);
    const dx = matmul(dqkv, qkvWeight, { transposeB: true });
    made.push(dx);
    const dQkvWeight = matmul(rows, dqkv, { transposeA: true });
    made.push(dQkvWeight);
    const [dQkvBias, dOutputBias] = biasSums(dqkv, dy);
    return [{ ...dx, shape: x.shape }, dQkvWeight, dQkvBias, dOutputWeight, dOutputBias];
  } catch (error) {
    made.forEach(release);
    throw error;
  } finally {
    temporary.forEach(release);
  }
}

const refuseMask = () => {
  throw new Error("Cannot differentiate selfAttention with respect to its mask");
};

/** The layer under a name of its own with and without a mask, since tfjs saves no input that may be missing. */
function layerKernels(name: string, mask: readonly "mask"[]): NewKernel[] {
  const saved = ["x", "qkvWeight", "outputWeight", ...mask, "qkv", "context", "logSumExp"];
  return [
    {
      name,
      run: (inputs, attributes) => forward(inputs, attributes as unknown as Attributes),
      gradient: {
        inputsToSave: ["x", "qkvWeight", "outputWeight", ...mask],
        outputsToSave: [false, true, true, true],
        gradFunc(dys, tensors, attributes) {
          const inputs = Object.fromEntries(saved.map((input, i) => [input, tensors[i]]));
          inputs.dy = (dys as tf.Tensor[])[0];
          const [dx, dQkvWeight, dQkvBias, dOutputWeight, dOutputBias] = tf.engine().runKernel(
            `${name}Grad`,
            inputs,
            attributes,
          ) as tf.Tensor[];
          return {
            x: () => dx,
            qkvWeight: () => dQkvWeight,
            qkvBias: () => dQkvBias,
            outputWeight: () => dOutputWeight,
            outputBias: () => dOutputBias,
            mask: refuseMask,
          };
        },
      },
    },
    {
      name: `${name}Grad`,
      run: (inputs, attributes) => backward(inputs, attributes as unknown as Attributes),
    },
  ];
}

/** The layer with its gradient, for tfjs's registry. */
export const ATTENTION_KERNELS: readonly NewKernel[] = [
  ...layerKernels(NAME, []),
  ...layerKernels(MASKED_NAME, ["mask"]),
];

function requireShapes(x: tf.Tensor3D, weights: SelfAttentionWeights, heads: number): void {
  if (x.rank !== 3 || x.size === 0) {
    throw new RangeError(
      `Cannot run selfAttention: x has shape [${x.shape}]; expected [B, T, D] without an empty dimension`,
    );
  }
  const [clips, frames, depth] = x.shape;
  if (clips * frames > MAX_ROWS) {
    throw new RangeError(
      `Cannot run selfAttention: x has shape [${x.shape}]; expected at most ${MAX_ROWS} frames in all`,
    );
  }
  if (!Number.isInteger(heads) || heads < 1 || depth % heads !== 0) {
    throw new RangeError(`Cannot run selfAttention: ${heads} heads; expected a divisor of D = ${depth}`);
  }
  const size = depth / heads;
  if (size > MAX_SIZE) {
    throw new RangeError(`Cannot run selfAttention: heads of ${size}, D / A; expected at most ${MAX_SIZE}`);
  }
  const { qkvWeight, qkvBias, outputWeight, outputBias } = weights;
  const wanted: [string, tf.Tensor, number[]][] = [
    ["x", x, x.shape],
    ["qkvWeight", qkvWeight, [depth, 3 * depth]],
    ["qkvBias", qkvBias, [3 * depth]],
    ["outputWeight", outputWeight, [depth, depth]],
    ["outputBias", outputBias, [depth]],
  ];
  for (const [name, { shape, dtype }, expected] of wanted) {
    if (dtype !== "float32") {
      throw new TypeError(`Cannot run selfAttention: ${name} is ${dtype}; expected float32`);
    }
    if (shape.join() !== expected.join()) {
      throw new RangeError(
        `Cannot run selfAttention: ${name} has shape [${shape}]; expected [${expected}] for x [${x.shape}]`,
      );
    }
  }
}

/** The layer with its heads and its depth filled with zeros to multiples of 4, by tfjs's own differentiable ops. */
function padded(x: tf.Tensor3D, weights: SelfAttentionWeights, heads: number) {
  const depth = x.shape[2];
  const size = depth / heads;
  const more = (4 - depth % 4) % 4;
  const fill = (4 - size % 4) % 4;
  const { qkvWeight, qkvBias, outputWeight, outputBias } = weights;
  return {
    x: x.pad([[0, 0], [0, 0], [0, more]]), // [B, T, D + more]
    qkvWeight: qkvWeight.reshape([depth, 3 * heads, size]).pad([[0, more], [0, 0], [0, fill]])
      .reshape([depth + more, 3 * heads * (size + fill)]),
    qkvBias: qkvBias.reshape([3 * heads, size]).pad([[0, 0], [0, fill]]).flatten(), // [3A (S + fill)]
    outputWeight: outputWeight.reshape([heads, size, depth]).pad([[0, 0], [0, fill], [0, more]])
      .reshape([heads * (size + fill), depth + more]),
    outputBias: outputBias.pad([[0, more]]), // [D + more]
  };
}

function runLayer(inputs: tf.NamedTensorMap, attributes: Attributes): tf.Tensor3D {
  const name = "mask" in inputs ? MASKED_NAME : NAME;
  const outputs = tf.engine().runKernel(name, inputs, attributes as unknown as tf.NamedAttrMap);
  const [y, ...saved] = outputs as unknown as tf.Tensor[];
  tf.dispose(saved); // the tape holds references of its own to what backward needs
  return y as tf.Tensor3D;
}

/**
 * Multi-head self-attention (Vaswani et al. 2017, "Attention is all you need", section 3.2.2): y = concat over the
 * heads of (softmax(q k' / sqrt(D / A)) v) Wo + bo, with q, k, v = x Wqkv + bqkv. Heads whose size is no multiple of 4
 * are filled with zeros, at the cost of copies of the weights.
 *
 * @param x float32 [B, T, D], T at most 4096, B * T at most 131072
 * @returns [B, T, D]; where no frame of a clip is attended, the context is zero and y is the output bias
 * @throws {RangeError} for shapes that do not fit, heads larger than 128, more frames, a dropout rate outside [0, 1),
 * dropout of more than 2^32 probabilities, and tensors beyond what the adapter takes
 * @throws {TypeError} for other types than float32, and for a mask that is neither int32 nor bool
 */
export function selfAttention(
  x: tf.Tensor3D,
  weights: SelfAttentionWeights,
  { heads, mask, dropout }: SelfAttentionOptions,
): tf.Tensor3D {
  requireShapes(x, weights, heads);
  const [clips, frames, depth] = x.shape;
  const size = depth / heads;
  const attributes = { heads, scale: 1 / Math.sqrt(size), dropout };
  requireSettings({ clips, frames, heads, size: 4 * Math.ceil(size / 4), mask, dropout });
  const masks: tf.NamedTensorMap = mask ? { mask } : {};
  const { qkvWeight, qkvBias, outputWeight, outputBias } = weights;
  if (size % 4 === 0) {
    return runLayer({ x, qkvWeight, qkvBias, outputWeight, outputBias, ...masks }, attributes);
  }
  return tf.tidy(() =>
    runLayer({ ...padded(x, weights, heads), ...masks }, attributes).slice([0, 0, 0], [clips, frames, depth])
  );
}
