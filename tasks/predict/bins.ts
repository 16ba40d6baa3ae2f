/**
 * Means of a track's values over stretches of frames: as many stretches as a chart can show, whatever the length.
 *
 * @module
 */

/** Stretches at most; a chart is about 900 pixels wide. */
const MOST_BINS = 300;

/** A stretch of frames. */
export interface Bin {
  /** its first frame and the one after its last */
  readonly from: number;
  readonly to: number;
  /** frames with values in it; 0 in a gap */
  readonly count: number;
  /** [classes] means; undefined in a gap */
  readonly means: readonly number[] | undefined;
}

/** Collects frames; when there are too many stretches, two become one. */
export class Bins {
  readonly #first: number;
  readonly #classes: number;
  #width = 1;
  #sums: Float64Array[] = [];
  #counts: number[] = [];

  /** @param first the first frame */
  constructor(first: number, classes: number) {
    this.#first = first;
    this.#classes = classes;
  }

  /** Adds a frame that is not before the first one. */
  add(frame: number, values: ArrayLike<number>): void {
    let bin = Math.floor((frame - this.#first) / this.#width);
    for (; bin >= MOST_BINS; bin = Math.floor((frame - this.#first) / this.#width)) this.#halve();
    while (this.#counts.length <= bin) {
      this.#sums.push(new Float64Array(this.#classes));
      this.#counts.push(0);
    }
    for (let c = 0; c < this.#classes; c++) this.#sums[bin][c] += values[c];
    this.#counts[bin]++;
  }

  #halve(): void {
    const half = Math.ceil(this.#counts.length / 2);
    for (let bin = 0; bin < half; bin++) {
      const other = this.#sums[2 * bin + 1] ?? new Float64Array(this.#classes);
      this.#sums[bin] = this.#sums[2 * bin].map((sum, c) => sum + other[c]);
      this.#counts[bin] = this.#counts[2 * bin] + (this.#counts[2 * bin + 1] ?? 0);
    }
    this.#sums.length = this.#counts.length = half;
    this.#width *= 2;
  }

  /** The stretches in order. */
  bins(): Bin[] {
    return this.#counts.map((count, bin) => ({
      from: this.#first + bin * this.#width,
      to: this.#first + (bin + 1) * this.#width,
      count,
      means: count === 0 ? undefined : Array.from(this.#sums[bin], (sum) => sum / count),
    }));
  }

  /** Frames with values. */
  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** [classes] the mean of all frames. */
  means(): number[] {
    const total = new Float64Array(this.#classes);
    for (const sums of this.#sums) sums.forEach((sum, c) => total[c] += sum);
    return Array.from(total, (sum) => sum / this.count);
  }
}
