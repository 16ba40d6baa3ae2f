/**
 * Which model a file of weights fits, and which input it wants. torchvision's names are those of two different graphs,
 * so the names alone never decide what a file is.
 *
 * @module
 */
import {
  CONVENTIONS,
  IMAGENET_CONVENTION,
  type InputConvention,
  VGGFACE2_BGR_CONVENTION,
  VGGFACE2_CONVENTION,
} from "../../data/input_convention.ts";
import type { WeightsFile } from "./file.ts";
import type { Naming } from "./resnet50_names.ts";

/** Where the stride of 2 is and whether the pool is padded; see {@link GRAPHS}. */
export type ResNetGraph = "caffe" | "torchvision";

/** What the graphs are, for messages. */
export const GRAPHS: Readonly<Record<ResNetGraph, string>> = {
  caffe: "stride 2 on the 1x1 reduce convolution, unpadded max pool (VGGFace2's)",
  torchvision: "stride 2 on the 3x3 convolution, padded max pool (torchvision's)",
};

/** VGGFace2's and ImageNet's numbers of classes: with them a file is known. */
const VGGFACE2_CLASSES = 8631;
const IMAGENET_CLASSES = 1000;
/** Of what our own files say of themselves. */
const HEADER_VERSION = "1";

/** What a file that holds a ResNet50 is. */
export interface Identity {
  readonly naming: Naming;
  /** before every name, e.g. `state_dict.module.` */
  readonly prefix: string;
  /** channels after the stem */
  readonly width: number;
  /** undefined: the file has no classifier */
  readonly classes: number | undefined;
  /** undefined: the file does not say */
  readonly graph: ResNetGraph | undefined;
  /** undefined: the file does not say */
  readonly convention: InputConvention | undefined;
  /** a line for people */
  readonly description: string;
}

/** What the user says of a file, where the file itself leaves it open. */
export interface Hints {
  readonly graph?: ResNetGraph;
  /** a name of {@link CONVENTIONS} */
  readonly convention?: string;
}

/** The first convolution's name in each scheme, and the axis of its filter that holds the outputs. */
const ANCHORS: readonly { naming: Naming; name: string; outputAxis: number }[] = [
  { naming: "dag", name: "conv1_7x7_s2.weight", outputAxis: 0 },
  { naming: "torchvision", name: "conv1.weight", outputAxis: 0 },
  { naming: "keras", name: "conv1/7x7_s2/kernel", outputAxis: 3 },
];

const CLASSIFIERS: Readonly<Record<Naming, { name: string; outputAxis: number }>> = {
  dag: { name: "classifier.weight", outputAxis: 0 },
  torchvision: { name: "fc.weight", outputAxis: 0 },
  keras: { name: "classifier/kernel", outputAxis: 1 },
};

/** The parts of a file that tell what it is. */
export type Identifiable = Pick<WeightsFile, "path" | "tensors" | "format" | "metadata">;

/** Tells what a file is; undefined if it is no ResNet50. */
export function identify(file: Identifiable): Identity | undefined {
  for (const { naming, name, outputAxis } of ANCHORS) {
    const prefix = prefixOf(file, naming, name);
    if (prefix === undefined) continue;
    const classifier = CLASSIFIERS[naming];
    const classes = file.tensors.get(prefix + classifier.name)?.shape[classifier.outputAxis];
    const width = file.tensors.get(prefix + name)!.shape[outputAxis];
    return { naming, prefix, width, classes, ...originOf(file, naming, classes) };
  }
  return undefined;
}

/** What comes before every name of the network; undefined if the file has no such network. */
function prefixOf({ tensors }: Identifiable, naming: Naming, anchor: string): string | undefined {
  for (const [name, { shape }] of tensors) {
    if (!name.endsWith(anchor) || name.startsWith("momentum/") || shape.length !== 4) continue;
    const prefix = name.slice(0, name.length - anchor.length);
    if (!/^$|[./]$/.test(prefix)) continue;
    // Blocks within torchvision's networks have a conv1 too, and its smaller networks no third convolution.
    if (naming === "torchvision" && !tensors.has(`${prefix}layer1.0.conv3.weight`)) continue;
    return prefix;
  }
  return undefined;
}

type Origin = Pick<Identity, "graph" | "convention" | "description">;

