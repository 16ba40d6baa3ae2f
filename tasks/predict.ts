/**
 * `deno task predict INPUT...`: expressions and action units of faces in images, videos and folders.
 *
 * @module
 */
import { register } from "../kernels/mod.ts";
import { isDetectorSize } from "../models/faces/detector.ts";
import { FACE_WEIGHTS } from "../models/faces/weights.ts";
import type { Smoothing } from "../models/smoothing.ts";
import { annotateVideo } from "./predict/annotate.ts";
import { type Clip, findClips, PIPE } from "./predict/clips.ts";
import { FaceFinder } from "./predict/face_finder.ts";
import { requireOwnOutputs, requireSubmittable, requireUsableFlags } from "./predict/outputs.ts";
import { Predictor } from "./predict/predictor.ts";
import { predictClip } from "./predict/run.ts";
import { ReportSink } from "./predict/report.ts";
import { type ClipSummary, CsvSink, type Sink, SubmissionSink } from "./predict/sinks.ts";
import { loadVoters } from "./predict/voters.ts";
import { type Context, defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { startDevice } from "./run/device.ts";
import { requireWritable } from "./run/files.ts";

const DEFAULT_OUT = "out/predict/predictions.csv";
/** Frames that are worked on together. */
const BATCH = 16;
/** Clips that get a line of their own in the log. */
const MOST_LINES = 20;

const command = defineCommand({
  task: "predict",
  summary: "Finds faces in images and videos and says what they express: a row per frame and face, as CSV.",
  positionals: [{
    name: "inputs",
    description:
      "images, videos (by ffmpeg), folders of them, folders of crops, Aff-Wild2 trees, or - for a pipe",
    required: true,
    variadic: true,
  }],
  flags: {
    weights: {
      type: "list",
      placeholder: "FILE",
      description: "a checkpoint of `train`; again for action units, or an ensemble's networks",
    },
    ensemble: {
      type: "string",
      placeholder: "FILE",
      description: "weights of several networks: `ensemble`'s ensemble.json, or a run's record.json",
    },
    out: {
      type: "string",
      placeholder: "FILE",
      description: `the CSV, or - for standard output (default ${DEFAULT_OUT}; - where the input is -)`,
    },
    report: { type: "string", placeholder: "FILE.html", description: "also write a timeline" },
    video: { type: "string", placeholder: "FILE", description: "also write the video with faces marked" },
    submission: { type: "string", placeholder: "DIR", description: "also write the challenge's text files" },
    missing: {
      type: "string",
      choices: ["unlabelled", "nearest"],
      description:
        "what frames without a face get in them: -1 (unlabelled, the default), or the nearest prediction",
    },
    cropped: { type: "boolean", description: "all pictures are aligned crops of one face each" },
    smooth: {
      type: "string",
      placeholder: "SHAPE:N",
      description: "smooth along tracks: box:25 = 25 frames either side, gaussian:5 = deviation of 5",
    },
    fillGaps: { type: "boolean", description: "give frames between a track's faces probabilities too" },
    minScore: {
      type: "number",
      min: 0,
      max: 1,
      default: 0.5,
      description: "faces that the detector is less sure of are dropped",
    },
    detectorSize: {
      type: "integer",
      min: 96,
      default: 416,
      description:
        "pixels of a frame's longer side when faces are looked for, a multiple of 32; it is halved " +
        "for large faces, too",
    },
    maxGap: {
      type: "integer",
      min: 0,
      default: 25,
      description: "frames that a face may be away; after more another track begins",
    },
    onBadImage: {
      type: "string",
      choices: ["error", "skip"],
      default: "error",
      description: "an image that cannot be read: stop, or a row that says so",
    },
    repeat: { type: "integer", min: 1, default: 1, description: "play a video so many times" },
  },
  examples: [
    "deno task predict talk.mp4 --weights out/train/cnn.safetensors --report talk.html",
    "deno task predict photos/ --ensemble out/ensemble/ensemble.json",
    "deno task predict Aff-Wild2 --weights out/train/rnn.safetensors --submission submission/",
    "cat talk.webm | deno task predict - --weights out/train/cnn.safetensors > talk.csv",
  ],
  dataOnStdout: ({ out, arguments: inputs }) => csvPath(out, inputs) === undefined,
});

type PredictOptions = Options<typeof command.flags>;

/** Where the CSV goes; undefined is standard output. */
function csvPath(out: string | undefined, inputs: readonly string[]): string | undefined {
  if (out === PIPE || (out === undefined && inputs.includes(PIPE))) return undefined;
  return out ?? DEFAULT_OUT;
}

function parseSmoothing(text: string | undefined): Smoothing {
  if (text === undefined) return { shape: "box", width: 0 };
  const match = /^(box|gaussian):(\d+(?:\.\d+)?)$/.exec(text);
  if (match === null || (match[1] === "box" && match[2].includes("."))) {
    throw new UserError(
      `Cannot run predict: --smooth is ${JSON.stringify(text)}; expected box:N or gaussian:N, N frames`,
    );
  }
  return { shape: match[1] as Smoothing["shape"], width: Number(match[2]) };
}

/** The one video that is to be annotated. */
function videoToAnnotate(clips: readonly Clip[]): Clip & { source: string } {
  const [clip] = clips;
  if (clips.length !== 1 || clip.kind !== "video" || typeof clip.source !== "string") {
    throw new UserError("Cannot write --video: expected exactly one input, a video file");
  }
  return clip as Clip & { source: string };
}

function summaryLine({ clip, frames, framesWithFace, tracks, rows }: ClipSummary): string {
  return `${clip.name}: ${frames} frames, a face in ${framesWithFace}, ${tracks} tracks, ${rows} rows`;
}

/** Opens where rows go. */
async function openSinks(
  { out, arguments: inputs, submission, missing = "unlabelled", report }: PredictOptions,
  predictor: Predictor,
): Promise<{ csv: CsvSink; submission?: SubmissionSink; report?: ReportSink }> {
  if (report !== undefined) await requireWritable(report);
  return {
    csv: await CsvSink.open(csvPath(out, inputs), predictor),
    submission: submission === undefined
      ? undefined
      : await SubmissionSink.open(submission, predictor, missing),
    report: report === undefined ? undefined : new ReportSink(predictor),
  };
}

async function predictAll(
  clips: readonly Clip[],
  predictor: Predictor,
  finder: FaceFinder | undefined,
  options: PredictOptions,
  sinks: readonly Sink[],
  context: Context,
): Promise<ClipSummary[]> {
  const { maxGap, smooth, fillGaps, onBadImage, repeat } = options;
  const pipeline = {
    predictor,
    finder,
    maxGap,
    smoothing: parseSmoothing(smooth),
    fillGaps,
    source: { onBadImage, repeat, batchSize: BATCH },
  };
  const summaries: ClipSummary[] = [];
  for (const clip of clips) {
    const summary = await predictClip(clip, pipeline, sinks, context);
    summaries.push(summary);
    if (summaries.length <= MOST_LINES) context.log(summaryLine(summary));
  }
  if (clips.length > MOST_LINES) context.log(`and ${clips.length - MOST_LINES} more`);
  return summaries;
}

await runTask(command, Deno.args, async (options, context) => {
  const { weights, ensemble, cropped, minScore, detectorSize, dryRun, video, repeat } = options;
  const { arguments: inputs, ...flags } = options;
  context.log(JSON.stringify({ inputs, ...flags }));
  parseSmoothing(options.smooth);
  requireUsableFlags(options, inputs);
  if (!isDetectorSize(detectorSize)) {
    throw new UserError(`Cannot run predict: --detector-size is ${detectorSize}; expected a multiple of 32`);
  }
  if (dryRun) return { dryRun: true };
  const voters = await loadVoters(weights, ensemble);
  const clips = await findClips(inputs, { cropped, log: context.log });
  const annotated = video === undefined ? undefined : videoToAnnotate(clips);
  const out = csvPath(options.out, inputs);
  if (video !== undefined) {
    if (out === undefined) {
      throw new UserError("Cannot write --video while the CSV goes to standard output; expected --out FILE");
    }
    await requireWritable(video);
  }
  const written = { "--out": out, "--report": options.report, "--video": video };
  await requireOwnOutputs(written, clips, [...weights, ...(ensemble === undefined ? [] : [ensemble])]);
  if (options.submission !== undefined) requireSubmittable(clips);
  const adapter = await startDevice(context);
  register();
  const predictor = new Predictor(voters);
  const finder = cropped || clips.every(({ kind }) => kind === "crops")
    ? undefined
    : await FaceFinder.load({ size: detectorSize, minScore });
  if (finder !== undefined) {
    context.log(`faces are found by ${FACE_WEIGHTS.source} (${FACE_WEIGHTS.licence})`);
  }
  const sinks = await openSinks(options, predictor);
  const all = [sinks.csv, sinks.submission, sinks.report].filter((sink) => sink !== undefined);
  if (out !== undefined) context.lastWords(`the rows so far are in ${sinks.csv.temporary}`);
  const summaries = await predictAll(clips, predictor, finder, options, all, context).catch(async (error) => {
    const partial = await sinks.csv.giveUp();
    if (partial !== undefined) context.log(`the rows so far are in ${partial}`);
    throw error;
  });
  await sinks.csv.close();
  context.lastWords(`the rows are in ${out ?? PIPE}`);
  if (sinks.report !== undefined) {
    await sinks.report.write(options.report!, {
      networks: voters.map(({ checkpoint }) => checkpoint.path),
      adapter,
    });
  }
  if (annotated !== undefined) await annotateVideo(annotated, repeat, out!, video!, predictor, context);
  const sum = (key: "frames" | "rows" | "framesWithFace" | "seconds") =>
    summaries.reduce((total, summary) => total + summary[key], 0);
  const framesPerSecond = sum("frames") / sum("seconds");
  context.log(`${sum("frames")} frames at ${framesPerSecond.toFixed(1)} frames/s`);
  return {
    adapter: adapter.description,
    inputs: clips.length,
    frames: sum("frames"),
    rows: sum("rows"),
    framesWithFace: sum("framesWithFace"),
    tracks: summaries.reduce((total, { tracks }) => total + tracks, 0),
    seconds: sum("seconds"),
    framesPerSecond,
    out: out ?? PIPE,
    submission: sinks.submission?.written ?? null,
    report: options.report ?? null,
    video: video ?? null,
  };
});
