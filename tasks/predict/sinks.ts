/**
 * Where rows go: the CSV, and the challenge's submission files.
 *
 * @module
 */
import { type MissingFrames, writeSubmission } from "../../data/aff_wild2/submission.ts";
import { ACTION_UNITS, EXPRESSIONS, type LabelSet } from "../../data/aff_wild2/types.ts";
import { temporaryName } from "../../data/whole_file.ts";
import { UserError } from "../run/cli.ts";
import { requireWritable, requireWritableFolder } from "../run/files.ts";
import type { Clip } from "./clips.ts";
import { csvColumns, csvLine, expressionOf, type Outputs } from "./csv.ts";
import type { FacesFrame, Row } from "./frames.ts";

/** What became of a clip. */
export interface ClipSummary {
  readonly clip: Clip;
  readonly frames: number;
  readonly rows: number;
  /** with a face in them */
  readonly framesWithFace: number;
  readonly tracks: number;
  readonly seconds: number;
}

/** Takes what comes of the clips, one clip after another. */
export interface Sink {
  /** frames with their faces, before their rows */
  faces?(frames: readonly FacesFrame[]): void | Promise<void>;
  rows(rows: readonly Row[]): void | Promise<void>;
  /** the clip is done */
  endClip?(summary: ClipSummary): void | Promise<void>;
}

/**
 * Writes the CSV as rows come, to a file that gets its name when it is whole, or to standard output. Until then its name
 * is its own, so that two runs do not write into one file. Straight to the file: a stream keeps rows that are lost when
 * the run is stopped.
 */
export class CsvSink implements Sink {
  readonly #path: string | undefined;
  readonly #temporary: string | undefined;
  readonly #outputs: Outputs;
  readonly #file: Deno.FsFile | typeof Deno.stdout;
  readonly #encoder = new TextEncoder();

  private constructor(
    path: string | undefined,
    temporary: string | undefined,
    file: Deno.FsFile | typeof Deno.stdout,
    outputs: Outputs,
  ) {
    this.#path = path;
    this.#temporary = temporary;
    this.#outputs = outputs;
    this.#file = file;
  }

  /**
   * Opens it.
   *
   * @param path undefined for standard output
   * @throws {UserError} if the file cannot be written
   */
  static async open(path: string | undefined, outputs: Outputs): Promise<CsvSink> {
    if (path !== undefined) await requireWritable(path);
    const temporary = path === undefined ? undefined : temporaryName(path);
    const file = temporary === undefined
      ? Deno.stdout
      : await Deno.open(temporary, { write: true, createNew: true });
    const sink = new CsvSink(path, temporary, file, outputs);
    await sink.#write([csvColumns(outputs).join(",")]);
    return sink;
  }

  async rows(rows: readonly Row[]): Promise<void> {
    await this.#write(rows.map((row) => csvLine(row, this.#outputs)));
  }

  async #write(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    const bytes = this.#encoder.encode(lines.join("\n") + "\n");
    try {
      for (let written = 0; written < bytes.length;) {
        written += await this.#file.write(bytes.subarray(written));
      }
    } catch (error) {
      const where = this.#path ?? "standard output";
      const why = error instanceof Deno.errors.BrokenPipe
        ? "nobody reads it any more"
        : (error as Error).message;
      throw new UserError(`Cannot write rows to ${where}: ${why}`);
    }
  }

  /** Ends the table; the file gets its name. */
  async close(): Promise<void> {
    if (this.#path === undefined) return;
    (this.#file as Deno.FsFile).close();
    await Deno.rename(this.#temporary!, this.#path);
  }

  /** What the file is called until it is closed or given up; undefined for standard output. */
  get temporary(): string | undefined {
    return this.#temporary;
  }

  /**
   * No more rows will come.
   *
   * @returns where those so far are; undefined for standard output
   */
  async giveUp(): Promise<string | undefined> {
    if (this.#path === undefined) return undefined;
    (this.#file as Deno.FsFile).close();
    const partial = `${this.#path}.partial`;
    await Deno.rename(this.#temporary!, partial);
    return partial;
  }
}

/** The predictions of a track, or of the largest face of each frame of a video. */
interface Collected {
  readonly frames: number[];
  readonly predictions: number[];
}

/** Units from this probability on are there. */
export const UNIT_THRESHOLD = 0.5;

/**
 * Writes a submission file per track of crops, and per video, where it takes the largest face of each frame; into the
 * folder, or where there are networks for both, into `expression` and `action_units` in it.
 */
export class SubmissionSink implements Sink {
  readonly written: string[] = [];
  readonly #folder: string;
  readonly #outputs: Outputs;
  readonly #missing: MissingFrames;
  #collected: Record<LabelSet, Collected> = SubmissionSink.#empty();

  private constructor(folder: string, outputs: Outputs, missing: MissingFrames) {
    this.#folder = folder;
    this.#outputs = outputs;
    this.#missing = missing;
  }

  /**
   * Makes the folders.
   *
   * @param missing what frames without a face get
   * @throws {UserError} if they cannot be written to
   */
  static async open(folder: string, outputs: Outputs, missing: MissingFrames): Promise<SubmissionSink> {
    const sink = new SubmissionSink(folder, outputs, missing);
    for (const labelSet of sink.#labelSets()) await requireWritableFolder(sink.#folderOf(labelSet));
    return sink;
  }

  static #empty(): Record<LabelSet, Collected> {
    return {
      expression: { frames: [], predictions: [] },
      action_units: { frames: [], predictions: [] },
    };
  }

  #labelSets(): LabelSet[] {
    const { expressions, units } = this.#outputs;
    return [...(expressions ? ["expression" as const] : []), ...(units ? ["action_units" as const] : [])];
  }

  #folderOf(labelSet: LabelSet): string {
    return this.#labelSets().length === 1 ? this.#folder : `${this.#folder}/${labelSet}`;
  }

  rows(rows: readonly Row[]): void {
    for (const { values, frame } of largestFaces(rows)) {
      const split = this.#outputs.expressions ? EXPRESSIONS.length : 0;
      const { expression, action_units: units } = this.#collected;
      if (this.#outputs.expressions) {
        expression.frames.push(frame);
        expression.predictions.push(expressionOf(values));
      }
      if (this.#outputs.units) {
        units.frames.push(frame);
        for (let unit = 0; unit < ACTION_UNITS.length; unit++) {
          units.predictions.push(values[split + unit] > UNIT_THRESHOLD ? 1 : 0);
        }
      }
    }
  }

  async endClip({ clip, frames }: ClipSummary): Promise<void> {
    for (const labelSet of this.#labelSets()) {
      const track = { labelSet, frameCount: frames, ...this.#collected[labelSet] };
      const missing = track.frames.length === 0 ? "unlabelled" : this.#missing;
      this.written.push(await writeSubmission(this.#folderOf(labelSet), clip.name, track, missing));
    }
    this.#collected = SubmissionSink.#empty();
  }
}

/** Of each frame the row with the largest box; rows without probabilities are left out. */
export function largestFaces(rows: readonly Row[]): (Row & { readonly values: Float32Array })[] {
  const area = ({ box }: Row) => box === undefined ? 0 : box.width * box.height;
  const largest = new Map<number, Row & { readonly values: Float32Array }>();
  for (const row of rows) {
    const { frame, values } = row;
    if (values === undefined) continue;
    const other = largest.get(frame);
    if (other === undefined || area(row) > area(other)) largest.set(frame, { ...row, values });
  }
  return [...largest.values()];
}
