/** Videos by ffmpeg: what is read is all of it and nothing else, what is written appears whole. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";

/** What `_videos.ts` says, which may run ffmpeg; undefined where there is none. */
// deno-lint-ignore no-explicit-any
async function ask(name: string): Promise<any> {
  const folder = await Deno.makeTempDir();
  try {
    const path = new URL("_videos.ts", import.meta.url).pathname;
    const args = ["run", "--quiet", "--no-check", "--allow-all", path, name, folder];
    const { code, stdout, stderr } = await new Deno.Command("deno", { args }).output();
    const errors = new TextDecoder().decode(stderr);
    if (code === 3) return void console.warn(`NOT TESTED: ${name}: ${errors}`);
    assertEquals(code, 0, errors);
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const SIZES = [...Array(10).fill([64, 48]), ...Array(10).fill([96, 80])];

Deno.test("a video whose size changes midway: each frame has its own size, none is lost", async () => {
  const frames = await ask("changing");
  if (frames !== undefined) assertEquals(frames, SIZES);
});

Deno.test("a video whose size changes midway is marked in its first size", async () => {
  const answer = await ask("markChanging");
  if (answer !== undefined) assertEquals(answer, ["done", Array(20).fill([64, 48])]);
});

Deno.test("a marking that is stopped leaves the earlier video and nothing else", async () => {
  const answer = await ask("stopped");
  if (answer !== undefined) assertEquals(answer, ["stopped", "an earlier one", ["marked.mp4"]]);
});

Deno.test("a marking in no known format names the file that was asked for, and leaves nothing", async () => {
  const answer = await ask("unknownFormat");
  if (answer === undefined) return;
  assertStringIncludes(answer[0], "out/marked.nothing: ");
  assert(!answer[0].includes(".tmp"), answer[0]);
  assertEquals(answer[1], []);
});

Deno.test("a title that looks like ffmpeg's line of a frame is none", async () => {
  const frames = await ask("title");
  if (frames !== undefined) assertEquals(frames, Array(3).fill([64, 48]));
});

Deno.test("a frame of too many pixels is refused", async () => {
  const answer = await ask("large");
  if (answer !== undefined) {
    assertStringIncludes(answer, "frame 1 is 4128x4128; expected at most 16777216 pixels");
  }
});

Deno.test("bytes that are no video are refused while their writer waits", async () => {
  const answer = await ask("pipe");
  if (answer !== undefined) assertStringIncludes(answer, "Cannot read standard input: ");
});

Deno.test("an ffmpeg that is too old is told apart from a video that is broken", async () => {
  assertEquals(
    await ask("old"),
    "Cannot read any.mkv: Unrecognized option 'fps_mode'.; expected ffmpeg 5.1 or later",
  );
});
