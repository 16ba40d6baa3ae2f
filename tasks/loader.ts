/**
 * `deno task loader`: how fast images are read, and whether training waits for them.
 *
 * @module
 */
import { DEFAULT_WORKERS, ImageWorkers } from "../data/image_workers.ts";
import { synthesize } from "../data/synthetic/mod.ts";
import { register } from "../kernels/mod.ts";
import { measureReading, type ReadingCase } from "./loader/reading.ts";
import { measureTraining } from "./loader/training.ts";
import { type Context, defineCommand, runTask } from "./run/cli.ts";
import { startDevice } from "./run/device.ts";
import { resolveRun } from "./run/run_file.ts";
import { openSplits } from "./run/session.ts";
import { textTable } from "./run/table.ts";
import { WORKERS_FLAG } from "./run/workers_flag.ts";

const command = defineCommand({
  task: "loader",
  summary:
    "Measures the loader beside the decoder alone, in images per second of one core, and what training waits for it.",
  flags: {
    data: {
      type: "string",
      placeholder: "DIR",
      description:
        "crops to read, in Aff-Wild2's layout (default: drawn, 112x112 pixels, in out/loader/data)",
    },
    workers: WORKERS_FLAG,
    images: { type: "integer", min: 64, default: 512, description: "read in each round in each way" },
    rounds: { type: "integer", min: 1, default: 7, description: "of which medians are shown" },
    preset: {
      type: "string",
      choices: ["paper", "tiny"],
      default: "tiny",
      description: "size and augmentation of the ResNet50's images: paper: 224 pixels; tiny: 48",
    },
    steps: {
      type: "integer",
      min: 0,
      default: 16,
      description: "of training in each of three rounds; 0: no training",
    },
    batchSize: { type: "integer", min: 2, description: "images in a step, instead of the preset's" },
  },
  examples: ["deno task loader", "deno task loader --preset paper --batch-size 2 --steps 2 --workers 1"],
});

const DRAWN = { out: "out/loader/data", tracks: 24, frames: 40, seed: 1, size: 112 };
const TRAINING_ROUNDS = 3;

async function drawFaces(context: Context): Promise<string> {
  const progress = context.progress("drawing faces", DRAWN.tracks * DRAWN.frames);
  const onProgress = (done: number) => progress.update(done);
  await synthesize({ ...DRAWN, onProgress, signal: context.signal });
  progress.finish();
  return DRAWN.out;
}

await runTask(command, Deno.args, async (options, context) => {
  const { preset, images, rounds, steps, batchSize, dryRun } = options;
  const count = options.workers ?? DEFAULT_WORKERS;
  const changes = batchSize === undefined ? {} : { recipe: { batchSize } };
  const run = resolveRun({
    preset,
    data: { root: options.data ?? DRAWN.out },
    models: { cnn: {} },
    ...changes,
  }, "the flags");
  const model = run.models.cnn!;
  const { architecture: { size }, recipe: { augmentation } } = model;
  const cores = navigator.hardwareConcurrency;
  context.log(JSON.stringify({ data: run.data.root, workers: count, cores, preset, images, rounds, steps }));
  if (dryRun) return { dryRun: true };
  const root = options.data ?? await drawFaces(context);
  const splits = await openSplits(root, "expression", ["train", "validation"], context);
  const ways = (workers: number): ReadingCase[] => {
    const who = workers === 0 ? "main thread" : `${workers} worker${workers > 1 ? "s" : ""}`;
    const way = (name: string, size: number, augmented: boolean) => ({
      name: `${name}, ${who}`,
      load: { size, augmentation: augmented ? augmentation : null, workers },
    });
    return [
      way("112 pixels", 112, false),
      way("112 pixels, augmented", 112, true),
      way(`${size} pixels, augmented`, size, true),
    ];
  };
  const cases = [{ name: "the decoder alone" }, ...[...new Set([0, count])].flatMap(ways)];
  const reading = await measureReading(splits.train, cases, { images, rounds, signal: context.signal });
  textTable(
    ["images", "/s per core", "of the decoder", "/s by the clock"],
    reading.map((
      { name, images_per_s_per_core, of_decoder, images_per_s },
    ) => [name, String(images_per_s_per_core), `${(100 * of_decoder).toFixed(1)} %`, String(images_per_s)]),
  ).forEach((line) => context.log(line));
  const rows = reading.map(({ load, ...row }) => ({ ...row, ...load }));
  if (steps === 0) return { cores, workers: count, reading: rows };
  const adapter = await startDevice(context);
  register();
  using workers = new ImageWorkers(count);
  const training = await measureTraining(splits, {
    ...model,
    workers,
    steps,
    rounds: TRAINING_ROUNDS,
    signal: context.signal,
  });
  context.log(
    `ResNet50, width ${training.width}, ${size}x${size} pixels, batch ${training.batch}: ${training.ms_per_step} ms a ` +
      `step, ${training.ms_per_step_at_hand} ms on a batch at hand; the device waits for images at most ` +
      `${(100 * training.idle_share).toFixed(1)} % of the time`,
  );
  return { adapter: adapter.description, cores, workers: count, reading: rows, training };
});
