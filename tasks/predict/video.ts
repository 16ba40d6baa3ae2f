/**
 * Videos by ffmpeg, through pipes: decoded frames one after another, and encoded ones. Never more than a frame is held
 * here; ffmpeg waits while nobody reads.
 *
 * @module
 */
import { extname } from "node:path";
import { MAX_PIXELS, type RgbImage } from "../../data/images.ts";
import { temporaryName } from "../../data/whole_file.ts";
import { UserError } from "../run/cli.ts";

/** A decoded frame. */
export interface VideoFrame {
  /** from 1 */
  readonly number: number;
  /** seconds, as the container says; undefined if it does not */
  readonly time: number | undefined;
  readonly image: RgbImage;
}

/** What a container says of its video; a decoder may find another number of frames. */
export interface VideoFacts {
  readonly frames: number | undefined;
  /** by the duration, where the container does not count its frames */
  readonly estimatedFrames: number | undefined;
  /** mean frames per second, e.g. `30000/1001` */
  readonly frameRate: string;
}

const INSTALL = "apt-get install ffmpeg (Debian, Ubuntu), brew install ffmpeg (macOS), " +
  "winget install ffmpeg (Windows)";
/** Lines of ffmpeg's complaints that are kept for a message. */
const KEPT_LINES = 5;

/** A line of ffmpeg's, without the module and the address that it begins with. */
function withoutTags(line: string): string {
  return line.replace(/\[[^\]]*(@ 0x[^\]]*|error|fatal|panic)\] */g, "").trim();
}

/** Starts ffmpeg or ffprobe. */
function start(
  program: "ffmpeg" | "ffprobe",
  args: string[],
  options: Deno.CommandOptions,
): Deno.ChildProcess {
  try {
    return new Deno.Command(program, { args, ...options }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) {
      throw new UserError(
        `Cannot read or write video: ${program} was not found; expected it on PATH, where Deno may run it: ${INSTALL}`,
      );
    }
    throw error;
  }
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // it ended by itself
  }
}

/** A path as ffmpeg takes it for a file, whatever it begins with. */
function fileArgument(path: string): string {
  return `file:${path}`;
}

/** What ffprobe says without decoding. */
export async function probeVideo(path: string): Promise<VideoFacts> {
  const entries = "stream=nb_frames,avg_frame_rate:format=duration";
  const args = ["-v", "error", "-select_streams", "V:0", "-show_entries", entries, "-of", "json"];
  const child = start("ffprobe", [...args, fileArgument(path)], { stdout: "piped", stderr: "piped" });
  const { success, stdout, stderr } = await child.output();
  if (!success) {
    const complaints = new TextDecoder().decode(stderr).trim().split("\n").map(withoutTags);
    throw new UserError(
      `Cannot read ${path}: ${complaints.slice(-KEPT_LINES).join("; ")}; expected an image or a video`,
    );
  }
  const { streams: [stream] = [], format } = JSON.parse(new TextDecoder().decode(stdout));
  if (stream === undefined) {
    throw new UserError(`Cannot read ${path}: it has no video stream; expected an image or a video`);
  }
  const frames = Number(stream.nb_frames);
  const frameRate = /^[1-9]\d*\/[1-9]\d*$/.test(stream.avg_frame_rate) ? stream.avg_frame_rate : "25/1";
  const [numerator, denominator] = frameRate.split("/").map(Number);
  const estimate = Math.round(Number(format?.duration) * numerator / denominator);
  return {
    frames: frames > 0 ? frames : undefined,
    estimatedFrames: estimate > 0 ? estimate : undefined,
    frameRate,
  };
}

/** What ffmpeg's `showinfo` says of a frame. */
interface FrameInfo {
  readonly time: number | undefined;
  readonly width: number;
  readonly height: number;
}

/** Anchored: titles and names of files, which ffmpeg logs too, may hold anything. */
const FRAME_LINE = /^\[Parsed_showinfo_\d+ @ [^\]]*\] \[info\] n: *\d+ .*pts_time: *(\S+) .* s:(\d+)x(\d+) /;

/** ffmpeg's standard error: a line per frame, and complaints. */
class FrameLog {
  readonly complaints: string[] = [];
  #infos: FrameInfo[] = [];
  #wake: () => void = () => {};
  #ended = false;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of stream) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop()!;
      lines.forEach((line) => this.#line(line));
      this.#wake();
    }
    this.#line(rest);
    this.#ended = true;
    this.#wake();
  }

  #line(line: string): void {
    const match = FRAME_LINE.exec(line);
    if (match !== null) {
      const time = Number(match[1]);
      this.#infos.push({
        time: Number.isFinite(time) ? time : undefined,
        width: Number(match[2]),
        height: Number(match[3]),
      });
    } else if (/\[(error|fatal|panic)\]/.test(line) && this.complaints.length < KEPT_LINES) {
      this.complaints.push(withoutTags(line));
    }
  }

  /** The next frame's line; undefined after the last one. */
  async next(): Promise<FrameInfo | undefined> {
    while (this.#infos.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#infos.shift();
  }
}

/** Cuts a stream of bytes into pieces of wanted lengths. */
class ByteReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #chunk = new Uint8Array();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  /** Fills `out`; false if the stream ends before. */
  async fill(out: Uint8Array): Promise<boolean> {
    for (let filled = 0; filled < out.length;) {
      if (this.#chunk.length === 0) {
        const { done, value } = await this.#reader.read();
        if (done) return false;
        this.#chunk = value as Uint8Array<ArrayBuffer>;
      }
      const piece = this.#chunk.subarray(0, out.length - filled);
      out.set(piece, filled);
      filled += piece.length;
      this.#chunk = this.#chunk.subarray(piece.length);
    }
    return true;
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }
}

