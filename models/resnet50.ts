/**
 * ResNet50 as VGGFace2's weights want it: the Caffe graph, with stride 2 on the 1x1 reduce and projection
 * convolutions, an unpadded ceil-mode max pool, and dag parameter names. (He et al. 2016; Cao et al. 2018.)
 * torchvision's graph, with stride 2 on the 3x3 convolutions and a padded max pool, is a setting.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { scope } from "../kernels/mod.ts";
import type { BatchNormParameters, FoldedConv, Layers } from "./layers.ts";
import { constant, kaimingFanOut, type Parameters } from "./parameters.ts";
import type { ResNetGraph } from "./weights/identify.ts";

/** Blocks per stage; stage s = 2..5 has bottleneck width `width * 2^(s - 2)` and 4 times as many outputs. */
const BLOCKS = [3, 4, 6, 3];
const EPSILON = 1e-5;
const MOMENTUM = 0.1;

/** Whether batch statistics are used, and the running ones updated. */
export interface Mode {
  readonly training: boolean;
}

/** The convolutions and batch norms; `features` is everything up to the global average pool. */
export class ResNet50 {
  readonly #parameters: Parameters;
  readonly #layers: Layers;
  readonly #width: number;
  readonly #graph: ResNetGraph;
  /** by layer, while the weights are held */
  readonly #folded = new Map<string, FoldedConv>();
  #holders = 0;