/** Graph and convention, as far as the file makes them certain. */
function originOf(file: Identifiable, naming: Naming, classes: number | undefined): Origin {
  const header = readHeader(file);
  if (header !== undefined) {
    const { graph, convention, network } = header;
    return { graph, convention, description: `Fervid's ${network}` };
  }
  if (naming === "keras") {
    // The only Keras ResNet50 with these names is VGGFace2's; its own graph pads unevenly, so features differ a little.
    return {
      graph: "caffe",
      convention: VGGFACE2_BGR_CONVENTION,
      description: "VGGFace2's ResNet50 for Keras (its graph pads unevenly: features differ slightly here)",
    };
  }
  if (naming === "dag") {
    const isVggFace2 = classes === VGGFACE2_CLASSES;
    return {
      graph: "caffe",
      convention: isVggFace2 ? VGGFACE2_CONVENTION : undefined,
      description: isVggFace2 ? "VGGFace2's ResNet50" : "a ResNet50 in VGGFace2's names",
    };
  }
  if (classes === IMAGENET_CLASSES) {
    return {
      graph: "torchvision",
      convention: IMAGENET_CONVENTION,
      description: "torchvision's ImageNet ResNet50",
    };
  }
  if (classes === VGGFACE2_CLASSES && file.format === "numpy pickle") {
    return {
      graph: "caffe",
      convention: VGGFACE2_BGR_CONVENTION,
      description: "VGGFace2's ResNet50 in torchvision's names",
    };
  }
  return {
    graph: undefined,
    convention: undefined,
    description: "a ResNet50 in torchvision's names, which VGGFace2's pickle and torchvision's own share",
  };
}

/** What our own files say of themselves; undefined in others' files. */
function readHeader({ path, metadata }: Identifiable) {
  if (!/^fervid-(checkpoint|weights)$/.test(metadata.format ?? "")) return undefined;
  if (metadata.version !== HEADER_VERSION) {
    throw new Error(
      `Cannot use ${path}: it is of ${metadata.format}, version ${metadata.version ?? "none"}; ` +
        `expected version ${HEADER_VERSION}`,
    );
  }
  let header: { architecture?: { graph?: unknown; network?: unknown }; convention?: unknown } | null;
  try {
    header = JSON.parse(metadata.header);
  } catch (error) {
    throw new Error(`Cannot use ${path}: its metadata's header is no JSON (${(error as Error).message})`);
  }
  const { architecture, convention } = header ?? {};
  const graph = architecture?.graph ?? "caffe";
  if ((graph !== "caffe" && graph !== "torchvision") || !isConvention(convention)) {
    throw new Error(`Cannot use ${path}: its metadata names no graph and input convention`);
  }
  const network = typeof architecture?.network === "string" ? architecture.network : "network";
  return { graph: graph as ResNetGraph, convention, network };
}

function isConvention(value: unknown): value is InputConvention {
  const { name, order, scale, mean, std } = (value ?? {}) as Partial<InputConvention>;
  const isTriple = (numbers: unknown) =>
    Array.isArray(numbers) && numbers.length === 3 && numbers.every(Number.isFinite);
  return typeof name === "string" && (order === "rgb" || order === "bgr") && Number.isFinite(scale) &&
    isTriple(mean) && isTriple(std);
}

/**
 * Graph and convention of a file, from itself or from the user.
 *
 * @throws {Error} if neither says, or they say different things
 */
export function resolve(
  path: string,
  identity: Identity,
  hints: Hints,
): { graph: ResNetGraph; convention: InputConvention } {
  const fail = (reason: string): never => {
    throw new Error(`Cannot use ${path}: it is ${identity.description}; ${reason}`);
  };
  const graph = identity.graph ?? hints.graph ??
    fail(
      `say which graph it is: --graph caffe, ${GRAPHS.caffe}, or --graph torchvision, ${GRAPHS.torchvision}`,
    );
  if (hints.graph !== undefined && hints.graph !== graph) {
    fail(`its graph is ${graph}, ${GRAPHS[graph]}, but --graph is ${hints.graph}`);
  }
  // torchvision's graph is run only if it is asked for: nothing else here has it, and it is easily loaded by mistake.
  if (graph === "torchvision" && identity.naming !== "dag" && hints.graph === undefined) {
    fail(
      `that is another graph, ${GRAPHS.torchvision}, than this network's, ${GRAPHS.caffe}; ` +
        "pass --graph torchvision to run torchvision's graph with these weights",
    );
  }
  const names = Object.keys(CONVENTIONS);
  const convention = identity.convention ?? CONVENTIONS[hints.convention ?? ""] ??
    fail(`say which input it was trained on: --convention ${names.join(" or ")}`);
  if (hints.convention !== undefined && hints.convention !== convention.name) {
    fail(`its input convention is ${convention.name}, but --convention is ${hints.convention}`);
  }
  return { graph, convention };
}
