/**
 * A confusion matrix as a PNG image, for TensorBoard.
 *
 * @module
 */
import sharp from "sharp";
import type { ConfusionMatrix } from "../../../models/metrics.ts";
import type { PngImage } from "../tensorboard.ts";
import { confusionCells } from "./charts.ts";

/** Draws counts and rates. */
export async function confusionPng(confusion: ConfusionMatrix, title: string): Promise<PngImage> {
  // Styles are for browsers: the rasteriser takes attributes alone.
  const svg = confusionCells(confusion, title).replace(/<style>[^]*?<\/style>/, "");
  const { data, info } = await sharp(new TextEncoder().encode(svg)).flatten({ background: "white" }).png()
    .toBuffer({ resolveWithObject: true });
  return { png: data, width: info.width, height: info.height };
}
