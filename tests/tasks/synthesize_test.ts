/** `synthesize`'s flags: of tracks or of people. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { lastLine, messageOf, task } from "./_task.ts";

Deno.test("synthesize: flags that would do nothing are refused, the defaults are shown", async () => {
  const run = (...args: string[]) => task("synthesize", "--dry-run", ...args);
  assertStringIncludes(
    messageOf(await run("--images", "3")),
    "--images is 3; expected --identities N with it",
  );
  for (const flag of [["--tracks", "3"], ["--frames", "3"], ["--balanced"]]) {
    const message = messageOf(await run("--identities", "3", ...flag));
    assertStringIncludes(message, `--identities is 3 and there is ${flag[0]}; expected --images`);
  }
  const tracks = await run("--balanced");
  assertEquals(lastLine(tracks).dryRun, true);
  assertStringIncludes(tracks.stdout, '"tracks":48,"frames":60,');
  assertStringIncludes((await run("--identities", "3")).stdout, '"images":20,');
});
