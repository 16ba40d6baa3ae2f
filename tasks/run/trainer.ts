/**
 * The training loop: epochs of steps, losses read a few at a time so that the device never waits for the host,
 * validation after each epoch, a checkpoint after each epoch and at an interrupt.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { ImageError } from "../../data/images.ts";
import type { EpochRecord, Position } from "./history.ts";
import type { Recipe } from "./recipe.ts";
import { multiStep } from "../../models/optimizer.ts";

/** Steps whose losses are read together: every read costs at least 10 ms, and bounds how far the host runs ahead. */
export const STEPS_PER_READ = 8;

/** One training step's input, already on the host. */
export interface StepInput {
  /** runs forward, backward and the update; returns the mean loss, which the loop disposes */
  run(learningRate: number): tf.Scalar;
  /** the files of the batch, for the message about a loss that is not finite */
  describe(): string;
  /** the largest gradient of each parameter on this batch, by name */
  largestGradients(): Promise<ReadonlyMap<string, number>>;
}

/** The loss of one step, once it has been read. */
export interface StepLoss {
  /** of all steps, 1-based */
  readonly step: number;
  readonly loss: number;
  /** of the step, warmed up */
  readonly learningRate: number;
}

/** How a network does on the validation split. */
export interface Validation {
  readonly score: number;
  readonly f1: number;
  readonly accuracy: number;
  /** [frames, classes] of all kept frames */
  readonly probabilities: Float32Array;
}

/** What a network brings to the loop. */
export interface TrainingRun {
  readonly recipe: Recipe;
  readonly stepsPerEpoch: number;
  /** steps between checkpoints within an epoch; each epoch ends with one as well */
  readonly checkpointEvery: number;
  /** the steps of an epoch in their order, starting at `firstStep` */
  steps(epoch: number, firstStep: number): AsyncIterable<StepInput>;
  /** metrics and probabilities on the validation split */
  validate(): Promise<Validation>;
  /** writes weights, momenta, position and history */
  checkpoint(position: Position, history: readonly EpochRecord[]): Promise<void>;
  onStep(done: number, note: string): void;
  /** losses in the order of their steps, a few at a time */
  onLosses?(losses: readonly StepLoss[]): Promise<void>;
  onEpoch(record: EpochRecord, validation: Validation): void | Promise<void>;
  readonly signal: AbortSignal;
}

/** Who hears how the training of one network goes. */
export interface TrainingObserver {
  /** losses that were read, in order */
  onLosses(losses: readonly StepLoss[]): Promise<void>;
  /** after each validation */
  onValidated(record: EpochRecord, validation: Validation): Promise<void>;
  /** after each checkpoint, with the finished epochs */
  onCheckpoint(history: readonly EpochRecord[]): Promise<void>;
}

/** A loss became NaN or infinite. */
export class DivergenceError extends Error {
  /** @param message says the step and the batch */
  constructor(message: string) {
    super(message);
    this.name = "DivergenceError";
  }
}

/** Whether a record's error was a {@link DivergenceError}. */
export function isDivergence(message: string | null): boolean {
  return message?.startsWith(DIVERGED) ?? false;
}

const DIVERGED = "Cannot go on training: the loss is ";

/** Where the run ended; `interrupted` when the signal stopped it before its last epoch. */
export interface TrainingResult {
  readonly history: readonly EpochRecord[];
  readonly interrupted: boolean;
  /** of the last epoch; undefined if no epoch ended in this call */
  readonly validation?: Validation;
}

/**
 * Trains from `start` to the recipe's last epoch.
 *
 * @throws {DivergenceError} if a loss is NaN or infinite; the last checkpoint stays as it was. {ImageError} if an image
 * cannot be used and is not left out, the signal's reason if it aborts a validation; what was trained until then is in
 * a checkpoint
 */
