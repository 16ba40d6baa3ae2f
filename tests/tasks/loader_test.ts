import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { median } from "../../tasks/loader/reading.ts";
import { lastLine, messageOf, task } from "./_task.ts";

Deno.test("loader: each way of reading beside the decoder, and training beside a batch at hand", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const data = `${folder}/data`;
    lastLine(await task("synthesize", "--out", data, "--tracks", "4", "--frames", "12", "--size", "112"));
    const small = ["--data", data, "--images", "64", "--rounds", "1", "--batch-size", "4", "--steps", "2"];
    const outcome = await task("loader", ...small, "--workers", "1");
    const { workers, reading, training } = lastLine(outcome);
    assertMatch(outcome.stdout, /^adapter: /m);
    assertEquals(workers, 1);
    assertEquals(reading.map(({ name }: { name: string }) => name), [
      "the decoder alone",
      ...["main thread", "1 worker"].flatMap((who) => [
        `112 pixels, ${who}`,
        `112 pixels, augmented, ${who}`,
        `48 pixels, augmented, ${who}`,
      ]),
    ]);
    assertEquals(reading[0].of_decoder, 1);
    for (const row of reading) {
      for (const key of ["images_per_s_per_core", "images_per_s", "of_decoder"]) {
        assert(row[key] > 0, row.name);
      }
    }
    assertEquals([training.width, training.size, training.batch], [16, 48, 4]);
    assert(training.ms_per_step > 0 && training.ms_per_step_at_hand > 0);
    assert(training.slowdown > 0 && training.idle_share >= 0 && training.idle_share < 1);

    const readOnly = lastLine(await task("loader", ...small, "--workers", "0", "--steps", "0"));
    assertEquals([readOnly.reading.length, readOnly.training], [4, undefined]);
    assertStringIncludes(
      messageOf(await task("loader", "--workers", "-1")),
      "expected an integer, at least 0",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the median is the middle, or the mean of the two in the middle", () => {
  assertEquals([median([3, 1, 2]), median([4, 1, 3, 2]), median([7])], [2, 2.5, 7]);
});
