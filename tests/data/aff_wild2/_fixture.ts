/**
 * Small Aff-Wild2 trees in a temporary folder, and trees that exist in memory only.
 *
 * @module
 */
import { assert } from "@std/assert";
import { ACTION_UNITS, EXPRESSIONS } from "../../../data/aff_wild2/mod.ts";
import type { Files, Track } from "../../../data/aff_wild2/mod.ts";

export const EXPRESSION_HEADER = EXPRESSIONS.join(",");
export const ACTION_UNIT_HEADER = ACTION_UNITS.join(",");

/** A track to write: its annotation text, and its crops' frame numbers or `undefined` for no crop folder. */
export interface FixtureTrack {
  readonly text: string;
  readonly crops?: readonly number[];
  /** further names in the crop folder */
  readonly others?: readonly string[];
}

/** Tracks by path below the annotations folder, e.g. `EXPR_Set/Train_Set/video1`. */
export type FixtureTracks = Readonly<Record<string, FixtureTrack>>;

/** The text of an EXPR file. */
export function expressionText(...labels: readonly number[]): string {
  return [EXPRESSION_HEADER, ...labels].join("\n") + "\n";
}

/** The text of an AU file; each line is one value for all twelve, or the line itself. */
export function actionUnitText(...lines: readonly (number | string)[]): string {
  const full = lines.map((line) => typeof line === "string" ? line : new Array(12).fill(line).join(","));
  return [ACTION_UNIT_HEADER, ...full].join("\n") + "\n";
}

/** Frame numbers 1..n. */
export function upTo(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i + 1);
}

const cropName = (frame: number) => `${String(frame).padStart(5, "0")}.jpg`;

/** Writes tracks under a root; the crops are empty files. */
export async function writeTracks(
  root: string,
  tracks: FixtureTracks,
  folders: { annotations: string; crops: string } = { annotations: "annotations", crops: "cropped_aligned" },
): Promise<void> {
  await Deno.mkdir(`${root}/${folders.crops}`, { recursive: true });
  for (const [path, track] of Object.entries(tracks)) {
    const parts = path.split("/");
    const name = parts.pop()!;
    const folder = `${root}/${folders.annotations}/${parts.join("/")}`;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/${name}.txt`, track.text);
    if (!track.crops) continue;
    const crops = `${root}/${folders.crops}/${name}`;
    await Deno.mkdir(crops, { recursive: true });
    for (const file of [...track.crops.map(cropName), ...track.others ?? []]) {
      await Deno.writeFile(`${crops}/${file}`, new Uint8Array());
    }
  }
}

/** Runs with a fresh folder that is removed afterwards. */
export async function withFolder(run: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "aff_wild2_" });
  try {
    await run(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** Runs with a tree of tracks that is removed afterwards. */
export function withTracks(tracks: FixtureTracks, run: (root: string) => Promise<void>): Promise<void> {
  return withFolder(async (root) => {
    await writeTracks(root, tracks);
    await run(root);
  });
}

/** Asserts that it fails with an error of this type whose message holds every part. */
export async function assertFails(
  run: () => unknown,
  type: new (...args: never[]) => Error,
  ...parts: readonly string[]
): Promise<void> {
  let caught: unknown;
  try {
    await run();
  } catch (error) {
    caught = error;
  }
  assert(caught instanceof Error, "expected a failure but there was none");
  assert(
    caught.constructor === type,
    `expected ${type.name} but got ${caught.constructor.name}: ${caught.message}`,
  );
  for (const part of parts) {
    assert(caught.message.includes(part), `expected "${part}" in the message but got "${caught.message}"`);
  }
}

/** A disk in memory: folders by path with the names inside, files by path. */
export function memoryFiles(
  folders: Readonly<Record<string, readonly string[]>>,
  contents: Readonly<Record<string, Uint8Array>>,
): Files {
  const find = <T>(entries: Readonly<Record<string, T>>, path: string): Promise<T> =>
    Object.hasOwn(entries, path)
      ? Promise.resolve(entries[path])
      : Promise.reject(new Deno.errors.NotFound(path));
  return { list: (folder) => find(folders, folder), read: (file) => find(contents, file) };
}

/** A track of n kept expression frames, numbered 1, 3, 5, .., labelled 0, 1, .., 6, 0, .. */
export function makeTrack(n: number, name = "video1"): Track {
  return {
    name,
    video: name,
    imageFolder: `crops/${name}`,
    annotatedFrames: 2 * n,
    frames: Int32Array.from({ length: n }, (_, i) => 2 * i + 1),
    labels: Int8Array.from({ length: n }, (_, i) => i % 7),
    dropped: { unlabelled: n, missingCrop: 0, unlabelledCrops: 0 },
  };
}
