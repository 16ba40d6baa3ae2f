/**
 * The networks' parts as ONNX operators: the backbone, the recurrent head, the attention head.
 *
 * @module
 */
import type { InputConvention } from "../../data/input_convention.ts";
import type { RnnSizes } from "../cnn_rnn.ts";
import type { TransformerSizes } from "../cnn_transformer.ts";
import type { Architecture } from "../networks.ts";
import { VGG16_CONVOLUTIONS } from "../vgg16.ts";
import { type HostTensor, toFloat32 } from "../weights/tensor.ts";
import type { Attribute, OnnxGraph } from "./graph.ts";

/** A trained network: what a checkpoint holds. */
export interface TrainedNetwork {
  readonly architecture: Architecture;
  readonly convention: InputConvention;
  /** in file layout */
  readonly weights: ReadonlyMap<string, HostTensor>;
}

const BLOCKS = [3, 4, 6, 3];
const BATCH_NORM_EPSILON = 1e-5;
const LAYER_NORM_EPSILON = 1e-6;

/** Adds parts of one network; `scope` keeps the names of its weights apart from other networks'. */
export class NetworkBuilder {
  readonly graph: OnnxGraph;
  readonly #network: TrainedNetwork;
  readonly #scope: string;

  /** @param scope before the names of the weights */
  constructor(graph: OnnxGraph, network: TrainedNetwork, scope: string) {
    this.graph = graph;
    this.#network = network;
    this.#scope = scope;
  }