/** Options of {@linkcode readVideo}. */
export interface ReadVideoOptions {
  /** times that the file is decoded one after another, as one video; 1 by default */
  readonly repeat?: number;
  /** told of what the decoder complained about without giving up */
  readonly onComplaint?: (line: string) => void;
}

/**
 * Decodes a video's first stream, each of its frames once, turned upright, in its own size, which may change midway.
 *
 * @param source a path, or the bytes of a file
 * @throws {UserError} if ffmpeg is missing, cannot read the input, or finds no frame in it, or one that is too large
 */
export async function* readVideo(
  source: string | ReadableStream<Uint8Array>,
  { repeat = 1, onComplaint }: ReadVideoOptions = {},
): AsyncGenerator<VideoFrame, void, void> {
  const isPath = typeof source === "string";
  const name = isPath ? source : "standard input";
  const input = isPath
    ? ["-nostdin", "-stream_loop", String(repeat - 1), "-i", fileArgument(source)]
    : ["-i", "pipe:0"];
  const output = [
    "-map",
    "0:V:0",
    "-vf",
    "showinfo=checksum=0",
    "-fps_mode",
    "passthrough",
    "-autoscale",
    "0",
  ];
  const raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"];
  const child = start(
    "ffmpeg",
    ["-hide_banner", "-nostats", "-loglevel", "level+info", ...input, ...output, ...raw],
    { stdin: isPath ? "null" : "piped", stdout: "piped", stderr: "piped" },
  );
  // ffmpeg may close its end first: after an error, or when it has all it wants. Its writer is not waited for then.
  const feeding = new AbortController();
  const fed = isPath
    ? Promise.resolve()
    : source.pipeTo(child.stdin, { signal: feeding.signal }).catch(() => {});
  const log = new FrameLog(child.stderr);
  const bytes = new ByteReader(child.stdout);
  let number = 0;
  let ended = false;
  let cut = false;
  try {
    for (let info = await log.next(); info !== undefined; info = await log.next()) {
      const { width, height, time } = info;
      if (width * height > MAX_PIXELS) {
        throw new UserError(
          `Cannot read ${name}: frame ${
            number + 1
          } is ${width}x${height}; expected at most ${MAX_PIXELS} pixels`,
        );
      }
      const pixels = new Uint8Array(width * height * 3);
      cut = !await bytes.fill(pixels);
      if (cut) break;
      yield { number: ++number, time, image: { width, height, pixels } };
    }
    const { success } = await child.status;
    ended = true;
    if (log.complaints.some((line) => line.includes("Unrecognized option"))) {
      throw new UserError(`Cannot read ${name}: ${log.complaints[0]}; expected ffmpeg 5.1 or later`);
    }
    if (!success || cut || number === 0) {
      const why = log.complaints.join("; ") ||
        (cut ? `ffmpeg ended in frame ${number + 1}` : "ffmpeg found no frame");
      throw new UserError(`Cannot read ${name}: ${why}; expected an image or a video`);
    }
    log.complaints.forEach((line) => onComplaint?.(`${name}: ffmpeg says: ${line}`));
  } finally {
    if (!ended) {
      kill(child);
      await bytes.cancel();
      await child.status;
    }
    feeding.abort();
    await fed;
  }
}

/** Encodes frames to a video, which gets its name when it is whole. */
export class VideoWriter {
  readonly #path: string;
  readonly #temporary: string;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #complaints: Promise<string>;

  /**
   * @param soundOf a file whose sound is taken over, if it has any
   * @throws {UserError} if ffmpeg is missing
   */
  constructor(
    path: string,
    size: { width: number; height: number },
    frameRate: string,
    soundOf: string,
  ) {
    this.#path = path;
    this.#temporary = temporaryName(path) + extname(path); // by which ffmpeg tells the format
    const video = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", `${size.width}x${size.height}`];
    // Most encoders want even sides.
    const filter = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"];
    this.#child = start("ffmpeg", [
      ...["-hide_banner", "-nostats", "-loglevel", "error", "-y"],
      ...[...video, "-framerate", frameRate, "-i", "pipe:0", "-i", fileArgument(soundOf)],
      ...["-map", "0:v", "-map", "1:a:0?", ...filter, fileArgument(this.#temporary)],
    ], { stdin: "piped", stdout: "null", stderr: "piped" });
    this.#input = this.#child.stdin.getWriter();
    this.#complaints = new Response(this.#child.stderr).text();
  }

  /** Appends a frame: [height, width, 3] RGB bytes. */
  async write(pixels: Uint8Array): Promise<void> {
    try {
      await this.#input.write(pixels);
    } catch {
      await this.close(); // says why ffmpeg stopped
      throw new UserError(`Cannot write ${this.#path}: ffmpeg ended before the last frame`);
    }
  }

  /**
   * Ends the video.
   *
   * @throws {UserError} if ffmpeg could not write it: what was there before is kept
   */
  async close(): Promise<void> {
    await this.#input.close().catch(() => {});
    const [{ success }, complaints] = await Promise.all([this.#child.status, this.#complaints]);
    if (!success) {
      await this.abort();
      const why = complaints.replaceAll(this.#temporary, this.#path).trim().split("\n").slice(-KEPT_LINES);
      throw new UserError(
        `Cannot write ${this.#path}: ${
          why.join("; ")
        }; expected a name that ends in a video format's, e.g. .mp4`,
      );
    }
    await Deno.rename(this.#temporary, this.#path);
  }

  /** Gives the video up. Does nothing after it was closed. */
  async abort(): Promise<void> {
    kill(this.#child);
    await this.#child.status;
    await this.#input.abort().catch(() => {});
    await this.#complaints;
    await Deno.remove(this.#temporary).catch(() => {}); // it may not have begun
  }
}
