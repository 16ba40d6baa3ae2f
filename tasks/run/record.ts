/**
 * The record of a run: one JSON file that says what ran, on what, and what came of it; written whole after every
 * epoch, so that it is true at any moment, and enough to run the same again.
 *
 * @module
 */
import { z } from "zod";
import tfjs from "@tensorflow/tfjs/package.json" with { type: "json" };
import fervid from "../../deno.json" with { type: "json" };
import type { BadImage } from "../../data/bad_images.ts";
import type { AdapterRecord } from "../../kernels/runtime/device.ts";
import { defaultLayers } from "../../models/layers_default.ts";
import type { NetworkName } from "../../models/networks.ts";
import { UserError } from "./cli.ts";
import { parseContent } from "./content.ts";
import { writeTextAtomic } from "./files.ts";
import type { DataFingerprint } from "./fingerprint.ts";
import type { EpochRecord } from "./history.ts";
import type { Refinement } from "./refine.ts";

const FORMAT = "fervid-record";
const VERSION = 1;

/** Scores of a network or of an ensemble. */
export interface Scores {
  readonly f1: number;
  readonly accuracy: number;
  readonly score: number;
}

/** What came of one network. */
export interface NetworkOutcome {
  readonly checkpoint: string;
  readonly epochs: readonly EpochRecord[];
  /** of the weights after the last epoch; null until then */
  readonly weightsSha256: string | null;
  /** of the probabilities of all validation frames; null until they are made */
  readonly predictionsSha256: string | null;
  readonly scores: Scores | null;
  /** of the frames as they are, where the probabilities are means with their mirror images' */
  readonly scoresWithoutFlip?: Scores | null;
}

/** Versions of what computed. */
export interface Versions {
  readonly deno: string;
  readonly v8: string;
  readonly tfjs: string;
  readonly fervid: string;
  /** which layers computed: `fervid` are the WGSL kernels; absent in older records */
  readonly kernels?: string;
  /** of Fervid's sources; null where they are no git checkout or git is missing */
  readonly commit: string | null;
  /** whether the sources differ from the commit */
  readonly dirty: boolean | null;
}

/** What computed in one life of a run, which ends when it is interrupted. */
export type Life = Pick<RunRecord, "versions" | "adapter" | "variants">;

/** A run's record. */
export interface RunRecord {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  readonly status: "running" | "finished" | "interrupted" | "failed";
  /** of a failed run */
  readonly error: string | null;
  readonly startedAt: string;
  readonly updatedAt: string;
  /** the resolved run file */
  readonly run: unknown;
  /** keys of the run file that were changed when the run was resumed: a replay uses the last values throughout */
  readonly changedKeys: readonly string[];
  readonly versions: Versions;
  readonly adapter: AdapterRecord;
  /** which kernel variants ran: `shipped`, or the tuner's file and its SHA-256 */
  readonly variants: string;
  /** of a run that was gone on with on something else: what computed before, the first life first */
  readonly earlierLives?: readonly Life[];
  readonly data: DataFingerprint;
  /** images that could not be used, ordered by path; what became of them says the run's `data.onBadImage` */
  readonly badImages: readonly BadImage[];
  readonly networks: Readonly<Partial<Record<NetworkName, NetworkOutcome>>>;
  /** rows of Table 1, each with weights cross-validated over tracks; empty where there is no ensemble */
  readonly ensemble: readonly ({ readonly name: string; readonly weights: readonly number[] } & Scores)[];
  /** what each refinement beyond the paper brings, and the calibration; null until the run is finished */
  readonly refinement: Refinement | null;
}

const scores = z.looseObject({ f1: z.number(), accuracy: z.number(), score: z.number() });

/** What is read of any record; more may be in it, and more is in the newer ones. */
const recordSchema = z.looseObject({
  status: z.enum(["running", "finished", "interrupted", "failed"]),
  error: z.string().nullish(),
  startedAt: z.string(),
  updatedAt: z.string(),
  run: z.looseObject({ name: z.string(), data: z.looseObject({ root: z.string() }) }),
  changedKeys: z.array(z.string()).optional(),
  versions: z.looseObject({ commit: z.string().nullable() }),
  adapter: z.looseObject({ description: z.string() }),
  variants: z.string().optional(), // the oldest records have none
  data: z.looseObject({ annotations: z.string(), images: z.string() }),
  badImages: z.array(z.looseObject({ path: z.string(), reason: z.string() })).optional(),
  networks: z.record(
    z.string(),
    z.looseObject({ epochs: z.array(z.looseObject({})), scores: scores.nullable() }),
  ),
  ensemble: z.array(scores.extend({ name: z.string() })),
});