  /** images [N, 3, H, W], RGB 0..255 -> features [N, D] */
  backbone(images: string): string {
    const { graph } = this;
    const isTorchvision = this.#network.architecture.graph === "torchvision";
    let x = this.#convBn(this.#normalize(images), "conv1_7x7_s2", 2, 3);
    x = graph.add("Relu", [x]);
    const pool: Record<string, Attribute> = isTorchvision ? { pads: [1, 1, 1, 1] } : { ceil_mode: 1 };
    x = graph.add("MaxPool", [x], { kernel_shape: [3, 3], strides: [2, 2], ...pool });
    for (const [stage, count] of BLOCKS.entries()) {
      for (let b = 0; b < count; b++) {
        const name = `conv${stage + 2}_${b + 1}`;
        const strides = b === 0 && stage > 0 ? 2 : 1;
        const shortcut = b === 0 ? this.#convBn(x, `${name}_1x1_proj`, strides, 0) : x;
        const [reduceStrides, innerStrides] = isTorchvision ? [1, strides] : [strides, 1];
        let y = graph.add("Relu", [this.#convBn(x, `${name}_1x1_reduce`, reduceStrides, 0)]);
        y = graph.add("Relu", [this.#convBn(y, `${name}_3x3`, innerStrides, 1)]);
        y = this.#convBn(y, `${name}_1x1_increase`, 1, 0);
        x = graph.add("Relu", [graph.add("Add", [y, shortcut])]);
      }
    }
    return graph.add("Flatten", [graph.add("GlobalAveragePool", [x])], { axis: 1 });
  }

  /** images [N, 3, H, W], RGB 0..255 -> the baseline's logits [N, classes] */
  vgg(images: string): string {
    const { graph } = this;
    let x = this.#normalize(images);
    VGG16_CONVOLUTIONS.forEach((count, stage) => {
      for (let c = 1; c <= count; c++) {
        const name = `conv${stage + 1}_${c}`;
        const weights = [this.#weight(`${name}.weight`), this.#weight(`${name}.bias`)];
        x = graph.add("Relu", [
          graph.add("Conv", [x, ...weights], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
        ]);
      }
      x = graph.add("MaxPool", [x], { kernel_shape: [2, 2], strides: [2, 2] });
    });
    // The first hidden layer reads [H, W, C].
    x = graph.add("Flatten", [graph.add("Transpose", [x], { perm: [0, 2, 3, 1] })], { axis: 1 });
    for (const name of ["fc6", "fc7"]) x = graph.add("Relu", [this.linear(x, name)]);
    return this.linear(x, "classifier");
  }

  /** x [M, D] -> x weight' + bias [M, K] */
  linear(x: string, name: string): string {
    return this.graph.add("Gemm", [x, this.#weight(`${name}.weight`), this.#weight(`${name}.bias`)], {
      transB: 1,
    });
  }

  /**
   * features [B * T, D] -> logits [B * T, classes]
   *
   * @param clips the value [2] that holds B and T
   */
  rnnHead(features: string, clips: string, { layers, hidden, bidirectional }: RnnSizes): string {
    const { graph } = this;
    const embedded = graph.add("Relu", [this.linear(features, "rnn.embed")]); // [B * T, E]
    let x = graph.add("Transpose", [this.#unflatten(embedded, clips)], { perm: [1, 0, 2] }); // [T, B, E]
    for (let layer = 0; layer < layers; layer++) {
      const suffixes = (bidirectional ? ["", "_reverse"] : [""]).map((suffix) => `l${layer}${suffix}`);
      const y = graph.add("GRU", [x, ...this.#gruWeights(suffixes, hidden)], {
        hidden_size: hidden,
        linear_before_reset: 1,
        direction: bidirectional ? "bidirectional" : "forward",
      }); // [T, directions, B, G]
      const joined = graph.add("Transpose", [y], { perm: [0, 2, 1, 3] });
      x = graph.add("Reshape", [joined, graph.integers([0, 0, -1])]); // [T, B, directions * G]
    }
    const states = graph.add("Relu", [graph.add("Transpose", [x], { perm: [1, 0, 2] })]); // [B, T, directions * G]
    return this.linear(this.#flatten(states, hidden * (bidirectional ? 2 : 1)), "rnn.classifier");
  }

  /**
   * features [B * T, D] -> logits [B * T, classes]
   *
   * @param clips the value [2] that holds B and T
   */
  transformerHead(features: string, clips: string, { embedding, depth, heads }: TransformerSizes): string {
    const { graph } = this;
    const embedded = this.#unflatten(this.linear(features, "transformer.embed"), clips);
    let x = graph.add("Add", [embedded, this.#positions(clips, embedding)]); // [B, T, E]
    for (let i = 0; i < depth; i++) {
      const name = `transformer.blocks.${i}`;
      const attended = this.#attention(
        this.#norm(x, `${name}.norm1`),
        `${name}.attn`,
        clips,
        embedding,
        heads,
      );
      x = graph.add("Add", [x, attended]);
      const flat = this.#flatten(this.#norm(x, `${name}.norm2`), embedding);
      const inner = this.#gelu(this.linear(flat, `${name}.mlp.fc1`)); // [B * T, 4E]
      x = graph.add("Add", [x, this.#unflatten(this.linear(inner, `${name}.mlp.fc2`), clips)]);
    }
    return this.linear(this.#flatten(this.#norm(x, "transformer.norm"), embedding), "transformer.classifier");
  }

  /** The network's own normalisation, so that whoever runs the model cannot mix conventions. */
  #normalize(images: string): string {
    const { graph } = this;
    const { order, scale, mean, std } = this.#network.convention;
    const rgb = order === "rgb"
      ? images
      : graph.add("Gather", [images, graph.integers([2, 1, 0])], { axis: 1 });
    const perChannel = (name: string, values: readonly number[]) =>
      graph.floats(`${this.#scope}input.${name}`, [1, 3, 1, 1], Float32Array.from(values));
    const scaled = graph.add("Mul", [rgb, perChannel("scale", std.map((deviation) => scale / deviation))]);
    return graph.add("Add", [scaled, perChannel("shift", mean.map((value, c) => -value / std[c]))]);
  }

  #convBn(x: string, name: string, strides: number, pad: number): string {
    const filter = this.#tensor(`${name}.weight`);
    const y = this.graph.add("Conv", [x, this.#weight(`${name}.weight`)], {
      kernel_shape: filter.shape.slice(2),
      strides: [strides, strides],
      pads: [pad, pad, pad, pad],
    });
    const statistics = ["weight", "bias", "running_mean", "running_var"]
      .map((leaf) => this.#weight(`${name}_bn.${leaf}`));
    return this.graph.add("BatchNormalization", [y, ...statistics], {
      epsilon: { float: BATCH_NORM_EPSILON },
    });
  }

  /** W, R, B of a layer's directions; PyTorch's gates r, z, n become ONNX's z, r, h. */
  #gruWeights(suffixes: readonly string[], hidden: number): string[] {
    const stack = (kinds: readonly string[], label: string) => {
      const parts = suffixes.flatMap((suffix) =>
        kinds.map((kind) => reorderGates(this.#tensor(`rnn.gru.${kind}_${suffix}`), hidden))
      );
      const data = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
      let offset = 0;
      for (const part of parts) {
        data.set(part, offset);
        offset += part.length;
      }
      const width = data.length / suffixes.length / (3 * hidden);
      const shape = kinds.length === 2 ? [suffixes.length, 6 * hidden] : [suffixes.length, 3 * hidden, width];
      return this.graph.floats(`${this.#scope}rnn.gru.${label}_${suffixes[0]}`, shape, data);
    };
    return [stack(["weight_ih"], "W"), stack(["weight_hh"], "R"), stack(["bias_ih", "bias_hh"], "B")];
  }

  #attention(x: string, name: string, clips: string, embedding: number, heads: number): string {
    const { graph } = this;
    const size = embedding / heads;
    const qkv = this.linear(this.#flatten(x, embedding), `${name}.qkv`); // [B * T, 3E]
    const shape = graph.add("Concat", [clips, graph.integers([3, heads, size])], { axis: 0 });
    const parts = graph.add("Transpose", [graph.add("Reshape", [qkv, shape])], { perm: [2, 0, 3, 1, 4] });
    const [q, k, v] = [0, 1, 2].map((i) =>
      graph.add("Gather", [parts, graph.integers([i], [])], { axis: 0 })
    );
    const scale = graph.floats(`${this.#scope}${name}.scale`, [], Float32Array.of(1 / Math.sqrt(size)));
    const scores = graph.add("MatMul", [q, graph.add("Transpose", [k], { perm: [0, 1, 3, 2] })]); // [B, A, T, T]
    const shares = graph.add("Softmax", [graph.add("Mul", [scores, scale])], { axis: -1 });
    const mixed = graph.add("Transpose", [graph.add("MatMul", [shares, v])], { perm: [0, 2, 1, 3] }); // [B, T, A, E/A]
    return this.#unflatten(this.linear(this.#flatten(mixed, embedding), `${name}.proj`), clips);
  }

  /** Sinusoidal positions [T, E]: sin(t / 10000^(2i / E)) in even columns, cos in odd ones. */
  #positions(clips: string, embedding: number): string {
    const { graph } = this;
    const columns = Array.from({ length: embedding }, (_, d) => d);
    const rates = Float32Array.from(columns, (d) => 1 / 10000 ** ((d - d % 2) / embedding));
    const frames = graph.add("Gather", [clips, graph.integers([1], [])], { axis: 0 });
    const times = graph.add("Range", [graph.integers([0], []), frames, graph.integers([1], [])]);
    const column = graph.add("Unsqueeze", [graph.add("Cast", [times], { to: 1 }), graph.integers([1])]); // [T, 1]
    const angles = graph.add("Mul", [
      column,
      graph.floats(`${this.#scope}positions.rates`, [1, embedding], rates),
    ]);
    const isEven = graph.booleans(
      `${this.#scope}positions.even`,
      [1, embedding],
      columns.map((d) => d % 2 === 0),
    );
    return graph.add("Where", [isEven, graph.add("Sin", [angles]), graph.add("Cos", [angles])]);
  }

  #norm(x: string, name: string): string {
    return this.graph.add("LayerNormalization", [
      x,
      this.#weight(`${name}.weight`),
      this.#weight(`${name}.bias`),
    ], {
      axis: -1,
      epsilon: { float: LAYER_NORM_EPSILON },
    });
  }

  /** Exact GELU, x (1 + erf(x / sqrt 2)) / 2; ONNX has an operator of its own from opset 20 only. */
  #gelu(x: string): string {
    const { graph } = this;
    const scalar = (name: string, value: number) => graph.floats(`gelu.${name}`, [], Float32Array.of(value));
    const erf = graph.add("Erf", [graph.add("Mul", [x, scalar("sqrt_half", Math.SQRT1_2)])]);
    const gate = graph.add("Mul", [graph.add("Add", [erf, scalar("one", 1)]), scalar("half", 0.5)]);
    return graph.add("Mul", [x, gate]);
  }

  /** [B * T, ..] -> [B, T, ..] */
  #unflatten(x: string, clips: string): string {
    const shape = this.graph.add("Concat", [clips, this.graph.integers([-1])], { axis: 0 });
    return this.graph.add("Reshape", [x, shape]);
  }

  /** [B, T, ..] -> [B * T, width] */
  #flatten(x: string, width: number): string {
    return this.graph.add("Reshape", [x, this.graph.integers([-1, width])]);
  }

  #tensor(name: string): HostTensor {
    const tensor = this.#network.weights.get(name);
    if (tensor === undefined) throw new Error(`Cannot export: the checkpoint has no tensor ${name}`);
    return tensor;
  }

  #weight(name: string): string {
    return this.graph.tensor(this.#scope + name, this.#tensor(name));
  }
}

/** Rows r, z, n of [3G, ..] -> z, r, n. */
function reorderGates(tensor: HostTensor, hidden: number): Float32Array {
  const values = toFloat32(tensor);
  const gate = values.length / tensor.shape[0] * hidden;
  const reordered = new Float32Array(values);
  reordered.set(values.subarray(gate, 2 * gate), 0);
  reordered.set(values.subarray(0, gate), gate);
  return reordered;
}
