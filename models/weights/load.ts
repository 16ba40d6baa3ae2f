/**
 * Initialises a network from a pretrained ResNet50.
 *
 * @module
 */
import { CnnNetwork, isBackboneParameter, type Network } from "../networks.ts";
import type { PretrainedResNet50 } from "./backbone.ts";
import { GRAPHS } from "./identify.ts";

/**
 * Sets a network's backbone, and the CNN's classifier where it has as many classes.
 *
 * @param newHead keep the network's random classifier where the file has another one or none
 * @returns what was done, in lines for the log
 * @throws {Error} if the width, the graph or, without `newHead`, the classifier is another
 */
export function loadPretrained(
  network: Network,
  pretrained: PretrainedResNet50,
  { newHead = false } = {},
): string[] {
  const { path, width, graph, classes, convention, tensors, identity, ignored } = pretrained;
  const { architecture } = network;
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
  const lines = [
    `${path}: ${identity.description}, width ${width}, graph ${graph}, input convention ${convention.name}` +
    (ignored.length > 0 ? `; ${ignored.length} tensors beside the model ignored (${ignored[0]}, ...)` : ""),
  ];
  const hasHead = network instanceof CnnNetwork && classes === architecture.classes;
  const theirs = classes === undefined ? "no classifier" : `a classifier of ${classes} classes`;
  if (network instanceof CnnNetwork && !hasHead) {
    if (!newHead) {
      throw new Error(
        `Cannot load ${path}: it has ${theirs} but the network has one of ${architecture.classes}; ` +
          "pass --new-head to begin with a random classifier",
      );
    }
    lines.push(
      `${path}: it has ${theirs}; the network begins with a random one of ${architecture.classes} classes`,
    );
  } else if (!(network instanceof CnnNetwork) && classes !== undefined) {
    lines.push(`${path}: its ${theirs.slice(2)} is not used; the network has a head of its own`);
  }
  const accepted = (name: string) => hasHead || isBackboneParameter(name);
  network.parameters.load(new Map([...tensors].filter(([name]) => accepted(name))), accepted);
  return lines;
}
