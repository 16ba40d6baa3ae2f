/**
 * The attention head of the CNN-Transformer: Linear, sinusoidal positions per frame, a pre-norm encoder, Linear, on
 * the backbone's features of consecutive frames (paper, Section 2.3; Vaswani et al. 2017; sizes from its authors).
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { scope } from "../kernels/mod.ts";
import type { DropoutKey, Layers } from "./layers.ts";
import { Linear } from "./linear.ts";
import { constant, type Parameters } from "./parameters.ts";

const EPSILON = 1e-6;
const MLP_RATIO = 4;

/** Sizes of the head. */
export interface TransformerSizes {
  readonly embedding: number;
  readonly depth: number;
  readonly heads: number;
  readonly dropout: number;
}

/**
 * Sinusoidal positions (Vaswani et al. 2017, Section 3.5): even columns sin(t / 10000^(2i / D)), odd ones cos.
 *
 * @returns [frames, D]
 */
export function sinusoidalPositions(frames: number, depth: number): Float32Array {
  const table = new Float32Array(frames * depth);
  for (let t = 0; t < frames; t++) {
    for (let d = 0; d < depth; d++) {
      const angle = t / 10000 ** ((d - d % 2) / depth);
      table[t * depth + d] = d % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
    }
  }
  return table;
}

/** Features [B, T, D] -> logits [B, T, classes]. */
export class TransformerHead {
  readonly #parameters: Parameters;
  readonly #layers: Layers;
  readonly #prefix: string;
  readonly #sizes: TransformerSizes;
  readonly #embed: Linear;
  readonly #outputs: Linear[] = [];
  readonly #expansions: Linear[] = [];
  readonly #classifier: Linear;
  /** [longest clip so far, E]; uploaded once, not at each step */
  #positions?: tf.Tensor2D;

