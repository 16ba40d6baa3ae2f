/**
 * The timeline as one HTML file that needs no network and no script: per track a face, the probabilities over time and
 * how they are shared out.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import sharp from "sharp";
import { ACTION_UNITS, EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import type { AdapterRecord } from "../../kernels/runtime/device.ts";
import { writeTextAtomic } from "../run/files.ts";
import { escapeHtml, STYLE } from "../run/report/html.ts";
import { Bins } from "./bins.ts";
import type { Outputs } from "./csv.ts";
import type { FacesFrame, Row } from "./frames.ts";
import { expressionTimeline, type FrameTime, unitTimeline } from "./report_charts.ts";
import type { ClipSummary, Sink } from "./sinks.ts";

/** Tracks of an input that are drawn: those with the most frames. */
const MOST_TRACKS = 8;
/** Inputs that are drawn. */
const MOST_CLIPS = 60;
/** Tracks that are kept until an input is done; the shortest ones go first. */
const KEPT_TRACKS = 64;

interface TrackSummary {
  readonly name: string;
  readonly bins: Bins;
  /** the track's first face */
  jpeg?: Uint8Array;
}

interface ClipSection extends ClipSummary {
  readonly shown: readonly TrackSummary[];
  readonly frameTime: FrameTime;
}

/** What the report says of the run. */
export interface ReportFacts {
  readonly networks: readonly string[];
  readonly adapter: AdapterRecord;
}

/** Collects what a report shows. */
export class ReportSink implements Sink {
  readonly #outputs: Outputs;
  readonly #sections: ClipSection[] = [];
  #clips = 0;
  #tracks = new Map<string, TrackSummary>();
  #faces = new Map<string, Uint8Array>();
  #frameTime: FrameTime;

  /** @param outputs which probabilities rows have */
  constructor(outputs: Outputs) {
    this.#outputs = outputs;
  }

  async faces(frames: readonly FacesFrame[]): Promise<void> {
    for (const { track, crop: { width, height, pixels } } of frames.flatMap(({ faces }) => faces)) {
      if (this.#faces.has(track) || this.#tracks.has(track)) continue;
      const raw = { width, height, channels: 3 } as const;
      const jpeg = await sharp(pixels, { raw }).resize(112, 112, { fit: "inside" }).jpeg({ quality: 85 })
        .toBuffer();
      this.#faces.set(track, new Uint8Array(jpeg));
    }
  }

  rows(rows: readonly Row[]): void {
    for (const { track, frame, time, values } of rows) {
      if (time !== undefined && frame > 1) this.#frameTime = time / (frame - 1);
      if (track === undefined || values === undefined) continue;
      let summary = this.#tracks.get(track);
      if (summary === undefined) {
        summary = { name: track, bins: new Bins(frame, values.length), jpeg: this.#faces.get(track) };
        this.#faces.delete(track);
        this.#tracks.set(track, summary);
      }
      summary.bins.add(frame, values);
    }
    if (this.#tracks.size > 2 * KEPT_TRACKS) {
      this.#tracks = new Map(this.#longest(KEPT_TRACKS).map((summary) => [summary.name, summary]));
    }
  }

  #longest(count: number): TrackSummary[] {
    const tracks = [...this.#tracks.values()];
    return tracks.sort((a, b) => b.bins.count - a.bins.count).slice(0, count);
  }

  endClip(summary: ClipSummary): void {
    if (this.#clips++ < MOST_CLIPS) {
      this.#sections.push({ ...summary, shown: this.#longest(MOST_TRACKS), frameTime: this.#frameTime });
    }
    this.#tracks = new Map();
    this.#faces = new Map();
    this.#frameTime = undefined;
  }

  /** Writes the file. */
  async write(path: string, facts: ReportFacts): Promise<void> {
    await writeTextAtomic(path, this.#render(facts));
  }

  #render({ networks, adapter }: ReportFacts): string {
    const rows = [
      ["networks", networks.join(", ")],
      ["adapter", adapter.description],
      [
        "inputs",
        this.#clips > this.#sections.length
          ? `${this.#clips}, the first ${this.#sections.length} below`
          : this.#clips,
      ],
    ].map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(String(value))}</dd>`);
    return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Fervid: predictions</title>
<style>${STYLE}
.track { display: grid; grid-template-columns: 112px 1fr; gap: 1em; margin: 1em 0 2em; } .track img { border-radius: 4px; }
</style></head><body>
<h1>What the faces express</h1>
<dl>${rows.join("")}</dl>
${this.#sections.map((section) => this.#section(section)).join("\n")}
</body></html>
`;
  }

  #section({ clip, frames, framesWithFace, tracks, shown, frameTime }: ClipSection): string {
    const more = tracks > shown.length ? `; the ${shown.length} longest of ${tracks} tracks` : "";
    return `<h2>${escapeHtml(clip.name)}</h2>
<p class="note">${frames} frames, a face in ${framesWithFace}${more}.</p>
${shown.map((track) => this.#track(track, frames, frameTime)).join("\n")}`;
  }

  #track({ name, bins, jpeg }: TrackSummary, frames: number, frameTime: FrameTime): string {
    const { expressions, units } = this.#outputs;
    const means = bins.means();
    const split = expressions ? EXPRESSIONS.length : 0;
    const picture = jpeg === undefined
      ? ""
      : `<img alt="the first face of ${escapeHtml(name)}" src="data:image/jpeg;base64,${
        Buffer.from(jpeg).toString("base64")
      }">`;
    const list = (names: readonly string[], from: number) =>
      names.map((label, c) => ({ label, mean: means[from + c] })).sort((a, b) => b.mean - a.mean).slice(0, 3)
        .map(({ label, mean }) => `${label} ${(100 * mean).toFixed(0)} %`).join(", ");
    const lists = [
      ...(expressions ? [list(EXPRESSIONS, 0)] : []),
      ...(units ? [list(ACTION_UNITS, split)] : []),
    ];
    const single = frames === 1;
    const chartBins = bins.bins();
    const charts = [
      ...(expressions && !single ? [expressionTimeline(chartBins, frameTime)] : []),
      ...(units && !single ? [unitTimeline(chartBins, split, frameTime)] : []),
    ];
    return `<div class="track"><div>${picture}</div><div><b>${
      escapeHtml(name)
    }</b>, ${bins.count} frames; on average ${lists.join("; ")}${charts.join("")}</div></div>`;
  }
}