/** Asks git for the commit of Fervid's sources; needs permission to run git. */
async function sourceState(): Promise<Pick<Versions, "commit" | "dirty">> {
  const folder = new URL("../../", import.meta.url).pathname;
  const git = async (...args: string[]) => {
    const command = new Deno.Command("git", {
      args: ["-C", folder, ...args],
      stdout: "piped",
      stderr: "null",
    });
    const { success, stdout } = await command.output();
    return success ? new TextDecoder().decode(stdout).trim() : null;
  };
  try {
    const [commit, changes] = [await git("rev-parse", "HEAD"), await git("status", "--porcelain")];
    return { commit, dirty: changes === null ? null : changes !== "" };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return { commit: null, dirty: null }; // there is no git
    throw error;
  }
}

/** The versions that a record keeps. */
export async function readVersions(): Promise<Versions> {
  const { deno, v8 } = Deno.version;
  return {
    deno,
    v8,
    tfjs: tfjs.version,
    fervid: fervid.version,
    kernels: defaultLayers.name,
    ...await sourceState(),
  };
}

/** Keeps a run's record on disk up to date. */
export class RecordFile {
  readonly path: string;
  #record: RunRecord;

  /** @param begin what is known at the start */
  constructor(
    path: string,
    begin: Pick<RunRecord, "run" | "versions" | "adapter" | "variants" | "data"> & Partial<RunRecord>,
  ) {
    const now = new Date().toISOString();
    this.path = path;
    this.#record = {
      format: FORMAT,
      version: VERSION,
      startedAt: now,
      changedKeys: [],
      badImages: [],
      networks: {},
      ensemble: [],
      refinement: null,
      ...begin,
      updatedAt: now,
      status: "running",
      error: null,
    };
  }

  /** The record as it is on disk. */
  get record(): RunRecord {
    return this.#record;
  }

  /** Changes the record and writes it. */
  async update(changes: Partial<RunRecord>): Promise<void> {
    this.#record = { ...this.#record, ...changes, updatedAt: new Date().toISOString() };
    await writeTextAtomic(this.path, JSON.stringify(this.#record, null, 2) + "\n");
  }

  /** Changes what came of one network, and the images that could not be used. */
  async updateNetwork(
    network: NetworkName,
    changes: Partial<NetworkOutcome>,
    badImages = this.#record.badImages,
  ): Promise<void> {
    const before = this.#record.networks[network] ?? {
      checkpoint: "",
      epochs: [],
      weightsSha256: null,
      predictionsSha256: null,
      scores: null,
    };
    await this.update({
      networks: { ...this.#record.networks, [network]: { ...before, ...changes } },
      badImages,
    });
  }
}

/**
 * Reads a record.
 *
 * @throws {UserError} if the file is missing or is no record of this version
 */
export async function readRecord(path: string): Promise<RunRecord> {
  let content: Partial<RunRecord>;
  try {
    content = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    throw new UserError(
      `Cannot read record ${path}: ${(error as Error).message}; expected a run's record.json`,
    );
  }
  const { format, version } = content ?? {};
  if (format !== FORMAT || version !== VERSION) {
    throw new UserError(
      `Cannot read record ${path}: it says format ${format ?? "none"}, version ${version ?? "none"}; ` +
        `expected ${FORMAT}, version ${VERSION}`,
    );
  }
  parseContent(recordSchema, content, { path, action: "read record", expected: "a run's record.json" });
  return { badImages: [], changedKeys: [], ...content } as RunRecord; // the oldest records have no such lists
}

/** The paths of the keys at which two JSON values differ. */
export function differingKeys(a: unknown, b: unknown, path = ""): string[] {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject(a) || !isObject(b)) return JSON.stringify(a) === JSON.stringify(b) ? [] : [path];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].flatMap((key) => differingKeys(a[key], b[key], path === "" ? key : `${path}.${key}`));
}
