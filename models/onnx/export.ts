/**
 * The networks and their ensemble as ONNX models. Input is RGB in 0..255; the normalisation that belongs to the weights
 * is inside.
 *
 * @module
 */
import type { Target } from "../../data/aff_wild2/types.ts";
import { isBackboneParameter } from "../networks.ts";
import { OnnxGraph } from "./graph.ts";
import { NetworkBuilder, type TrainedNetwork } from "./layers.ts";
import { requireItsTensors } from "./shapes.ts";

/** A member of an ensemble. */
export interface EnsembleMember extends TrainedNetwork {
  /** of its probabilities in the sum */
  readonly weight: number;
}

const METADATA = { input: "RGB, 0 to 255, channels first; the model normalises" };

/**
 * One network: `images` [batch, 3, S, S] -> `logits` [batch, classes] for the CNN; `images` [batch, frames, 3, S, S] ->
 * `logits` [batch, frames, classes] for the temporal networks. Batch and frames are free.
 *
 * @throws {Error} if the weights are not the network's
 * @returns the model's bytes
 */
export function exportNetwork(network: TrainedNetwork, labelSet: Target): Uint8Array {
  requireItsTensors(network);
  const { size, classes, network: name } = network.architecture;
  const graph = new OnnxGraph();
  const builder = new NetworkBuilder(graph, network, "");
  if (name === "vgg") {
    graph.output("logits", builder.vgg(graph.input("images", ["batch", 3, size, size])), ["batch", classes]);
  } else if (name === "cnn") {
    const images = graph.input("images", ["batch", 3, size, size]);
    graph.output("logits", builder.linear(builder.backbone(images), "classifier"), ["batch", classes]);
  } else {
    const clip = openClip(graph, size);
    const logits = head(builder, network, builder.backbone(clip.frames), clip.sizes);
    graph.output("logits", restore(graph, logits, clip.sizes), ["batch", "frames", classes]);
  }
  return graph.encode(`fervid_${name}`, { ...METADATA, label_set: labelSet });
}

/**
 * The ensemble on the middle frame of a window: `images` [batch, frames, 3, S, S], an odd number of frames ->
 * `probabilities` [batch, classes], the weighted sum of the networks' softmax. Networks with the same backbone share it.
 *
 * @throws {Error} if no weight is above 0, two networks are of one kind, one is the baseline, they differ in size or
 * classes, or the weights are not the network's
 * @returns the model's bytes
 */
export function exportEnsemble(members: readonly EnsembleMember[]): Uint8Array {
  const used = members.filter(({ weight }) => weight > 0);
  const kinds = used.map(({ architecture }) => architecture.network);
  if (used.length === 0 || kinds.includes("vgg") || new Set(kinds).size < kinds.length) {
    throw new Error(
      `Cannot export the ensemble: its networks with a weight above 0 are ${kinds.join(", ") || "none"}; ` +
        "expected cnn, rnn and transformer, each at most once",
    );
  }
  used.forEach(requireItsTensors);
  const [{ architecture: { size, classes } }] = used;
  for (const { architecture } of used) {
    if (architecture.size !== size || architecture.classes !== classes) {
      throw new Error(
        `Cannot export the ensemble: its networks take ${size} and ${architecture.size} pixels, ` +
          `and have ${classes} and ${architecture.classes} classes; expected the same`,
      );
    }
  }
  const graph = new OnnxGraph();
  const clip = openClip(graph, size);
  const features = new Map<TrainedNetwork, string>();
  const sums = used.map((member) => {
    const { network } = member.architecture;
    const builder = new NetworkBuilder(graph, member, `${network}.`);
    const isShared = used.some((other) => other !== member && hasSameBackbone(other, member));
    const logits = network === "cnn" && !isShared
      ? builder.linear(builder.backbone(middle(graph, clip.images, clip.sizes)), "classifier")
      : middle(graph, restore(graph, onFrames(builder, member, clip, features), clip.sizes), clip.sizes);
    const weight = graph.floats(`${network}.ensemble_weight`, [], Float32Array.of(member.weight));
    return graph.add("Mul", [graph.add("Softmax", [logits], { axis: -1 }), weight]);
  });
  graph.output("probabilities", sums.length === 1 ? sums[0] : graph.add("Sum", sums), ["batch", classes]);
  return graph.encode("fervid_ensemble", { ...METADATA, label_set: "expression", frame: "the middle one" });
}

/** A window of frames as an input. */
interface Clip {
  /** [B, T, 3, S, S] */
  readonly images: string;
  /** [B * T, 3, S, S] */
  readonly frames: string;
  /** [2]: B and T */
  readonly sizes: string;
}

function openClip(graph: OnnxGraph, size: number): Clip {
  const images = graph.input("images", ["batch", "frames", 3, size, size]);
  const sizes = graph.add("Shape", [images], { start: 0, end: 2 });
  const frames = graph.add("Reshape", [images, graph.integers([-1, 3, size, size])]);
  return { images, frames, sizes };
}

/** features [B * T, D] -> logits [B * T, classes] */
function head(
  builder: NetworkBuilder,
  { architecture }: TrainedNetwork,
  features: string,
  sizes: string,
): string {
  if (architecture.network === "rnn") return builder.rnnHead(features, sizes, architecture);
  if (architecture.network === "transformer") return builder.transformerHead(features, sizes, architecture);
  return builder.linear(features, "classifier");
}

/** Logits of every frame, on a backbone that is there already if another network has the same. */
function onFrames(
  builder: NetworkBuilder,
  network: TrainedNetwork,
  clip: Clip,
  features: Map<TrainedNetwork, string>,
): string {
  const known = [...features.keys()].find((other) => hasSameBackbone(other, network));
  const values = known === undefined ? builder.backbone(clip.frames) : features.get(known)!;
  features.set(network, values);
  return head(builder, network, values, clip.sizes);
}

/** [B * T, K] -> [B, T, K] */
function restore(graph: OnnxGraph, x: string, sizes: string): string {
  return graph.add("Reshape", [x, graph.add("Concat", [sizes, graph.integers([-1])], { axis: 0 })]);
}

/** [B, T, ..] -> [B, ..], at frame (T - 1) / 2 */
function middle(graph: OnnxGraph, x: string, sizes: string): string {
  const frames = graph.add("Gather", [sizes, graph.integers([1], [])], { axis: 0 });
  const index = graph.add("Div", [frames, graph.integers([2], [])]);
  return graph.add("Gather", [x, index], { axis: 1 });
}

/** True if two networks see the same input and have the same frozen backbone, value by value. */
function hasSameBackbone(a: TrainedNetwork, b: TrainedNetwork): boolean {
  if (JSON.stringify(a.convention) !== JSON.stringify(b.convention)) return false;
  const names = [...a.weights.keys()].filter(isBackboneParameter);
  return a.architecture.graph === b.architecture.graph && names.every((name) => {
    const [x, y] = [a.weights.get(name)!, b.weights.get(name)];
    return y !== undefined && x.dtype === y.dtype && x.data.length === y.data.length &&
      x.data.every((value, i) => value === y.data[i]);
  });
}
