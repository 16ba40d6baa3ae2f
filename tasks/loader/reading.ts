/**
 * How fast the loader reads beside the decoder alone, by CPU time: images per second of one core, however busy the
 * machine is and however many threads share the work.
 *
 * @module
 */
import process from "node:process";
import { type Dataset, imagePath } from "../../data/aff_wild2/types.ts";
import { ImageWorkers } from "../../data/image_workers.ts";
import { decodeImage } from "../../data/images.ts";
import { EXPR_CONVENTION } from "../../data/input_convention.ts";
import { epochOrder, loadBatches } from "../../data/loader.ts";
import { Limit } from "../../data/limit.ts";
import { frameSamples } from "../run/frames.ts";
import type { Augmentation } from "../run/recipe.ts";

/** One way of reading, and who does it. */
export interface ReadingCase {
  readonly name: string;
  /** undefined: the decoder alone, on files that are in memory already */
  readonly load?: {
    readonly size: number;
    readonly augmentation: Augmentation | null;
    readonly workers: number;
  };
}

/** What was measured of a way of reading; medians of the rounds. */
export interface ReadingResult extends ReadingCase {
  /** images per second of CPU time, of all threads together */
  readonly images_per_s_per_core: number;
  /** by the clock; other processes count */
  readonly images_per_s: number;
  /** the former, of the decoder's in the same round */
  readonly of_decoder: number;
}

/** How much is measured. */
export interface ReadingOptions {
  /** of each case in a round */
  readonly images: number;
  readonly rounds: number;
  readonly signal: AbortSignal;
}

const BATCH = 64;
/** As in a worker. */
const DECODED_AT_ONCE = 8;

/** The middle one, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Seconds of CPU time of this process so far. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/**
 * Measures all cases in turns, after a round that does not count.
 *
 * @param cases the first one is the decoder
 * @throws the signal's reason if it aborts
 */
export async function measureReading(
  dataset: Dataset,
  cases: readonly ReadingCase[],
  { images, rounds, signal }: ReadingOptions,
): Promise<ReadingResult[]> {
  const source = frameSamples(dataset);
  const order = epochOrder(images, 1, 0).map((i) => i % source.count);
  const files = Array.from(order, (i) => {
    const { track, frames } = source.get(i);
    return Deno.readFileSync(imagePath(track, frames[0]));
  });
  const pools = new Map(
    cases.flatMap(({ load }) => load ? [load.workers] : []).map((n) => [n, new ImageWorkers(n)]),
  );
  const samples = cases.map(() => ({ cpu: [] as number[], clock: [] as number[], ratio: [] as number[] }));
  try {
    for (let round = 0; round <= rounds; round++) {
      let decoder = 0;
      for (const [i, { load }] of cases.entries()) {
        signal.throwIfAborted();
        const [cpu, clock] = [cpuSeconds(), performance.now()];
        if (load === undefined) await decodeAll(files);
        else {
          const { size, augmentation } = load;
          const options = { batchSize: BATCH, size, convention: EXPR_CONVENTION, seed: 1, epoch: round };
          const workers = pools.get(load.workers)!;
          const more = { augmentation: augmentation ?? undefined, workers, signal };
          for await (const _ of loadBatches(source, order, { ...options, ...more }));
        }
        const rate = images / (cpuSeconds() - cpu);
        if (load === undefined) decoder = rate;
        if (round === 0) continue; // starts the workers, compiles
        samples[i].cpu.push(rate);
        samples[i].clock.push(1000 * images / (performance.now() - clock));
        samples[i].ratio.push(rate / decoder);
      }
    }
  } finally {
    pools.forEach((pool) => pool[Symbol.dispose]());
  }
  return cases.map((item, i) => ({
    ...item,
    images_per_s_per_core: Math.round(median(samples[i].cpu)),
    images_per_s: Math.round(median(samples[i].clock)),
    of_decoder: Number(median(samples[i].ratio).toFixed(3)),
  }));
}

async function decodeAll(files: readonly Uint8Array[]): Promise<void> {
  const limit = new Limit(DECODED_AT_ONCE);
  await Promise.all(files.map((bytes, i) => limit.run(() => decodeImage(bytes, `image ${i}`))));
}
