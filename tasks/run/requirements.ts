/**
 * What a run must be to be trained to its end: said before it begins, not after the hours of its first network.
 *
 * @module
 */
import { isTemporal, type NetworkName } from "../../models/networks.ts";
import { UserError } from "./cli.ts";
import type { ModelRun, ResolvedRun } from "./run_file.ts";

type Models = [NetworkName, ModelRun][];

/** Why a run cannot be trained; empty if it can. */
export function impossibilities(run: ResolvedRun): string[] {
  const models = Object.entries(run.models) as Models;
  return [
    ...aboutBackbones(run, models),
    ...models.flatMap(([network, model]) => aboutModel(run, network, model)),
  ];
}

/**
 * What else is missing where a run is trained, and not profiled.
 *
 * @throws {UserError} if a temporal network would have no backbone
 */
export function requireBackbones({ models, init, backbone }: ResolvedRun): void {
  const temporal = (Object.keys(models) as NetworkName[]).find(isTemporal);
  if (temporal === undefined || models.cnn !== undefined || init !== null || backbone !== null) return;
  throw new UserError(
    `Cannot train ${temporal}: it has no backbone; expected --backbone FILE, a trained cnn's checkpoint, or --init FILE`,
  );
}

function aboutBackbones({ models: { cnn }, init, backbone }: ResolvedRun, models: Models): string[] {
  const temporal = models.filter(([network]) => isTemporal(network));
  const problems: string[] = [];
  if (backbone !== null && cnn !== undefined) {
    problems.push(
      `backbone is ${backbone} but the run trains a cnn of its own; expected one of them (init starts the cnn)`,
    );
  } else if (backbone !== null && temporal.length === 0) {
    problems.push(
      `backbone is ${backbone}, which neither cnn nor vgg uses; expected rnn or transformer, or none`,
    );
  }
  for (const [network, { architecture: { width, graph = "caffe" } }] of temporal) {
    if (cnn === undefined) continue;
    const theirs = cnn.architecture;
    if (width !== theirs.width) {
      problems.push(
        `models.${network}.architecture.width is ${width}; expected ${theirs.width}, the cnn's, which is its backbone`,
      );
    }
    // Weights that are given bring their graph to all networks.
    if (init === null && graph !== (theirs.graph ?? "caffe")) {
      problems.push(
        `models.${network}.architecture.graph is ${graph}; expected ${theirs.graph ?? "caffe"}, the cnn's`,
      );
    }
  }
  return problems;
}

function aboutModel(
  { data: { labelSet } }: ResolvedRun,
  network: NetworkName,
  { architecture, recipe }: ModelRun,
): string[] {
  const problems: string[] = [];
  if (recipe.sampling === "balanced" && (labelSet === "action_units" || labelSet === "joint")) {
    problems.push(
      `models.${network}.recipe.sampling is balanced, but a frame has many action units; ` +
        `expected shuffled, or the label set expression or identity`,
    );
  }
  if (architecture.network === "transformer" && architecture.embedding % architecture.heads !== 0) {
    problems.push(
      `models.${network}.architecture.heads is ${architecture.heads}; expected a divisor of the embedding, ` +
        `${architecture.embedding}`,
    );
  }
  return problems;
}
