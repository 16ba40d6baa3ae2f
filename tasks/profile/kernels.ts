/**
 * The kernels that `deno task profile --kernel` runs alone: from a shape to inputs, variants and the right result.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { conv2dTuneCase } from "../../kernels/conv2d/conv2d_tune.ts";
import type { Conv2dPass } from "../../kernels/conv2d/conv2d.ts";
import { gelu } from "../../kernels/mod.ts";
import { geometryOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import { matmulTuneCase } from "../../kernels/matmul/matmul_tune.ts";
import { randomTensor } from "../../kernels/runtime/bench.ts";
import type { TuneCase } from "../../kernels/runtime/tuner.ts";
import type { AttentionWeights, GruWeights, Layers } from "../../models/layers.ts";
import { kernelLayers } from "../../models/layers_kernels.ts";
import { stockLayers } from "../../models/layers_stock.ts";

/** How a filter moves; other kernels have no use for it. */
export interface Steps {
  readonly stride: number;
  /** half the filter's side if undefined */
  readonly pad: number | undefined;
}

/** A kernel, or a layer with its gradient, at any shape. */
export interface ProfiledKernel {
  /** of the shape's numbers */
  readonly letters: readonly string[];
  readonly description: string;
  /** shapes at which an edited shader must be right too: primes, ones, no multiples of a tile */
  readonly awkward: readonly (readonly number[])[];
  /** it moves a filter: --stride and --pad are of it */
  readonly moves?: boolean;
  /** why it does not take a shape, and what it takes; undefined if it does */
  refusal?(shape: readonly number[], steps: Steps): string | undefined;
  cases(shape: readonly number[], steps: Steps): TuneCase[];
}

/** Half the filter, unless it is said. */
const padOf = (r: number, s: number, { pad }: Steps) => pad ?? (Math.max(r, s) - 1) >> 1;

const PASSES: readonly Conv2dPass[] = ["forward", "backwardInput", "backwardFilter"];

function convolution(passes: readonly Conv2dPass[], description: string): ProfiledKernel {
  return {
    letters: ["N", "H", "W", "C", "R", "S", "K"],
    description,
    awkward: [[2, 7, 5, 8, 3, 3, 12], [1, 5, 6, 3, 3, 1, 5], [3, 9, 7, 17, 1, 1, 21]],
    moves: true,
    refusal([, h, w, , r, s], steps) {
      const pad = padOf(r, s, steps);
      if (h + 2 * pad >= r && w + 2 * pad >= s) return undefined;
      return `a filter of ${r}x${s} does not fit into ${h}x${w} with --pad ${pad}; expected a smaller one, or more --pad`;
    },
    cases([n, h, w, c, r, s, k], steps) {
      const pad = padOf(r, s, steps);
      const sides = [[0, 0], [pad, pad], [pad, pad], [0, 0]] as [number, number][];
      const geometry = geometryOf([n, h, w, c], [r, s, c, k], {
        strides: steps.stride,
        pad: sides as Parameters<typeof geometryOf>[2]["pad"],
      });
      return passes.map((pass) => conv2dTuneCase(pass, geometry) as TuneCase);
    },
  };
}

function product(transposeA: boolean, transposeB: boolean, description: string): ProfiledKernel {
  return {
    letters: ["M", "K", "N"],
    description,
    awkward: [[1, 1, 1], [37, 29, 23], [8, 64, 20]],
    cases: ([m, k, n]) => [matmulTuneCase({ m, k, n, transposeA, transposeB }) as TuneCase],
  };
}

type Inputs = readonly tf.Tensor[];

/** A layer of the networks with every gradient, ours against plain tfjs; it has one variant, the shipped one. */
function layer(
  name: string,
  letters: string,
  awkward: readonly (readonly number[])[],
  tolerance: number,
  inputs: (shape: readonly number[]) => tf.Tensor[],
  apply: (layers: Layers, inputs: Inputs, shape: readonly number[]) => tf.Tensor,
  refusal?: ProfiledKernel["refusal"],
): ProfiledKernel {
  return {
    letters: letters.split(","),
    description: "forward and every gradient",
    awkward,
    refusal,
    cases: (shape) => [{
      op: name,
      sizes: Object.fromEntries(letters.split(",").map((letter, i) => [letter, shape[i]])),
      shaders: [],
      candidates: () => [{ kind: "shipped" }],
      setup() {
        const tensors = inputs(shape);
        const y = tf.tidy(() => apply(kernelLayers, tensors, shape).shape);
        const dy = y.length === 0 ? undefined : randomTensor(y);
        const run = (layers: Layers) => {
          const { value, grads } = tf.valueAndGrads((...given) => apply(layers, given, shape))(tensors, dy);
          return [value, ...grads];
        };
        return {
          run: () => run(kernelLayers),
          expected: () => run(stockLayers),
          tolerance,
          dispose: () => tf.dispose([...tensors, ...(dy ? [dy] : [])]),
        };
      },
    }],
  };
}

/** Random values of the size that weights of so many inputs have. */
function weights(shape: number[], inputs: number): tf.Tensor {
  return tf.tidy(() => randomTensor(shape).div(Math.sqrt(inputs)));
}

