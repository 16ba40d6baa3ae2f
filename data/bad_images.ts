/**
 * What becomes of images that cannot be used: the first one is an error, or each is left out, counted and listed.
 *
 * @module
 */
import type { ImageError } from "./images.ts";

/**
 * `error`: the first image that cannot be used ends the work. `skip`: its frame stays where it is, so that batches,
 * their order and every random number are as they would be, but it counts for nothing: in training its pixels are 0 and
 * its label is -1; in evaluation it has no prediction (all probabilities 0) and is left out of the scores.
 */
export type OnBadImage = "error" | "skip";

/** An image that cannot be used. */
export interface BadImage {
  readonly path: string;
  /** what is wrong with it, in words */
  readonly reason: string;
}

/** Decides about images that cannot be used, and remembers them. */
export class BadImages {
  readonly policy: OnBadImage;
  readonly #found = new Map<string, string>();

  /** @param known images that were left out before: they stay out, so that a run that is gone on with stays the same */
  constructor(policy: OnBadImage, known: Iterable<BadImage> = []) {
    this.policy = policy;
    for (const { path, reason } of known) this.#found.set(path, reason);
  }

  /** Whether an image is left out. */
  has(path: string): boolean {
    return this.#found.has(path);
  }

  /**
   * Takes note of an image that cannot be used.
   *
   * @throws {ImageError} the same, if that is an error
   */
  add(error: ImageError): void {
    this.#found.set(error.path, error.reason);
    if (this.policy === "error") throw error;
  }

  /** How many there are. */
  get count(): number {
    return this.#found.size;
  }

  /** All that were found, ordered by path. */
  list(): BadImage[] {
    return [...this.#found].map(([path, reason]) => ({ path, reason })).sort((a, b) =>
      a.path < b.path ? -1 : 1
    );
  }
}
