/**
 * Initialises a network from a pretrained ResNet50.
 *
 * @module
 */
import { CnnNetwork, isBackboneParameter, type Network, type Sizes } from "../networks.ts";
import type { PretrainedResNet50 } from "./backbone.ts";
import { GRAPHS } from "./identify.ts";

/** What the file has for a classifier, in words. */
function headOf({ classes }: PretrainedResNet50): string {
  return classes === undefined ? "no classifier" : `a classifier of ${classes} classes`;
}

/**
 * Refuses weights of another width or graph, and, without `newHead`, of another classifier.
 *
 * @throws {Error} giving both
 */
export function requireFits(
  architecture: Sizes & { readonly classes?: number },
  pretrained: PretrainedResNet50,
  newHead: boolean,
): void {
  const { path, width, graph, classes } = pretrained;
  if (architecture.network === "vgg") {
    throw new Error(
      `Cannot load ${path}: it is a ResNet50, which the VGG16 baseline has not; expected cnn, rnn or transformer`,
    );
  }
  const wantedGraph = architecture.graph ?? "caffe";
  if (width !== architecture.width) {
    throw new Error(
      `Cannot load ${path}: its ResNet50 has width ${width} but the network has width ${architecture.width}`,
    );
  }
  if (graph !== wantedGraph) {
    throw new Error(
      `Cannot load ${path}: its graph is ${GRAPHS[graph]}; the network's is ${GRAPHS[wantedGraph]}`,
    );
  }
  const wanted = architecture.classes;
  if (architecture.network === "cnn" && wanted !== undefined && classes !== wanted && !newHead) {
    throw new Error(
      `Cannot load ${path}: it has ${headOf(pretrained)} but the network has one of ${wanted}; ` +
        "pass --new-head to begin with a random classifier",
    );
  }
}

/**
 * Sets a network's backbone, and the CNN's classifier where it has as many classes.
 *
 * @param newHead keep the network's random classifier where the file has another one or none
 * @returns what was done, in lines for the log
 * @throws {Error} if the width, the graph or, without `newHead`, the classifier is another
 */
export function loadPretrained(network: Network, pretrained: PretrainedResNet50, newHead = false): string[] {
  const { architecture } = network;
  requireFits(architecture, pretrained, newHead);
  const { path, width, graph, classes, convention, tensors, identity, ignored } = pretrained;
  const lines = [
    `${path}: ${identity.description}, width ${width}, graph ${graph}, input convention ${convention.name}` +
    (ignored.length > 0 ? `; ${ignored.length} tensors beside the model ignored (${ignored[0]}, ...)` : ""),
  ];
  const isCnn = network instanceof CnnNetwork;
  const hasHead = isCnn && classes === architecture.classes;
  if (isCnn && !hasHead) {
    lines.push(
      `${path}: it has ${
        headOf(pretrained)
      }; the network begins with a random one of ${architecture.classes} classes`,
    );
  } else if (!isCnn && classes !== undefined) {
    lines.push(`${path}: ${headOf(pretrained)} in it is not used; the network has a head of its own`);
  }
  const accepted = (name: string) => hasHead || isBackboneParameter(name);
  network.parameters.load(new Map([...tensors].filter(([name]) => accepted(name))), accepted);
  return lines;
}