/** x [N, H, W, C] normalised by its own statistics; the running ones come and go. */
function normalize(layers: Layers, x: tf.Tensor4D, gamma: tf.Tensor1D, beta: tf.Tensor1D): tf.Tensor {
  const [runningMean, runningVariance] = [tf.zeros, tf.ones].map((fill) => {
    const values = fill<tf.Rank.R1>(gamma.shape);
    const variable = tf.variable(values, false);
    values.dispose(); // or the two would share a buffer, and batch norm copy it
    return variable;
  });
  const y = layers.batchNorm(x, { gamma, beta, runningMean, runningVariance }, {
    training: true,
    epsilon: 1e-5,
    momentum: 0.1,
    relu: false, // whose kink two float32 results may fall on both sides of
  });
  tf.dispose([runningMean, runningVariance]);
  return y;
}

/** One layer, one direction. */
function gruWeights(tensors: Inputs) {
  const [inputWeight, hiddenWeight, inputBias, hiddenBias] = tensors;
  return [[{ inputWeight, hiddenWeight, inputBias, hiddenBias } as unknown as GruWeights]];
}

const SMALL_4D = [[1, 1, 1, 1], [2, 5, 7, 3], [3, 4, 3, 20]];

/** By name, as `--kernel` takes it. */
export const PROFILED_KERNELS: Readonly<Record<string, ProfiledKernel>> = {
  conv2d: convolution(PASSES, "convolution: forward and both gradients"),
  conv2d_fwd: convolution(["forward"], "convolution, forward"),
  conv2d_bwd_input: convolution(["backwardInput"], "convolution, gradient of the input"),
  conv2d_bwd_filter: convolution(["backwardFilter"], "convolution, gradient of the filter"),
  matmul: product(false, false, "matrix product a b"),
  matmul_nt: product(false, true, "a b', as for the gradient of a"),
  matmul_tn: product(true, false, "a' b, as for the gradient of b"),
  batch_norm: layer(
    "batch_norm",
    "N,H,W,C",
    [[2, 3, 5, 3], [1, 7, 3, 20]],
    1e-3, // two float32 sums over the rows, divided by a deviation
    ([n, h, w, c]) => [randomTensor([n, h, w, c]), randomTensor([c]), randomTensor([c])],
    (layers, [x, gamma, beta]) =>
      normalize(layers, x as tf.Tensor4D, gamma as tf.Tensor1D, beta as tf.Tensor1D),
  ),
  layer_norm: layer(
    "layer_norm",
    "M,D",
    [[1, 4], [5, 7], [37, 44]],
    1e-4,
    ([m, d]) => [randomTensor([m, d]), randomTensor([d]), randomTensor([d])],
    (layers, [x, gamma, beta]) => layers.layerNorm(x, gamma as tf.Tensor1D, beta as tf.Tensor1D, 1e-6),
  ),
  gelu: layer(
    "gelu",
    "M,D",
    [[1, 1], [7, 5], [3, 8]],
    1e-5,
    ([m, d]) => [randomTensor([m, d])],
    (layers, [x]) => layers === kernelLayers ? gelu(x) : x.mul(x.mul(Math.SQRT1_2).erf().add(1)).mul(0.5),
  ),
  gru: layer(
    "gru",
    "B,T,D,G",
    [[1, 1, 3, 4], [3, 5, 7, 12]],
    1e-4,
    ([b, t, d, g]) => [
      randomTensor([b, t, d]),
      weights([d, 3 * g], g),
      weights([g, 3 * g], g),
      weights([3 * g], g),
      weights([3 * g], g),
    ],
    (layers, [x, ...tensors]) => layers.gru(x as tf.Tensor3D, gruWeights(tensors)),
  ),
  attention: layer(
    "attention",
    "B,T,D,A",
    [[1, 1, 4, 1], [2, 5, 12, 3]],
    1e-4,
    ([b, t, d]) => [
      randomTensor([b, t, d]),
      weights([d, 3 * d], d),
      weights([3 * d], d),
      weights([d, d], d),
      weights([d], d),
    ],
    (layers, [x, qkvWeight, qkvBias, outputWeight, outputBias], [, , , heads]) =>
      layers.selfAttention(
        x as tf.Tensor3D,
        { qkvWeight, qkvBias, outputWeight, outputBias } as unknown as AttentionWeights,
        { heads },
      ),
    ([, , d, heads]) =>
      d % heads === 0 ? undefined : `A of ${heads} does not divide D of ${d}; expected a divisor`,
  ),
  max_pool: layer(
    "max_pool",
    "N,H,W,C",
    [[1, 3, 3, 1], [2, 6, 7, 5]],
    1e-6,
    (shape) => [randomTensor([...shape])],
    (layers, [x]) => layers.maxPool(x as tf.Tensor4D, { size: 3, strides: 2, ceilMode: true }),
    ([, h, w]) => h > 1 && w > 1 ? undefined : `its image is ${h}x${w}; expected at least 2x2`,
  ),
  global_average_pool: layer(
    "global_average_pool",
    "N,H,W,C",
    SMALL_4D,
    1e-5,
    (shape) => [randomTensor([...shape])],
    (layers, [x]) => layers.globalAveragePool(x as tf.Tensor4D),
  ),
  softmax_cross_entropy: layer(
    "softmax_cross_entropy",
    "M,K",
    [[1, 2], [7, 7], [33, 20]],
    1e-5,
    ([m, k]) => [randomTensor([m, k])],
    (layers, [logits]) => {
      const [rows, classes] = logits.shape;
      const labels = Int32Array.from({ length: rows }, (_, i) => i % classes);
      return layers.softmaxCrossEntropy(logits as tf.Tensor2D, tf.tensor1d(labels, "int32"));
    },
    ([, k]) => k > 1 ? undefined : `K is ${k}; expected at least 2 classes`, // tfjs knows no one-hot of one
  ),
};
