/**
 * Checkpoints: weights, momenta, position and history of a run in one `.safetensors`, written to a temporary file,
 * flushed and renamed, so that a crash leaves the previous one intact. The one before is kept beside it. Random
 * numbers are counter-based (seed, epoch, step), so the position is all of their state.
 *
 * @module
 */
import { z } from "zod";
import { type Architecture, createNetwork, type Network } from "../../models/networks.ts";
import type { Sgd } from "../../models/optimizer.ts";
import { type HostTensor, readSafetensors, writeSafetensors } from "../../models/weights/safetensors.ts";
import type { InputConvention } from "../../data/input_convention.ts";
import type { Target } from "../../data/aff_wild2/types.ts";
import { UserError } from "./cli.ts";
import type { EpochRecord, Position } from "./history.ts";
import type { Recipe } from "./recipe.ts";

const FORMAT = "fervid-checkpoint";
const VERSION = 1;
const MOMENTUM_PREFIX = "momentum/";

/** What a checkpoint says of its run beside the tensors. */
export interface CheckpointHeader {
  readonly architecture: Architecture;
  readonly labelSet: Target;
  readonly recipe: Recipe;
  readonly convention: InputConvention;
  readonly seed: number;
  readonly position: Position;
  readonly history: readonly EpochRecord[];
}

/** A checkpoint as read from disk. */
export interface Checkpoint extends CheckpointHeader {
  readonly path: string;
  readonly weights: Map<string, HostTensor>;
  /** empty in a file of weights alone */
  readonly momenta: Map<string, HostTensor>;
}

/** Where the checkpoint before the one at `path` is kept. */
export function previousPath(path: string): string {
  return path.replace(/\.safetensors$/, "") + ".previous.safetensors";
}

/**
 * Writes a checkpoint and keeps the one that was there as the previous one. At no moment is there none.
 *
 * @throws {UserError} if it cannot be written, e.g. on a full disk; the checkpoint that was there stays
 */
export async function saveCheckpoint(
  path: string,
  header: CheckpointHeader,
  network: Network,
  optimizer: Sgd,
): Promise<void> {
  const tensors = await network.parameters.toHost();
  for (const [name, tensor] of await optimizer.toHost()) tensors.set(MOMENTUM_PREFIX + name, tensor);
  const metadata = { format: FORMAT, version: String(VERSION), header: JSON.stringify(header) };
  let kept = true; // unless there is none
  try {
    kept = await keepPrevious(path);
    await writeSafetensors(path, tensors, metadata);
  } catch (error) {
    const { epoch, step } = header.position;
    throw new UserError(
      `Cannot write the checkpoint of epoch ${epoch + 1}, step ${step}, to ${path}: ${
        (error as Error).message
      }; ${
        kept ? "the one before it is kept" : "there is none before it"
      }: free some space and go on with --resume`,
    );
  }
}

/** Gives the current checkpoint, if there is one, a second name; the write that follows replaces the first. */
async function keepPrevious(path: string): Promise<boolean> {
  const link = `${previousPath(path)}.tmp`;
  await Deno.remove(link).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  try {
    await Deno.link(path, link);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false; // this is the first checkpoint
    await Deno.copyFile(path, link); // a file system without hard links
  }
  await Deno.rename(link, previousPath(path));
  return true;
}

/**
 * Reads a checkpoint.
 *
 * @throws {Error} if the file is missing, is no safetensors file, or is not a Fervid checkpoint of this version
 * with a whole header
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const { tensors, metadata } = await readSafetensors(path);
  if (metadata.format !== FORMAT || metadata.version !== String(VERSION)) {
    throw new Error(
      `Cannot load checkpoint ${path}: it says format ${metadata.format ?? "none"}, ` +
        `version ${metadata.version ?? "none"}; expected ${FORMAT}, version ${VERSION}`,
    );
  }
  const weights = new Map<string, HostTensor>();
  const momenta = new Map<string, HostTensor>();
  for (const [name, tensor] of tensors) {
    if (name.startsWith(MOMENTUM_PREFIX)) momenta.set(name.slice(MOMENTUM_PREFIX.length), tensor);
    else weights.set(name, tensor);
  }
  return { path, weights, momenta, ...readHeader(path, metadata.header) };
}

const count = z.int().min(1);
const backbone = {
  width: count,
  size: count,
  classes: count,
  graph: z.enum(["caffe", "torchvision"]).optional(),
};
const triple = z.tuple([z.number(), z.number(), z.number()]);

/** What is read of a header before anything else of it is; the rest stays as it is. */
const headerSchema = z.looseObject({
  architecture: z.discriminatedUnion("network", [
    z.looseObject({ network: z.literal(["vgg", "cnn"]), ...backbone }),
    z.looseObject({
      network: z.literal("rnn"),
      ...backbone,
      embedding: count,
      layers: count,
      hidden: count,
      bidirectional: z.boolean(),
    }),
    z.looseObject({
      network: z.literal("transformer"),
      ...backbone,
      embedding: count,
      depth: z.int().min(0),
      heads: count,
      dropout: z.number(),
    }),
  ]),
  labelSet: z.enum(["expression", "action_units", "joint", "identity"]),
  recipe: z.looseObject({}),
  convention: z.looseObject({
    name: z.string(),
    order: z.enum(["rgb", "bgr"]),
    scale: z.number(),
    mean: triple,
    std: triple,
  }),
  seed: z.number(),
  position: z.looseObject({ epoch: z.int().min(0), step: z.int().min(0) }),
  history: z.array(z.looseObject({})),
});

function readHeader(path: string, text: string | undefined): CheckpointHeader {
  const fail = (reason: string): never => {
    throw new Error(`Cannot load checkpoint ${path}: its header ${reason}; expected what \`train\` writes`);
  };
  if (text === undefined) return fail("is missing");
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    return fail(`is no JSON (${(error as Error).message})`);
  }
  const { error } = headerSchema.safeParse(header);
  if (error !== undefined) {
    const [{ path: place, message }] = error.issues;
    fail(`does not hold: ${place.map((key) => `${String(key)}: `).join("")}${message}`);
  }
  return header as CheckpointHeader;
}

/** Builds the checkpoint's network with its weights. */
export function restoreNetwork(checkpoint: Checkpoint): Network {
  const network = createNetwork(checkpoint.architecture, checkpoint.seed);
  network.parameters.load(checkpoint.weights);
  return network;
}

/**
 * Refuses a checkpoint of another model.
 *
 * @throws {Error} naming the first setting that differs
 */
export function requireSameArchitecture(checkpoint: Checkpoint, wanted: Architecture): void {
  const given = checkpoint.architecture as unknown as Record<string, unknown>;
  const expected = wanted as unknown as Record<string, unknown>;
  for (const key of new Set([...Object.keys(given), ...Object.keys(expected)])) {
    if (given[key] !== expected[key]) {
      throw new Error(
        `Cannot use checkpoint ${checkpoint.path}: its network has ${key} ${given[key] ?? "unset"} ` +
          `but this run wants ${expected[key] ?? "unset"}`,
      );
    }
  }
}
