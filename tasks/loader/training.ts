/**
 * What training waits for its images: steps fed by the loader beside the same steps on a batch that is at hand.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import type { ImageWorkers } from "../../data/image_workers.ts";
import { EXPR_CONVENTION } from "../../data/input_convention.ts";
import { ImageCache } from "../../data/loader.ts";
import { type Architecture, createNetwork, type FrameNetwork } from "../../models/networks.ts";
import type { ModelRun } from "../run/run_file.ts";
import { type StepInput, STEPS_PER_READ } from "../run/trainer.ts";
import { frameRun, type Splits } from "../run/training.ts";
import { median } from "./reading.ts";

/** What was measured; medians of the rounds. */
export interface TrainingResult {
  readonly width: number;
  readonly size: number;
  readonly batch: number;
  /** with the loader: every image is read and decoded, nothing is cached */
  readonly ms_per_step: number;
  /** the same steps on one batch that is at hand */
  readonly ms_per_step_at_hand: number;
  /**
   * share of the time in which the host waits for a batch: the device has nothing to do at most in that share, and less
   * where it had steps left
   */
  readonly idle_share: number;
  /**
   * with the loader / at hand: also counts the cores that the loader takes from a software device, and what other
   * processes did meanwhile
   */
  readonly slowdown: number;
}

/** What runs, and how much of it. */
export interface TrainingOptions extends ModelRun {
  readonly workers: ImageWorkers;
  /** of a round */
  readonly steps: number;
  readonly rounds: number;
  readonly signal: AbortSignal;
}

/** Milliseconds that pass until the work is done, and those that are spent waiting for inputs. */
interface Times {
  readonly all: number;
  readonly waiting: number;
}

/** Runs steps on inputs and waits for the last loss; the first input is at hand when the clock starts. */
async function timeSteps(inputs: AsyncIterable<StepInput>, lr: number): Promise<Times> {
  let waiting = 0;
  let startedAt: number | undefined;
  let askedAt = 0;
  let losses: tf.Scalar[] = [];
  const readLosses = async () => {
    await Promise.all(losses.map((loss) => loss.data()));
    losses.forEach((loss) => loss.dispose());
    losses = [];
  };
  for await (const input of inputs) {
    const now = performance.now();
    if (startedAt !== undefined) waiting += now - askedAt;
    startedAt ??= now;
    losses.push(input.run(lr));
    if (losses.length === STEPS_PER_READ) await readLosses();
    askedAt = performance.now();
  }
  await readLosses();
  return { all: performance.now() - startedAt!, waiting };
}

async function* repeat(input: StepInput, steps: number): AsyncGenerator<StepInput> {
  for (let i = 0; i < steps; i++) yield await Promise.resolve(input);
}

/**
 * Trains a network of single frames in turns with the loader and on one batch.
 *
 * @throws the signal's reason if it aborts
 */
export async function measureTraining(
  splits: Splits,
  { architecture, recipe, workers, steps, rounds, signal }: TrainingOptions,
): Promise<TrainingResult> {
  const full = { ...architecture, classes: splits.train.classNames.length } as Architecture;
  const network = createNetwork(full, 1) as FrameNetwork;
  const { size, width } = architecture;
  const { batchSize, lr } = recipe;
  const reading = { cache: new ImageCache(0), workers, signal };
  const options = { size, convention: EXPR_CONVENTION, batchSize, ...reading };
  const samplesPerEpoch = steps * batchSize;
  const run = frameRun(network, splits, { ...recipe, samplesPerEpoch }, 1, options);
  try {
    let atHand: StepInput | undefined;
    for await (const input of run.steps(0, 0)) {
      atHand = input;
      input.run(lr).dispose(); // compiles
      break;
    }
    const rows: { loaded: Times; atHand: Times }[] = [];
    for (let round = 0; round < rounds; round++) {
      signal.throwIfAborted();
      const loaded = await timeSteps(run.steps(round + 1, 0), lr);
      signal.throwIfAborted();
      rows.push({ loaded, atHand: await timeSteps(repeat(atHand!, run.stepsPerEpoch), lr) });
    }
    const share = (value: number) => Number(value.toFixed(3));
    const perStep = (times: Times[]) =>
      Number((median(times.map(({ all }) => all)) / run.stepsPerEpoch).toPrecision(4));
    return {
      width,
      size,
      batch: batchSize,
      ms_per_step: perStep(rows.map(({ loaded }) => loaded)),
      ms_per_step_at_hand: perStep(rows.map(({ atHand }) => atHand)),
      idle_share: share(median(rows.map(({ loaded }) => loaded.waiting / loaded.all))),
      slowdown: share(median(rows.map(({ loaded, atHand }) => loaded.all / atHand.all))),
    };
  } finally {
    run.dispose();
    network.dispose();
  }
}