  /**
   * Adds the parameters under `prefix`.
   *
   * @throws {RangeError} if the embedding is no multiple of the heads
   */
  constructor(
    parameters: Parameters,
    layers: Layers,
    prefix: string,
    { features, classes, ...sizes }: TransformerSizes & { features: number; classes: number },
  ) {
    const { embedding, heads, depth } = sizes;
    if (embedding % heads !== 0) {
      throw new RangeError(
        `Cannot build the Transformer: embedding ${embedding} is no multiple of ${heads} heads`,
      );
    }
    this.#parameters = parameters;
    this.#layers = layers;
    this.#prefix = prefix;
    this.#sizes = sizes;
    this.#embed = new Linear(parameters, layers, `${prefix}embed`, features, embedding);
    for (let i = 0; i < depth; i++) {
      const block = `${prefix}blocks.${i}`;
      this.#addNorm(`${block}.norm1`);
      // qkv and proj are used by the attention layer, which fuses them; Linear only adds their parameters.
      new Linear(parameters, layers, `${block}.attn.qkv`, embedding, 3 * embedding);
      new Linear(parameters, layers, `${block}.attn.proj`, embedding, embedding);
      this.#addNorm(`${block}.norm2`);
      this.#expansions.push(
        new Linear(parameters, layers, `${block}.mlp.fc1`, embedding, MLP_RATIO * embedding),
      );
      this.#outputs.push(
        new Linear(parameters, layers, `${block}.mlp.fc2`, MLP_RATIO * embedding, embedding),
      );
    }
    this.#addNorm(`${prefix}norm`);
    this.#classifier = new Linear(parameters, layers, `${prefix}classifier`, embedding, classes);
  }

  /**
   * features [B, T, D] -> logits [B, T, classes]
   *
   * @param key of the dropout masks; undefined = evaluation, no dropout
   */
  logits(features: tf.Tensor3D, key?: Omit<DropoutKey, "layer">): tf.Tensor3D {
    const [clips, frames, depth] = features.shape;
    const { embedding } = this.#sizes;
    let x = this.#embed.apply(features.reshape([clips * frames, depth]))
      .reshape([clips, frames, embedding]).add(this.#positionsOf(frames)) as tf.Tensor3D; // [B, T, E]
    x = this.#drop(x, 0, key);
    let normed = this.#norm(x, this.#normAfter(0));
    for (let i = 0; i < this.#sizes.depth; i++) {
      const [sum, mlp] = scope(`${this.#prefix}blocks.${i}`, () => this.#block(x, normed, i, key));
      [x, normed] = this.#addAndNorm(sum, mlp, this.#normAfter(i + 1));
    }
    const y = normed.reshape([clips * frames, embedding]) as tf.Tensor2D;
    return this.#classifier.apply(y).reshape([clips, frames, -1]); // [B, T, classes]
  }

  /** Frees the table of positions; the parameters are their owner's. */
  dispose(): void {
    this.#positions?.dispose();
    this.#positions = undefined;
  }

  /** [frames, E] */
  #positionsOf(frames: number): tf.Tensor2D {
    const { embedding } = this.#sizes;
    if (this.#positions === undefined || this.#positions.shape[0] < frames) {
      this.dispose();
      this.#positions = tf.keep(
        tf.tensor2d(sinusoidalPositions(frames, embedding), [frames, embedding]),
      );
    }
    if (this.#positions.shape[0] === frames) return this.#positions;
    return this.#positions.slice([0, 0], [frames, embedding]);
  }

  /** The norm behind so many blocks: the next block's first, or the last of all. */
  #normAfter(blocks: number): string {
    return blocks < this.#sizes.depth ? `blocks.${blocks}.norm1` : "norm";
  }

  /** The two terms of the block's result, which the norm behind it adds. */
  #block(
    x: tf.Tensor3D,
    normed: tf.Tensor3D,
    i: number,
    key?: Omit<DropoutKey, "layer">,
  ): [tf.Tensor3D, tf.Tensor3D] {
    const [clips, frames, embedding] = x.shape;
    const name = `blocks.${i}`;
    const get = <T extends tf.Tensor>(parameter: string) =>
      this.#parameters.get<T>(`${this.#prefix}${name}.attn.${parameter}`);
    const weights = {
      qkvWeight: get<tf.Tensor2D>("qkv.weight"),
      qkvBias: get<tf.Tensor1D>("qkv.bias"),
      outputWeight: get<tf.Tensor2D>("proj.weight"),
      outputBias: get<tf.Tensor1D>("proj.bias"),
    };
    const { heads } = this.#sizes;
    const attended = scope(
      `${this.#prefix}${name}.attn`,
      () => this.#layers.selfAttention(normed, weights, { heads }),
    );
    const [sum, again] = this.#addAndNorm(x, this.#drop(attended, 3 * i + 1, key), `${name}.norm2`);
    const flat = again.reshape<tf.Tensor2D>([clips * frames, embedding]);
    const inner = this.#drop(this.#expansions[i].apply(flat, "gelu"), 3 * i + 2, key); // [B * T, 4E]
    const mlp = this.#drop(this.#outputs[i].apply(inner), 3 * i + 3, key); // [B * T, E]
    return [sum, mlp.reshape([clips, frames, embedding])];
  }

  #drop<T extends tf.Tensor>(x: T, layer: number, key?: Omit<DropoutKey, "layer">): T {
    if (key === undefined || this.#sizes.dropout === 0) return x;
    const dropoutKey: DropoutKey = { ...key, layer };
    return scope("dropout", () => this.#layers.dropout(x, this.#sizes.dropout, dropoutKey));
  }

  #norm<T extends tf.Tensor>(x: T, name: string): T {
    const gamma = this.#parameters.get<tf.Tensor1D>(`${this.#prefix}${name}.weight`);
    const beta = this.#parameters.get<tf.Tensor1D>(`${this.#prefix}${name}.bias`);
    return scope(this.#prefix + name, () => this.#layers.layerNorm(x, gamma, beta, EPSILON));
  }

  /** The sum, and what a norm makes of it; behind the last one nobody needs the sum. */
  #addAndNorm(x: tf.Tensor3D, branch: tf.Tensor3D, name: string): [tf.Tensor3D, tf.Tensor3D] {
    if (name === this.#normAfter(this.#sizes.depth)) {
      const sum = x.add<tf.Tensor3D>(branch);
      return [sum, this.#norm(sum, name)];
    }
    const gamma = this.#parameters.get<tf.Tensor1D>(`${this.#prefix}${name}.weight`);
    const beta = this.#parameters.get<tf.Tensor1D>(`${this.#prefix}${name}.bias`);
    return scope(this.#prefix + name, () => this.#layers.addLayerNorm(x, branch, gamma, beta, EPSILON));
  }

  #addNorm(name: string): void {
    this.#parameters.add(`${name}.weight`, "vector", [this.#sizes.embedding], constant(1));
    this.#parameters.add(`${name}.bias`, "vector", [this.#sizes.embedding], constant(0));
  }
}