  /**
   * Adds the parameters.
   *
   * @param width channels after the stem; 64 in the paper
   */
  constructor(parameters: Parameters, layers: Layers, width: number, graph: ResNetGraph = "caffe") {
    this.#parameters = parameters;
    this.#layers = layers;
    this.#width = width;
    this.#graph = graph;
    this.#addConv("conv1_7x7_s2", 7, 3, width);
    for (const [i, { prefix, inputs, inner, outputs }] of this.#blocks().entries()) {
      this.#addConv(`${prefix}_1x1_reduce`, 1, inputs, inner);
      this.#addConv(`${prefix}_3x3`, 3, inner, inner);
      // A residual branch that begins at 0 trains from scratch without a slow start (Goyal et al. 2017, Section 5.1).
      this.#addConv(`${prefix}_1x1_increase`, 1, inner, outputs, 0);
      if (this.#blocks()[i].first) this.#addConv(`${prefix}_1x1_proj`, 1, inputs, outputs);
    }
  }

  /** D, the length of a feature vector: 2048 at width 64. */
  get featureWidth(): number {
    return 32 * this.#width;
  }

  /**
   * The caller's word that no weight changes until it disposes what is returned. Passes without training then fold batch
   * norms into filters once, and not each time, which is half of their dispatches.
   */
  holdWeights(): Disposable {
    this.#holders++;
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#holders--;
        isHeld = false;
        if (this.#holders > 0) return;
        for (const { filter, bias } of this.#folded.values()) tf.dispose([filter, bias]);
        this.#folded.clear();
      },
    };
  }

  /** images [N, H, W, 3] -> features [N, D] */
  features(images: tf.Tensor4D, mode: Mode): tf.Tensor2D {
    let x = this.#convBn(images, "conv1_7x7_s2", { strides: 2, pad: 3 }, mode, { relu: true });
    x = scope("pool1", () => this.#maxPool(x));
    let branches: Branches = [x, x];
    for (const block of this.#blocks()) {
      branches = scope(block.prefix, () => this.#bottleneck(branches, block, mode));
    }
    return scope("pool5", () => this.#layers.globalAveragePool(branches[0]));
  }

  #maxPool(x: tf.Tensor4D): tf.Tensor4D {
    if (this.#graph === "caffe") return this.#layers.maxPool(x, { size: 3, strides: 2, ceilMode: true });
    // A border of zeros never wins over values behind a ReLU, so it is the same as leaving the border out.
    const padded: tf.Tensor4D = x.pad([[0, 0], [1, 1], [1, 1], [0, 0]]);
    return this.#layers.maxPool(padded, { size: 3, strides: 2, ceilMode: false });
  }

  #bottleneck([x, aside]: Branches, { prefix, first, last, strides }: Block, mode: Mode): Branches {
    const shortcut = first
      ? this.#convBn(aside, `${prefix}_1x1_proj`, { strides, pad: 0 }, mode, { relu: false })
      : aside;
    const [reduceStrides, innerStrides] = this.#graph === "torchvision" ? [1, strides] : [strides, 1];
    let y = this.#convBn(x, `${prefix}_1x1_reduce`, { strides: reduceStrides, pad: 0 }, mode, { relu: true });
    y = this.#convBn(y, `${prefix}_3x3`, { strides: innerStrides, pad: 1 }, mode, { relu: true });
    const name = `${prefix}_1x1_increase`;
    const after = { relu: true, residual: shortcut };
    const increase = this.#convBnArguments(name, { strides: 1, pad: 0 }, mode, after);
    return scope(name, () => {
      if (!last) return this.#layers.convBatchNormForked(y, ...increase);
      const end = this.#layers.convBatchNorm(y, ...increase);
      return [end, end];
    });
  }

  #convBn(x: tf.Tensor4D, name: string, geometry: Geometry, mode: Mode, after: After): tf.Tensor4D {
    const given = this.#convBnArguments(name, geometry, mode, after);
    return scope(name, () => this.#layers.convBatchNorm(x, ...given));
  }

  #convBnArguments(name: string, geometry: Geometry, { training }: Mode, after: After) {
    const statistics = {
      gamma: this.#parameters.get<tf.Tensor1D>(`${name}_bn.weight`),
      beta: this.#parameters.get<tf.Tensor1D>(`${name}_bn.bias`),
      runningMean: this.#parameters.get(`${name}_bn.running_mean`),
      runningVariance: this.#parameters.get(`${name}_bn.running_var`),
    };
    const filter = this.#parameters.get<tf.Tensor4D>(`${name}.weight`);
    const folded = training ? undefined : this.#foldedOf(name, filter, statistics);
    const options = { ...geometry, training, epsilon: EPSILON, momentum: MOMENTUM, ...after, folded };
    return [filter, statistics, options] as const;
  }

  #foldedOf(name: string, filter: tf.Tensor4D, statistics: BatchNormParameters): FoldedConv | undefined {
    if (this.#holders === 0) return undefined;
    let folded = this.#folded.get(name);
    if (folded === undefined) {
      folded = this.#layers.foldBatchNorm?.(filter, statistics, EPSILON);
      if (folded === undefined) return undefined;
      tf.keep(folded.filter);
      tf.keep(folded.bias);
      this.#folded.set(name, folded);
    }
    return folded;
  }

  #addConv(name: string, size: number, inputs: number, outputs: number, gamma = 1): void {
    this.#parameters.add(`${name}.weight`, "conv", [size, size, inputs, outputs], kaimingFanOut);
    this.#parameters.add(`${name}_bn.weight`, "vector", [outputs], constant(gamma));
    this.#parameters.add(`${name}_bn.bias`, "vector", [outputs], constant(0));
    this.#parameters.add(`${name}_bn.running_mean`, "buffer", [outputs], constant(0));
    this.#parameters.add(`${name}_bn.running_var`, "buffer", [outputs], constant(1));
  }

  #blocks(): Block[] {
    let inputs = this.#width;
    return BLOCKS.flatMap((count, i) => {
      const inner = this.#width * 2 ** i;
      return Array.from({ length: count }, (_, b): Block => {
        const block = {
          prefix: `conv${i + 2}_${b + 1}`,
          first: b === 0,
          last: i === BLOCKS.length - 1 && b === count - 1,
          strides: b === 0 && i > 0 ? 2 : 1,
          inputs,
          inner,
          outputs: 4 * inner,
        };
        inputs = block.outputs;
        return block;
      });
    });
  }
}

/** A block's input, to its convolutions and to its shortcut: the same values, with a gradient each. */
type Branches = readonly [tf.Tensor4D, tf.Tensor4D];

interface Geometry {
  readonly strides: number;
  readonly pad: number;
}

/** What follows the normalisation. */
interface After {
  readonly relu: boolean;
  readonly residual?: tf.Tensor4D;
}

interface Block {
  readonly prefix: string;
  /** of its stage */
  readonly first: boolean;
  /** of all */
  readonly last: boolean;
  readonly strides: number;
  readonly inputs: number;
  readonly inner: number;
  readonly outputs: number;
}
