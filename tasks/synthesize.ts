/**
 * `deno task synthesize`: writes a synthetic set in Aff-Wild2's 2021 layout.
 *
 * @module
 */
import { contactSheet, synthesize, synthesizeIdentities } from "../data/synthetic/mod.ts";
import { type Context, defineCommand, type Options, runTask, UserError } from "./run/cli.ts";
import { requireWritable, writeBytesAtomic } from "./run/files.ts";

/** Of flags that are refused where they would do nothing: it must be seen whether they were given. */
const DEFAULTS = { tracks: 48, frames: 60, images: 20 };

const command = defineCommand({
  task: "synthesize",
  summary:
    "Writes synthetic talking faces in Aff-Wild2's 2021 layout, or people in VGGFace2's; the same seed, the same bytes.",
  flags: {
    out: {
      type: "string",
      placeholder: "DIR",
      default: "out/synthetic",
      description: "a new or empty folder",
    },
    tracks: {
      type: "integer",
      min: 2,
      description: `people; a quarter of them for validation (default ${DEFAULTS.tracks})`,
    },
    frames: { type: "integer", min: 1, description: `frames of each track (default ${DEFAULTS.frames})` },
    seed: { type: "integer", min: 0, default: 1, description: "of everything that is drawn" },
    size: { type: "integer", min: 16, max: 512, default: 112, description: "side of the crops in pixels" },
    balanced: { type: "boolean", description: "expressions about equally often, not as in the real set" },
    identities: {
      type: "integer",
      min: 2,
      description: "instead of tracks: pictures of so many people in VGGFace2's layout, for pretrain",
    },
    images: {
      type: "integer",
      min: 1,
      description: `with --identities: pictures of each person (default ${DEFAULTS.images})`,
    },
    contactSheet: {
      type: "string",
      placeholder: "FILE.png",
      description: "also draw each expression of six people",
    },
  },
  examples: [
    "deno task synthesize --out out/synthetic --tracks 48 --frames 60 --contact-sheet out/faces.png",
    "deno task synthesize --out out/people --identities 100 --images 20",
  ],
});

type SynthesizeOptions = Options<typeof command.flags>;

/**
 * Tracks and people have flags of their own.
 *
 * @throws {UserError} if one is given that would do nothing
 */
function requireUsableFlags({ identities, images, tracks, frames, balanced }: SynthesizeOptions): void {
  if (identities === undefined) {
    if (images === undefined) return;
    throw new UserError(`Cannot synthesize: --images is ${images}; expected --identities N with it`);
  }
  const given = Object.entries({ tracks, frames, balanced: balanced || undefined })
    .filter(([, value]) => value !== undefined).map(([name]) => `--${name}`);
  if (given.length === 0) return;
  throw new UserError(
    `Cannot synthesize: --identities is ${identities} and there is ${given.join(", ")}; ` +
      "expected --images, --seed and --size with it",
  );
}

async function writeTracks(options: SynthesizeOptions, context: Context): Promise<Record<string, unknown>> {
  const { out, tracks = DEFAULTS.tracks, frames = DEFAULTS.frames, seed, size, balanced } = options;
  const progress = context.progress("frames", tracks * frames);
  const onProgress = (done: number) => progress.update(done);
  const result = await synthesize({
    out,
    tracks,
    frames,
    seed,
    size,
    balanced,
    onProgress,
    signal: context.signal,
  });
  progress.finish();
  context.log(
    `${
      result.reused ? "kept" : "wrote"
    } ${result.images} crops of ${result.frames} frames in ${result.tracks} tracks ` +
      `in ${out}`,
  );
  return { ...result };
}

async function writeIdentities(
  { out, images = DEFAULTS.images, seed, size }: SynthesizeOptions,
  identities: number,
  context: Context,
): Promise<Record<string, unknown>> {
  const progress = context.progress("pictures", identities * images);
  const onProgress = (done: number) => progress.update(done);
  const result = await synthesizeIdentities({
    out,
    identities,
    images,
    seed,
    size,
    onProgress,
    signal: context.signal,
  });
  progress.finish();
  context.log(
    `${result.reused ? "kept" : "wrote"} ${result.images} pictures of ${identities} people in ${out}`,
  );
  return { ...result };
}

await runTask(command, Deno.args, async (options, context) => {
  const { dryRun, contactSheet: sheet, arguments: _, ...settings } = options;
  const { out, identities } = options;
  requireUsableFlags(options);
  const { tracks = DEFAULTS.tracks, frames = DEFAULTS.frames, images = DEFAULTS.images } = settings;
  const resolved = identities === undefined ? { tracks, frames } : { images };
  context.log(JSON.stringify({ ...settings, ...resolved, contactSheet: sheet ?? null }));
  if (dryRun) return { dryRun: true };
  if (sheet !== undefined) await requireWritable(sheet);
  let result: Record<string, unknown>;
  try {
    result = identities === undefined
      ? await writeTracks(options, context)
      : await writeIdentities(options, identities, context);
  } catch (error) {
    if (!context.signal.aborted || error !== context.signal.reason) throw error;
    context.log(`stopped; ${out} is marked incomplete and is made again by the next run`);
    return { out, interrupted: true };
  }
  if (sheet !== undefined) {
    await writeBytesAtomic(sheet, await contactSheet(options.seed));
    context.log(`wrote ${sheet}`);
  }
  return { out, ...result };
});
