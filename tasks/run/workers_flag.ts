/**
 * The flag `--workers`.
 *
 * @module
 */
import { DEFAULT_WORKERS } from "../../data/image_workers.ts";

/** How many workers read images. */
export const WORKERS_FLAG = {
  type: "integer",
  min: 0,
  description: "workers that decode, augment and resize images; 0: the main thread does; " +
    `what comes out is the same (default here ${DEFAULT_WORKERS})`,
} as const;