export async function train(
  run: TrainingRun,
  start: Position = { epoch: 0, step: 0, lossSum: 0 },
  earlier: readonly EpochRecord[] = [],
): Promise<TrainingResult> {
  const { recipe, stepsPerEpoch, signal } = run;
  const history = [...earlier];
  const rateAt = multiStep(recipe.lr, recipe.milestones, recipe.gamma);
  let { step, lossSum } = start;
  let validation: Validation | undefined;
  for (let epoch = start.epoch; epoch < recipe.epochs; epoch++) {
    const startedAt = performance.now();
    const learningRate = rateAt(epoch);
    let unread: { loss: tf.Scalar; input: StepInput; step: number; rate: number }[] = [];
    const readLosses = async () => {
      const reads = unread;
      unread = [];
      const values = await Promise.all(reads.map(({ loss }) => loss.data()));
      reads.forEach(({ loss }) => loss.dispose());
      for (const [i, [value]] of values.entries()) {
        if (!Number.isFinite(value)) {
          throw await divergence(value, epoch, reads[i].step, learningRate, reads[i].input);
        }
        lossSum += value;
      }
      await run.onLosses?.(reads.map(({ step, rate }, i) => ({
        step: epoch * stepsPerEpoch + step + 1,
        loss: values[i][0],
        learningRate: rate,
      })));
    };
    const keepAndThrow = async (error: unknown): Promise<never> => {
      if (!(error instanceof ImageError) && !(signal.aborted && error === signal.reason)) throw error;
      await readLosses();
      await run.checkpoint({ epoch, step, lossSum }, history);
      throw error;
    };
    try {
      for await (const input of run.steps(epoch, step)) {
        const warmth = Math.min(1, (epoch * stepsPerEpoch + step + 1) / Math.max(1, recipe.warmupSteps));
        const rate = learningRate * warmth;
        unread.push({ loss: input.run(rate), input, step, rate });
        step++;
        if (unread.length >= STEPS_PER_READ || step === stepsPerEpoch) {
          await readLosses();
          const note = `epoch ${epoch + 1}/${recipe.epochs} loss ${(lossSum / step).toFixed(3)}`;
          run.onStep(epoch * stepsPerEpoch + step, note);
        }
        if (signal.aborted) break;
        if (step % run.checkpointEvery === 0 && step < stepsPerEpoch) {
          await readLosses();
          await run.checkpoint({ epoch, step, lossSum }, history);
        }
      }
    } catch (error) {
      await keepAndThrow(error);
    }
    await readLosses();
    if (signal.aborted && step < stepsPerEpoch) {
      await run.checkpoint({ epoch, step, lossSum }, history);
      return { history, interrupted: true };
    }
    validation = await run.validate().catch(keepAndThrow);
    const { score, f1, accuracy } = validation;
    const record: EpochRecord = {
      epoch: epoch + 1,
      learningRate,
      trainLoss: lossSum / step,
      validationScore: score,
      validationF1: f1,
      validationAccuracy: accuracy,
      seconds: (performance.now() - startedAt) / 1000,
    };
    history.push(record);
    await run.onEpoch(record, validation);
    step = 0;
    lossSum = 0;
    await run.checkpoint({ epoch: epoch + 1, step, lossSum }, history);
    if (signal.aborted && epoch + 1 < recipe.epochs) return { history, interrupted: true };
  }
  return { history, interrupted: false, validation };
}

/** Says where, on what, and which gradients; the optimizer has left the weights as they were before that step. */
async function divergence(
  value: number,
  epoch: number,
  step: number,
  learningRate: number,
  input: StepInput,
): Promise<DivergenceError> {
  const gradients = [...await input.largestGradients()];
  const finite = gradients.filter(([, size]) => Number.isFinite(size)).sort((a, b) => b[1] - a[1]);
  const shown = finite.slice(0, 5).map(([name, size]) => `${name} ${size.toPrecision(3)}`);
  const broken = gradients.filter(([, size]) => !Number.isFinite(size)).map(([name]) => name);
  return new DivergenceError(
    `${DIVERGED}${value} at epoch ${epoch + 1}, step ${step + 1} ` +
      `(learning rate ${learningRate}) on ${input.describe()}; largest gradients: ${
        shown.join(", ") || "none is finite"
      }` +
      (broken.length === 0
        ? ""
        : `; not finite: ${broken.length} of ${gradients.length} (${broken[0]}, ...)`),
  );
}
