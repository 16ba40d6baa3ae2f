/**
 * `deno task synthesize`: writes a synthetic set in Aff-Wild2's 2021 layout.
 *
 * @module
 */
import { contactSheet, type SynthesisResult, synthesize } from "../data/synthetic/mod.ts";
import { defineCommand, runTask } from "./run/cli.ts";

const command = defineCommand({
  task: "synthesize",
  summary:
    "Writes a synthetic talking-face set in Aff-Wild2's 2021 layout; the same seed gives the same bytes.",
  flags: {
    out: {
      type: "string",
      placeholder: "DIR",
      default: "out/synthetic",
      description: "a new or empty folder",
    },
    tracks: { type: "integer", min: 2, default: 48, description: "people; a quarter of them for validation" },
    frames: { type: "integer", min: 1, default: 60, description: "frames of each track" },
    seed: { type: "integer", min: 0, default: 1, description: "of everything that is drawn" },
    size: { type: "integer", min: 16, max: 512, default: 112, description: "side of the crops in pixels" },
    balanced: { type: "boolean", description: "expressions about equally often, not as in the real set" },
    contactSheet: {
      type: "string",
      placeholder: "FILE.png",
      description: "also draw each expression of six people",
    },
  },
  examples: [
    "deno task synthesize --out out/synthetic --tracks 48 --frames 60 --contact-sheet out/faces.png",
  ],
});

await runTask(command, Deno.args, async (options, context) => {
  const { dryRun, contactSheet: sheet, arguments: _, ...settings } = options;
  context.log(JSON.stringify({ ...settings, contactSheet: sheet ?? null }));
  if (dryRun) return { dryRun: true };
  const progress = context.progress("frames", options.tracks * options.frames);
  let result: SynthesisResult;
  try {
    result = await synthesize({
      ...settings,
      signal: context.signal,
      onProgress: (done) => progress.update(done),
    });
  } catch (error) {
    if (!context.signal.aborted || error !== context.signal.reason) throw error;
    context.log(`stopped; ${options.out} is marked incomplete and is made again by the next run`);
    return { out: options.out, interrupted: true };
  } finally {
    progress.finish();
  }
  context.log(
    `${
      result.reused ? "kept" : "wrote"
    } ${result.images} crops of ${result.frames} frames in ${result.tracks} tracks ` +
      `in ${options.out}`,
  );
  if (sheet !== undefined) {
    await Deno.writeFile(sheet, await contactSheet(options.seed));
    context.log(`wrote ${sheet}`);
  }
  return { out: options.out, ...result };
});
