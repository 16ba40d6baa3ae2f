/**
 * A bound on how many pieces of work are under way at once.
 *
 * @module
 */

/** Runs work, at most `most` pieces at once; the others wait in the order in which they came. */
export class Limit {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param most pieces of work at once, at least 1 */
  constructor(most: number) {
    this.#free = most;
  }

  /** Runs one piece of work when its turn has come. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
