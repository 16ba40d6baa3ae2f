/**
 * Counter-based random numbers: Threefry-2x32 with 20 rounds (Salmon et al., "Parallel Random Numbers: As Easy
 * as 1, 2, 3", SC'11). A draw depends on the seed, the stream's path and the count alone, so the order in which
 * workers, batches or a resumed run ask does not change what they get.
 *
 * @module
 */

/** Of the twenty rounds. */
const ROTATIONS = Uint8Array.from({ length: 20 }, (_, i) => [13, 15, 26, 6, 17, 29, 16, 24][i % 8]);
const KEY_PARITY = 0x1bd11bda;
/** Where {@link encrypt} leaves its two words: millions of draws a second allocate nothing. */
const WORDS = new Uint32Array(2);

/** One block into {@link WORDS}. */
function encrypt(key0: number, key1: number, counter0: number, counter1: number): void {
  let [a, b, c] = [key0 | 0, key1 | 0, KEY_PARITY ^ key0 ^ key1];
  let x0 = (counter0 + a) | 0;
  let x1 = (counter1 + b) | 0;
  for (let group = 0; group < 5; group++) {
    for (let i = 4 * group; i < 4 * group + 4; i++) {
      const rotation = ROTATIONS[i];
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << rotation) | (x1 >>> (32 - rotation))) ^ x0;
    }
    const first = a;
    a = b;
    b = c;
    c = first;
    x0 = (x0 + a) | 0;
    x1 = (x1 + b + group + 1) | 0;
  }
  WORDS[0] = x0;
  WORDS[1] = x1;
}

/**
 * One Threefry-2x32-20 block: two 32-bit words from a two-word key and a two-word counter.
 *
 * @returns two unsigned 32-bit words
 */
export function threefry2x32(
  key0: number,
  key1: number,
  counter0: number,
  counter1: number,
): [number, number] {
  encrypt(key0, key1, counter0, counter1);
  return [WORDS[0], WORDS[1]];
}

/** 32-bit FNV-1a of a text's UTF-8 bytes. */
function fnv1a(text: string, basis: number): number {
  let hash = basis;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * An independent stream of random numbers named by a seed and a path, e.g.
 * `new RandomStream(seed, "augment", epoch, trackName, frame)`.
 */
export class RandomStream {
  readonly #key0: number;
  readonly #key1: number;
  #counter = 0;
  #spare: number | undefined;

  /**
   * @param seed the run's seed, a non-negative safe integer
   * @param path what the stream is for; different paths give independent streams
   * @throws {RangeError} if the seed is not a non-negative safe integer
   */
  constructor(seed: number, ...path: (string | number)[]) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(`Cannot seed random numbers: expected a non-negative integer but got ${seed}`);
    }
    const name = path.map((part) => `${typeof part}:${part}`).join("/");
    const high = Math.floor(seed / 2 ** 32);
    const [key0, key1] = threefry2x32(
      seed >>> 0,
      high,
      fnv1a(name, 0x811c9dc5),
      fnv1a(name, 0x9747b28c),
    );
    this.#key0 = key0;
    this.#key1 = key1;
  }

  /** The next unsigned 32-bit integer. */
  uint32(): number {
    if (this.#spare !== undefined) {
      const spare = this.#spare;
      this.#spare = undefined;
      return spare;
    }
    const count = this.#counter++;
    encrypt(this.#key0, this.#key1, count >>> 0, Math.floor(count / 2 ** 32));
    this.#spare = WORDS[1];
    return WORDS[0];
  }

  /** A float in [low, high), by default [0, 1), with 32 random bits. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.uint32() / 2 ** 32);
  }

  /** An integer in [0, bound), without modulo bias. */
  integer(bound: number): number {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let word = this.uint32();
    while (word >= limit) word = this.uint32();
    return word % bound;
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** A normal deviate (Box-Muller; two words each, so streams stay aligned). */
  normal(mean = 0, deviation = 1): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return mean + deviation * radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.integer(items.length)];
  }

  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<T extends { length: number; [index: number]: unknown }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = items[i];
      items[i] = items[j];
      items[j] = held;
    }
    return items;
  }
}
