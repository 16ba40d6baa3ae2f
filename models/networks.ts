/**
 * The paper's three networks, built from a description that fits in a file.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import type { LaunchValue } from "../kernels/mod.ts";
import { RnnHead, type RnnSizes } from "./cnn_rnn.ts";
import { TransformerHead, type TransformerSizes } from "./cnn_transformer.ts";
import { defaultLayers } from "./layers_default.ts";
import type { Layers } from "./layers.ts";
import { Linear } from "./linear.ts";
import { Parameters } from "./parameters.ts";
import { Vgg16 } from "./vgg16.ts";
import { type Mode, ResNet50 } from "./resnet50.ts";
import type { ResNetGraph } from "./weights/identify.ts";

/** The paper's three networks, and `vgg`, its baseline. */
export type NetworkName = "vgg" | "cnn" | "rnn" | "transformer";

/** All networks, in the order in which a run trains them. */
export const NETWORK_NAMES: readonly NetworkName[] = ["vgg", "cnn", "rnn", "transformer"];

/** True for a network that sees a window of frames. */
export function isTemporal(network: NetworkName): network is "rnn" | "transformer" {
  return network === "rnn" || network === "transformer";
}

/** The paper's names of the networks. */
export const NETWORK_TITLES: Readonly<Record<NetworkName, string>> = {
  vgg: "VGG-Face (baseline)",
  cnn: "ResNet50",
  rnn: "CNN-RNN",
  transformer: "CNN-Transformer",
};

interface BackboneSizes {
  /** channels after the stem: 64 in the paper */
  readonly width: number;
  /** side of the square input in pixels */
  readonly size: number;
  /** which ResNet50; Caffe's (VGGFace2's) if unset */
  readonly graph?: ResNetGraph;
}

/** A network's description but for its outputs. */
export type Sizes =
  | ({ readonly network: "vgg" } & BackboneSizes)
  | ({ readonly network: "cnn" } & BackboneSizes)
  | ({ readonly network: "rnn" } & BackboneSizes & RnnSizes)
  | ({ readonly network: "transformer" } & BackboneSizes & TransformerSizes);

/** A network's description; outputs: 7 expressions, 12 action units, or the identities. */
export type Architecture = Sizes & { readonly classes: number };

/** The description of a network at a scale: `paper`, or `tiny`, the same topology for software adapters. */
export function architectureFor(
  network: NetworkName,
  preset: "paper" | "tiny",
  classes: number,
): Architecture {
  return { ...sizesFor(network, preset), classes };
}

/** {@link architectureFor} without the outputs. */
export function sizesFor(network: NetworkName, preset: "paper" | "tiny"): Sizes {
  const paper = preset === "paper";
  const backbone = paper ? { width: 64, size: 224 } : { width: 16, size: 48 };
  const embedding = paper ? 768 : 96;
  if (network === "rnn") {
    return { network, ...backbone, embedding, layers: 2, hidden: paper ? 384 : 48, bidirectional: true };
  }
  if (network === "transformer") {
    return { network, ...backbone, embedding, depth: 2, heads: paper ? 12 : 4, dropout: paper ? 0.5 : 0.2 };
  }
  return { network, ...backbone };
}

/** True for a backbone's parameter: neither a head's nor the CNN classifier's. */
export function isBackboneParameter(name: string): boolean {
  return /^conv\d/.test(name);
}

/** One frame at a time: ResNet50 with a linear classifier. */
export class CnnNetwork {
  readonly architecture: Architecture;
  readonly parameters: Parameters;
  readonly backbone: ResNet50;
  readonly #classifier: Linear;

