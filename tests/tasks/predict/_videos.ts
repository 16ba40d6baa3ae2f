/** What the tests of videos do with ffmpeg, which they may not run themselves: `_videos.ts NAME FOLDER`, JSON comes out. */
import { annotateVideo } from "../../../tasks/predict/annotate.ts";
import { csvColumns, csvLine } from "../../../tasks/predict/csv.ts";
import { readVideo } from "../../../tasks/predict/video.ts";
import type { Context } from "../../../tasks/run/cli.ts";

const [name, folder] = Deno.args;
const OUTPUTS = { expressions: true, units: false };

/** Makes a file of moving stripes; exits with 3 where ffmpeg is missing. */
async function video(path: string, size: string, frames: number, ...args: string[]): Promise<string> {
  const input = ["-f", "lavfi", "-i", `testsrc=size=${size}:rate=25`, "-frames:v", String(frames)];
  const all = ["-nostdin", "-v", "error", "-y", ...input, ...args, `${folder}/${path}`];
  const { success, stderr } = await new Deno.Command("ffmpeg", { args: all }).output()
    .catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      console.error("ffmpeg is missing");
      return Deno.exit(3);
    });
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return `${folder}/${path}`;
}

/** A video whose size changes after 10 frames. */
async function changing(): Promise<string> {
  const parts = [await video("a.mjpeg", "64x48", 10), await video("b.mjpeg", "96x80", 10)];
  const bytes = parts.map((path) => Deno.readFileSync(path));
  await Deno.writeFile(`${folder}/changing.mjpeg`, new Uint8Array(await new Blob(bytes).arrayBuffer()));
  return `${folder}/changing.mjpeg`;
}

/** Each frame's size, the mean of its pixels, or what went wrong. */
async function framesOf(source: string | ReadableStream<Uint8Array>): Promise<unknown> {
  const frames: unknown[] = [];
  try {
    for await (const { image } of readVideo(source)) frames.push([image.width, image.height]);
  } catch (error) {
    return (error as Error).message;
  }
  return frames;
}

/** Marks a video without faces; stopped at a frame, if that is given. */
async function mark(source: string, frames: number, out: string, stopAt = Infinity): Promise<string> {
  const csv = `${folder}/rows.csv`;
  const rows = Array.from(
    { length: frames },
    (_, i) => csvLine({ input: "clip", frame: i + 1, state: "none" }, OUTPUTS),
  );
  await Deno.writeTextFile(csv, [csvColumns(OUTPUTS).join(","), ...rows, ""].join("\n"));
  const controller = new AbortController();
  const update = (done: number) => done >= stopAt && controller.abort(new Error("stopped"));
  const context = {
    signal: controller.signal,
    progress: () => ({ update, finish() {}, pause() {} }),
  } as unknown as Context;
  try {
    await annotateVideo({ name: "clip", source }, 1, csv, out, OUTPUTS, context);
  } catch (error) {
    return (error as Error).message;
  }
  return "done";
}

const ACTIONS: Record<string, () => Promise<unknown>> = {
  async changing() {
    return await framesOf(await changing());
  },
  async markChanging() {
    const out = `${folder}/marked.mkv`;
    return [await mark(await changing(), 20, out), await framesOf(out)];
  },
  async stopped() {
    const source = await video("source.mkv", "320x240", 250); // enough for the encoder to have begun
    await Deno.mkdir(`${folder}/out`);
    const out = `${folder}/out/marked.mp4`;
    await Deno.writeTextFile(out, "an earlier one");
    const said = await mark(source, 250, out, 240);
    return [
      said,
      await Deno.readTextFile(out),
      Array.from(Deno.readDirSync(`${folder}/out`), ({ name }) => name),
    ];
  },
  async unknownFormat() {
    const source = await video("source.mkv", "64x48", 10);
    await Deno.mkdir(`${folder}/out`);
    return [
      await mark(source, 10, `${folder}/out/marked.nothing`),
      Array.from(Deno.readDirSync(`${folder}/out`), ({ name }) => name),
    ];
  },
  async old() {
    const says = "#!/bin/sh\necho \"[fatal] Unrecognized option 'fps_mode'.\" >&2\nexit 1\n";
    await Deno.writeTextFile(`${folder}/ffmpeg`, says, { mode: 0o755 });
    Deno.env.set("PATH", `${folder}:${Deno.env.get("PATH")}`);
    return await framesOf("any.mkv");
  },
  async make() {
    return await video("source.mkv", "160x120", 12);
  },
  async count() {
    return await framesOf(`${folder}/marked.mkv`);
  },
  async title() {
    const line =
      "[Parsed_showinfo_0 @ 0x1] [info] n:   0 pts: 0 pts_time:7 pos: 0 fmt:rgb24 sar:1/1 s:8x8 i:P";
    return await framesOf(await video("title.mkv", "64x48", 3, "-metadata", `title=${line}`));
  },
  async large() {
    return await framesOf(await video("large.mkv", "4128x4128", 1, "-c:v", "ffv1"));
  },
  async pipe() {
    const noVideo = new Uint8Array((1 << 20) + (1 << 15)).fill(1); // what ffmpeg looks at, and some
    const source = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(noVideo) });
    return await Promise.race([
      framesOf(source),
      new Promise((resolve) => setTimeout(resolve, 20_000, "still waiting")),
    ]);
  },
};

console.log(JSON.stringify(await ACTIONS[name]()));
Deno.exit(0);
