/**
 * The flag `--on-bad-image`, and what is said of the images that it is about.
 *
 * @module
 */
import type { BadImages } from "../../data/bad_images.ts";

/** What becomes of images that cannot be used. */
export const ON_BAD_IMAGE_FLAG = {
  type: "string",
  choices: ["error", "skip"],
  description: "an image that cannot be used ends the run, or its frame counts for nothing (default error)",
} as const;

/** Lines about images that were left out: how many, and the first ones. */
export function badImageLines(badImages: BadImages): string[] {
  const list = badImages.list();
  if (list.length === 0) return [];
  const shown = list.slice(0, 10).map(({ path, reason }) => `  ${path}: ${reason}`);
  if (list.length > 10) shown.push(`  and ${list.length - 10} more`);
  return [`images that could not be used, their frames left out: ${list.length}`, ...shown];
}
