/**
 * The whole layer of multi-head self-attention: fused projection to q, k, v, the core, the output projection. Forward
 * takes 3 dispatches and backward 6, where a matrix product takes one.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { matmul } from "../matmul/matmul.ts";
import { release, reshapeInfo, run } from "../runtime/program.ts";
import type { KernelInputs, NewKernel } from "../runtime/registry.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import {
  attentionBackward,
  type AttentionDropout,
  attentionForward,
  type AttentionSettings,
  requireSettings,
} from "./attention.ts";
import biasSumsSource from "./bias_sums.wgsl" with { type: "text" };

const BIAS_SUMS: ShaderFile = { file: "attention/bias_sums.wgsl", source: biasSumsSource };
const NAME = "FervidSelfAttention";
const MASKED_NAME = "FervidMaskedSelfAttention";
const LANES = 8;

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
  /** A; D / A is a multiple of 4, at most 128 */
  readonly heads: number;
  /** int32 or bool [B, T]: where it is 0, nothing attends to that frame */
  readonly mask?: tf.Tensor2D;
  /** of the probabilities, counted by their place in [B, A, T, T]; none by default */
  readonly dropout?: AttentionDropout;
}

interface Attributes {
  readonly heads: number;
  readonly dropout?: AttentionDropout;
}

function settingsOf({ x, mask }: KernelInputs, { heads, dropout }: Attributes): AttentionSettings {
  const [clips, frames, depth] = x.shape;
  return { clips, frames, heads, size: depth / heads, mask, dropout };
}

/** @returns y [B, T, D], and what backward needs: q, k, v [B * T, 3D], context [B * T, D], log-sum-exp [B, A, T] */
function forward(inputs: KernelInputs, attributes: Attributes): TensorInfo[] {
  const { x, qkvWeight, qkvBias, outputWeight, outputBias } = inputs;
  const [clips, frames, depth] = x.shape;
  const rows = reshapeInfo(x, [clips * frames, depth]);
  const qkv = matmul(rows, qkvWeight, { bias: qkvBias });
  release(rows);
  const { context, logSumExp } = attentionForward(qkv, settingsOf(inputs, attributes));
  const y = matmul(context, outputWeight, { bias: outputBias });
  return [{ ...y, shape: x.shape }, qkv, context, logSumExp];
}

/** a [M, Na], b [M, Nb] -> [Na], [Nb] */
function biasSums(a: TensorInfo, b: TensorInfo): TensorInfo[] {
  const [rows, columnsA] = a.shape;
  const columnsB = b.shape[1];
  return run({
    shader: BIAS_SUMS,
    inputs: [a, b],
    outputs: [{ shape: [columnsA] }, { shape: [columnsB] }],
    uniforms: { rows, columns_a: columnsA / 4, columns_b: columnsB / 4 },
    workgroups: [Math.ceil((columnsA + columnsB) / (4 * LANES))],
  });
}

/** @returns the gradients of x, qkvWeight, qkvBias, outputWeight, outputBias */
function backward(inputs: KernelInputs, attributes: Attributes): TensorInfo[] {
  const { x, qkvWeight, outputWeight, qkv, context, logSumExp } = inputs;
  const [clips, frames, depth] = x.shape;
  const rows = reshapeInfo(x, [clips * frames, depth]);
  const dy = reshapeInfo(inputs.dy, [clips * frames, depth]);
  const dcontext = matmul(dy, outputWeight, { transposeB: true });
  const dOutputWeight = matmul(context, dy, { transposeA: true });
  const dqkv = attentionBackward(qkv, { context, logSumExp }, dcontext, settingsOf(inputs, attributes));
  release(dcontext);
  const dx = matmul(dqkv, qkvWeight, { transposeB: true });
  const dQkvWeight = matmul(rows, dqkv, { transposeA: true });
  const [dQkvBias, dOutputBias] = biasSums(dqkv, dy);
  [rows, dy, dqkv].forEach(release);
  return [{ ...dx, shape: x.shape }, dQkvWeight, dQkvBias, dOutputWeight, dOutputBias];
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

function requireShapes(x: tf.Tensor3D, weights: SelfAttentionWeights, options: SelfAttentionOptions): void {
  const depth = x.shape[2];
  const { heads, mask, dropout } = options;
  if (x.rank !== 3 || x.size === 0) {
    throw new RangeError(
      `Cannot run selfAttention: x has shape [${x.shape}]; expected [B, T, D] without an empty dimension`,
    );
  }
  if (!Number.isInteger(heads) || heads < 1 || depth % heads !== 0) {
    throw new RangeError(`Cannot run selfAttention: ${heads} heads; expected a divisor of D = ${depth}`);
  }
  const { qkvWeight, qkvBias, outputWeight, outputBias } = weights;
  const wanted: [string, tf.Tensor, number[]][] = [
    ["qkvWeight", qkvWeight, [depth, 3 * depth]],
    ["qkvBias", qkvBias, [3 * depth]],
    ["outputWeight", outputWeight, [depth, depth]],
    ["outputBias", outputBias, [depth]],
  ];
  for (const [name, tensor, shape] of [["x", x, x.shape] as const, ...wanted]) {
    if (tensor.dtype !== "float32") {
      throw new TypeError(`Cannot run selfAttention: ${name} is ${tensor.dtype}; expected float32`);
    }
    if (tensor.shape.join() !== shape.join()) {
      throw new RangeError(
        `Cannot run selfAttention: ${name} has shape [${tensor.shape}]; expected [${shape}] for x [${x.shape}]`,
      );
    }
  }
  requireSettings(settingsOf({ x, ...(mask ? { mask } : {}) }, { heads, dropout }));
}

/**
 * Multi-head self-attention (Vaswani et al. 2017, "Attention is all you need", section 3.2.2): y = concat over the
 * heads of (softmax(q k' / sqrt(D / A)) v) Wo + bo, with q, k, v = x Wqkv + bqkv.
 *
 * @param x float32 [B, T, D]
 * @returns [B, T, D]; where no frame of a clip is attended, the clip's context is zero and y is the output bias
 * @throws {RangeError} for shapes that do not fit, heads whose size is no multiple of 4 or more than 128, a dropout
 * rate outside [0, 1)
 * @throws {TypeError} for other types than float32, and for a mask that is neither int32 nor bool
 */
export function selfAttention(
  x: tf.Tensor3D,
  weights: SelfAttentionWeights,
  options: SelfAttentionOptions,
): tf.Tensor3D {
  requireShapes(x, weights, options);
  const { heads, mask, dropout } = options;
  const { qkvWeight, qkvBias, outputWeight, outputBias } = weights;
  const inputs = { x, qkvWeight, qkvBias, outputWeight, outputBias, ...(mask ? { mask } : {}) };
  const [y, ...saved] = tf.engine().runKernel(
    mask ? MASKED_NAME : NAME,
    inputs,
    { heads, dropout } as unknown as tf.NamedAttrMap,
  ) as unknown as tf.Tensor[];
  // The tape holds references of its own to what backward needs.
  tf.dispose(saved);
  return y as tf.Tensor3D;
}
