/**
 * Which networks are asked, with which weights: those of `--weights`, or of an ensemble's file.
 *
 * @module
 */
import type { NetworkName } from "../../models/networks.ts";
import { type Checkpoint, loadCheckpoint } from "../run/checkpoint.ts";
import { UserError } from "../run/cli.ts";
import type { Voter } from "./predictor.ts";

/** Weights by network, and the checkpoints that they were found with. */
interface EnsembleFile {
  readonly weights: Readonly<Partial<Record<NetworkName, number>>>;
  readonly checkpoints: readonly string[];
}

const WANTED =
  "expected the ensemble.json of deno task ensemble, or the record.json of a run with an ensemble";
const TOLERANCE = 1e-6;

/** Order of the weights in a record's rows of Table 1. */
const RECORD_NETWORKS: readonly NetworkName[] = ["cnn", "rnn", "transformer"];

/** A record's largest ensemble. */
function fromRecord(
  record: {
    networks: Partial<Record<NetworkName, { checkpoint: string }>>;
    ensemble: readonly { name: string; weights: readonly number[] }[];
  },
  path: string,
): EnsembleFile {
  const networks = RECORD_NETWORKS.filter((network) => record.networks[network] !== undefined);
  const row = record.ensemble.at(-1);
  if (row === undefined || row.weights.length !== networks.length) {
    throw new UserError(`Cannot use ${path}: its run has no ensemble of ${networks.join(", ")}; ${WANTED}`);
  }
  return {
    weights: Object.fromEntries(networks.map((network, i) => [network, row.weights[i]])),
    checkpoints: networks.map((network) => record.networks[network]!.checkpoint),
  };
}

async function readEnsemble(path: string): Promise<EnsembleFile> {
  let file;
  try {
    file = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    throw new UserError(`Cannot read ${path}: ${(error as Error).message}; ${WANTED}`);
  }
  if (Array.isArray(file?.ensemble)) return fromRecord(file, path);
  const weights = Object.values(file?.weights ?? {});
  const sum = weights.reduce((total: number, weight) => total + Number(weight), 0);
  if (!(Math.abs(sum - 1) < TOLERANCE) || !Array.isArray(file?.checkpoints)) {
    throw new UserError(`Cannot use ${path}: it has no weights that sum to 1, or no checkpoints; ${WANTED}`);
  }
  return file;
}

/** True for a network with probabilities of the expressions. */
function votesOnExpressions({ labelSet }: Checkpoint): boolean {
  return labelSet === "expression" || labelSet === "joint";
}

/**
 * Loads the networks.
 *
 * @param paths checkpoints; without any, an ensemble's own
 * @throws {UserError} if there is none, several networks of expressions have no ensemble, or the ensemble has no weight
 * for one of them
 */
export async function loadVoters(
  paths: readonly string[],
  ensemblePath: string | undefined,
): Promise<Voter[]> {
  const ensemble = ensemblePath === undefined ? undefined : await readEnsemble(ensemblePath);
  const checkpoints = await Promise.all([
    ...paths,
    ...(paths.length === 0 ? ensemble?.checkpoints ?? [] : []),
  ].map(loadCheckpoint));
  if (checkpoints.length === 0) {
    throw new UserError("Cannot predict: there is no network; expected --weights FILE or --ensemble FILE");
  }
  const voting = checkpoints.filter(votesOnExpressions);
  const names = voting.map(({ architecture }) => architecture.network);
  if (ensemble === undefined) {
    if (voting.length > 1) {
      throw new UserError(
        `Cannot predict: ${
          names.join(", ")
        } all tell expressions; expected one of them, or --ensemble FILE with their weights`,
      );
    }
    return checkpoints.map((checkpoint) => ({ checkpoint, weight: votesOnExpressions(checkpoint) ? 1 : 0 }));
  }
  const wanted = Object.keys(ensemble.weights).sort().join(", ");
  if (names.toSorted().join(", ") !== wanted) {
    throw new UserError(
      `Cannot use ${ensemblePath}: it weights ${wanted}, and the checkpoints are of ${
        names.join(", ") || "none"
      }; ` +
        "expected one of each",
    );
  }
  return checkpoints.map((checkpoint) => ({
    checkpoint,
    weight: votesOnExpressions(checkpoint) ? ensemble.weights[checkpoint.architecture.network]! : 0,
  }));
}