  /** @param seed of the initial weights */
  constructor(architecture: Architecture & { network: "cnn" }, seed: number, layers: Layers = defaultLayers) {
    this.architecture = architecture;
    this.parameters = new Parameters(seed);
    this.backbone = new ResNet50(this.parameters, layers, architecture.width, architecture.graph);
    this.#classifier = new Linear(
      this.parameters,
      layers,
      "classifier",
      this.backbone.featureWidth,
      architecture.classes,
    );
  }

  /** images [N, H, W, 3] -> logits [N, classes] */
  logits(images: tf.Tensor4D, mode: Mode): tf.Tensor2D {
    return this.classify(this.backbone.features(images, mode));
  }

  /** features [N, D] of the backbone -> logits [N, classes] */
  classify(features: tf.Tensor2D): tf.Tensor2D {
    return this.#classifier.apply(features);
  }

  /** See {@link ResNet50.holdWeights}. */
  holdWeights(): Disposable {
    return this.backbone.holdWeights();
  }

  /** Frees the weights. */
  dispose(): void {
    this.parameters.dispose();
  }
}

/** A window of frames at a time: the backbone's features, then a recurrent or an attention head. */
export class TemporalNetwork {
  readonly architecture: Architecture;
  readonly parameters: Parameters;
  readonly backbone: ResNet50;
  readonly #head: RnnHead | TransformerHead;
  readonly #seed: number;

  /** @param seed of the initial weights and of dropout */
  constructor(
    architecture: Architecture & { network: "rnn" | "transformer" },
    seed: number,
    layers: Layers = defaultLayers,
  ) {
    this.architecture = architecture;
    this.parameters = new Parameters(seed);
    this.#seed = seed;
    this.backbone = new ResNet50(this.parameters, layers, architecture.width, architecture.graph);
    const features = this.backbone.featureWidth;
    this.#head = architecture.network === "rnn"
      ? new RnnHead(this.parameters, layers, "rnn.", { features, ...architecture })
      : new TransformerHead(this.parameters, layers, "transformer.", { features, ...architecture });
  }

  /**
   * features [B, T, D] -> logits [B, T, classes]
   *
   * @param step of the training run, for dropout; undefined = evaluation
   */
  logits(features: tf.Tensor3D, step?: number | LaunchValue): tf.Tensor3D {
    return this.#head.logits(features, step === undefined ? undefined : { seed: this.#seed, step });
  }

  /** See {@link ResNet50.holdWeights}. */
  holdWeights(): Disposable {
    return this.backbone.holdWeights();
  }

  /** Frees the weights. */
  dispose(): void {
    if (this.#head instanceof TransformerHead) this.#head.dispose();
    this.parameters.dispose();
  }
}

/** The baseline, one frame at a time: VGG16. */
export class VggNetwork {
  readonly architecture: Architecture;
  readonly parameters: Parameters;
  readonly #vgg: Vgg16;

  /** @param seed of the initial weights */
  constructor(architecture: Architecture & { network: "vgg" }, seed: number, layers: Layers = defaultLayers) {
    this.architecture = architecture;
    this.parameters = new Parameters(seed);
    const { width, size, classes } = architecture;
    this.#vgg = new Vgg16(this.parameters, layers, width, size, classes);
  }

  /** images [N, H, W, 3] -> logits [N, classes]; the same in training and evaluation */
  logits(images: tf.Tensor4D, _mode: Mode): tf.Tensor2D {
    return this.#vgg.logits(images);
  }

  /** Nothing to do: no batch norm is folded. */
  holdWeights(): Disposable {
    return { [Symbol.dispose]() {} };
  }

  /** Frees the weights. */
  dispose(): void {
    this.parameters.dispose();
  }
}

/** A network that sees one frame at a time. */
export type FrameNetwork = CnnNetwork | VggNetwork;

/** Any of them. */
export type Network = FrameNetwork | TemporalNetwork;

/** Builds a network with random weights. */
export function createNetwork(architecture: Architecture, seed: number, layers?: Layers): Network {
  if (architecture.network === "vgg") return new VggNetwork(architecture, seed, layers);
  if (architecture.network === "cnn") return new CnnNetwork(architecture, seed, layers);
  return new TemporalNetwork(architecture, seed, layers);
}
