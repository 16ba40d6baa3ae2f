/**
 * What is written while a run goes on, for people who watch it: the report beside the record, and TensorBoard's event
 * files. Neither ends a run if it cannot be written: that is said, and the run goes on.
 *
 * @module
 */
import { NETWORK_TITLES, type NetworkName } from "../../models/networks.ts";
import type { Context } from "./cli.ts";
import { writeTextAtomic } from "./files.ts";
import type { RecordFile } from "./record.ts";
import { type Metrics, scoreFrames } from "./inference.ts";
import { confusionPng } from "./report/confusion_png.ts";
import { imagesOf } from "./report/read_run.ts";
import { renderRunReport, type RunReport } from "./report/run_report.ts";
import { countsOf } from "./report/sections.ts";
import { EventFile } from "./tensorboard.ts";
import type { TrainingObserver } from "./trainer.ts";
import type { Splits } from "./training.ts";

/** The evaluation's settings of a run. */
type Settings = { readonly step: number; readonly folds: number };

/** Where and what to write. */
export interface WatchOptions {
  /** the run's output folder: for `report.html` */
  readonly out: string;
  /** the run's folder of event files; none if undefined */
  readonly tensorboard?: string;
  readonly settings: Settings;
}

/** Keeps the report and the event files of a run up to date. */
export class RunWatch {
  readonly #file: RecordFile;
  readonly #splits: Splits;
  readonly #options: WatchOptions;
  readonly #context: Context;
  readonly #events = new Map<string, EventFile>();

  /** @param file the run's record, which the report renders */
  constructor(file: RecordFile, splits: Splits, options: WatchOptions, context: Context) {
    this.#file = file;
    this.#splits = splits;
    this.#options = options;
    this.#context = context;
  }

  /** Writes the configuration. */
  async begin(): Promise<void> {
    const { run, versions, adapter } = this.#file.record;
    const json = (value: unknown) => "```json\n" + JSON.stringify(value, null, 2) + "\n```";
    await this.#log("run", async (events) => {
      await events.start(0);
      await events.markdown(0, "run file", json(run));
      await events.markdown(0, "what ran", json({ adapter: adapter.description, ...versions }));
    });
  }

  /** Watches one network. */
  network(network: NetworkName): TrainingObserver {
    let started = false;
    let reported = -1;
    return {
      onLosses: (losses) =>
        this.#log(network, async (events) => {
          if (!started && losses.length > 0) await events.start(losses[0].step);
          started = true;
          for (const { step, loss, learningRate } of losses) {
            await events.scalars(step, { "step/train loss": loss, "step/learning rate": learningRate });
          }
        }),
      onValidated: (record, validation) =>
        this.#log(network, async (events) => {
          const { epoch, trainLoss, learningRate, seconds } = record;
          await events.scalars(epoch, {
            "epoch/train loss": trainLoss,
            "epoch/learning rate": learningRate,
            "epoch/seconds": seconds,
            "validation/score": validation.score,
            "validation/f1": validation.f1,
            "validation/accuracy": validation.accuracy,
          });
          const metrics = scoreFrames(validation.probabilities, this.#splits.validation);
          await this.#confusion(events, epoch, NETWORK_TITLES[network], metrics);
        }),
      onCheckpoint: async (history) => {
        if (history.length === reported) return; // within an epoch
        reported = history.length;
        await this.report(new Map(), [
          "What the networks made of each frame follows when the run is finished.",
        ]);
      },
    };
  }

  /** Writes the scores of the ensemble and of each network, and the ensemble's confusion matrix. */
  async finish(best: { readonly name: string; readonly metrics: Metrics } | undefined): Promise<void> {
    const { networks, ensemble, refinement } = this.#file.record;
    const rows = [
      ...Object.entries(networks).map(([network, { scores }]) => ({
        name: NETWORK_TITLES[network as NetworkName],
        ...scores!,
      })),
      ...ensemble,
      ...refinement?.effects ?? [],
    ];
    const lines = rows.map(({ name, f1, accuracy, score }) =>
      `| ${name} | ${[f1, accuracy, score].map((value) => value.toFixed(4)).join(" | ")} |`
    );
    await this.#log("run", async (events) => {
      await events.markdown(
        0,
        "results",
        ["| model | F1 | accuracy | score |", "| --- | --- | --- | --- |", ...lines].join("\n"),
      );
      if (best !== undefined) await this.#confusion(events, 0, best.name, best.metrics);
    });
  }

  /** Writes the report of what there is by now. */
  async report(
    probabilities: ReadonlyMap<NetworkName, Float32Array>,
    leftOut: readonly string[] = [],
  ): Promise<void> {
    const { out, settings } = this.#options;
    const { record, path } = this.#file;
    const { train, validation } = this.#splits;
    const predicted: RunReport["predicted"] = probabilities.size === 0 || validation.labelSet === "identity"
      ? null
      : {
        frames: validation,
        probabilities,
        settings,
        refinement: record.refinement,
        imagePath: imagesOf(validation, validation),
      };
    const counts = [countsOf(train), countsOf(validation)];
    await this.#attempt(`the report of ${path}`, async () => {
      await writeTextAtomic(
        `${out}/report.html`,
        await renderRunReport({ record, predicted, counts, leftOut }),
      );
    });
  }

  /** Closes the event files. */
  [Symbol.dispose](): void {
    for (const events of this.#events.values()) events.close();
    this.#events.clear();
  }

  /** The matrix of expressions as an image; other label sets have none. */
  async #confusion(events: EventFile, step: number, title: string, metrics: Metrics): Promise<void> {
    const expressions = "expressions" in metrics ? metrics.expressions : metrics;
    if (!("confusion" in expressions) || this.#splits.validation.labelSet === "identity") return;
    await events.image(step, "confusion matrix", await confusionPng(expressions.confusion, title));
  }

  /** Writes into one of the event files, which is made when it is needed. */
  async #log(folder: string, write: (events: EventFile) => Promise<void>): Promise<void> {
    const { tensorboard } = this.#options;
    if (tensorboard === undefined) return;
    await this.#attempt(`events under ${tensorboard}/${folder}`, async () => {
      const events = this.#events.get(folder) ?? await EventFile.create(`${tensorboard}/${folder}`);
      this.#events.set(folder, events);
      await write(events);
    });
  }

  async #attempt(what: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#context.log(`could not write ${what}: ${(error as Error).message}; the run goes on`);
    }
  }
}
