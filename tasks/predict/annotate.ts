/**
 * The copy of a video with its faces framed: a colour per track, the most probable expression above it, with a bar as
 * long as it is probable. The video is decoded once more and the rows are read from the CSV, so that neither is held.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import sharp from "sharp";
import { EXPRESSIONS } from "../../data/aff_wild2/types.ts";
import type { RgbImage } from "../../data/images.ts";
import { lettering } from "../../data/synthetic/lettering.ts";
import { type Context, UserError } from "../run/cli.ts";
import { type CsvRecord, type Outputs, readCsv } from "./csv.ts";
import { probeVideo, readVideo, VideoWriter } from "./video.ts";

/** Of the tracks, in turn. */
const COLOURS = [[66, 105, 208], [239, 177, 24], [255, 114, 92], [108, 197, 176], [60, 169, 81], [
  255,
  138,
  183,
]];
/** Sides of a label for a frame of this height; larger frames have larger ones. */
const LABEL = { width: 84, height: 14, frame: 480 };

/** [height, width, 1] how white a label's pixels are. */
interface Label {
  readonly width: number;
  readonly height: number;
  readonly alpha: Uint8Array;
}

/** The expressions' names, drawn once. */
async function drawLabels(frameHeight: number): Promise<Map<string, Label>> {
  const scale = Math.max(0.5, frameHeight / LABEL.frame);
  const [width, height] = [LABEL.width, LABEL.height].map((side) => Math.round(side * scale));
  const labels = new Map<string, Label>();
  for (const name of EXPRESSIONS) {
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${
      lettering(name, width / 2, 3 * scale, 1.35 * scale)
    }</svg>`;
    const alpha = await sharp(Buffer.from(svg)).ensureAlpha().extractChannel(3).raw().toBuffer();
    labels.set(name, { width, height, alpha: new Uint8Array(alpha) });
  }
  return labels;
}

/** Fills a rectangle, as far as it is in the picture; `alpha` mixes it with what is there. */
function fillRect(
  image: RgbImage,
  left: number,
  top: number,
  width: number,
  height: number,
  colour: readonly number[],
  alpha: (x: number, y: number) => number = () => 1,
): void {
  for (let y = Math.max(0, top); y < Math.min(image.height, top + height); y++) {
    for (let x = Math.max(0, left); x < Math.min(image.width, left + width); x++) {
      const share = alpha(x - left, y - top);
      const at = (y * image.width + x) * 3;
      for (let c = 0; c < 3; c++) {
        image.pixels[at + c] = Math.round(share * colour[c] + (1 - share) * image.pixels[at + c]);
      }
    }
  }
}

/** [height, width, 3] the picture's pixels, in another size if need be. */
async function scaledTo(
  { width, height, pixels }: RgbImage,
  size: { width: number; height: number },
): Promise<Uint8Array> {
  if (width === size.width && height === size.height) return pixels;
  const raw = { width, height, channels: 3 } as const;
  return new Uint8Array(
    await sharp(pixels, { raw }).resize({ ...size, fit: "fill" }).raw().toBuffer(),
  );
}

/** Draws a row into its frame. */
function drawRow(
  image: RgbImage,
  record: CsvRecord,
  colour: readonly number[],
  labels: Map<string, Label>,
): void {
  const number = (name: string) => Math.round(Number(record.get(name)));
  const [x, y, width, height] = [number("x"), number("y"), number("width"), number("height")];
  const line = Math.max(1, Math.round(image.height / 240));
  const sides = [
    [x, y, width, line],
    [x, y + height - line, width, line],
    [x, y, line, height],
    [x + width - line, y, line, height],
  ];
  // A face that is filled in is framed faintly.
  const share = record.get("face") === "found" ? 1 : 0.4;
  for (const [left, top, w, h] of sides) fillRect(image, left, top, w, h, colour, () => share);
  const expression = record.get("expression");
  const label = expression === undefined ? undefined : labels.get(expression);
  if (label === undefined) return;
  const top = y >= label.height + line ? y - label.height - line : y + line;
  fillRect(image, x, top, label.width, label.height, [20, 20, 20], () => 0.65);
  const bar = Math.round(label.width * Number(record.get(expression!)));
  fillRect(image, x, top + label.height - line, bar, line, colour);
  fillRect(
    image,
    x,
    top,
    label.width,
    label.height,
    [255, 255, 255],
    (u, v) => label.alpha[v * label.width + u] / 255,
  );
}

/**
 * Writes the annotated copy, all of it in the first frame's size.
 *
 * @param clip the video
 * @param repeat times that it was played
 * @param csv its rows, in the order of frames
 * @param path of the copy; what it ends in says the format
 * @throws {UserError} if ffmpeg cannot write it, or the video has other frames than the rows
 */
export async function annotateVideo(
  clip: { readonly name: string; readonly source: string },
  repeat: number,
  csv: string,
  path: string,
  outputs: Outputs,
  context: Context,
): Promise<void> {
  const { frames, estimatedFrames, frameRate } = await probeVideo(clip.source);
  const total = (frames ?? estimatedFrames ?? 0) * repeat;
  const progress = total === 0 ? undefined : context.progress(`marking ${path}`, total);
  const rows = readCsv(csv, ["frame", "track", "face", "x", ...(outputs.expressions ? ["expression"] : [])]);
  const colours = new Map<string, readonly number[]>();
  let row = await rows.next();
  let writer: VideoWriter | undefined;
  let size = { width: 0, height: 0 };
  let labels = new Map<string, Label>();
  let labelsFor = 0;
  try {
    for await (const { number, image } of readVideo(clip.source, { repeat })) {
      context.signal.throwIfAborted();
      if (writer === undefined) {
        size = { width: image.width, height: image.height };
        writer = new VideoWriter(path, size, frameRate, clip.source);
      }
      if (image.height !== labelsFor) [labels, labelsFor] = [await drawLabels(image.height), image.height];
      if (row.done || Number(row.value.record.get("frame")) !== number) {
        throw new UserError(`Cannot mark frame ${number} of ${clip.source}: ${csv} has no row of it`);
      }
      for (; !row.done && Number(row.value.record.get("frame")) === number; row = await rows.next()) {
        const { record } = row.value;
        const track = record.get("track")!;
        if (record.get("x") === "") continue;
        if (!colours.has(track)) colours.set(track, COLOURS[colours.size % COLOURS.length]);
        drawRow(image, record, colours.get(track)!, labels);
      }
      await writer.write(await scaledTo(image, size));
      progress?.update(Math.min(number, total));
    }
    await writer!.close();
  } catch (error) {
    await writer?.abort();
    throw error;
  }
  progress?.finish();
}
