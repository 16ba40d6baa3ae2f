import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { lastLine, messageOf, task } from "./_task.ts";

async function assertRefused(message: string, name: string, ...args: string[]) {
  assertStringIncludes(messageOf(await task(name, ...args)), message);
}

Deno.test("bench and tune: an unknown op, no op, and a filter that nothing matches", async () => {
  await Promise.all(["bench", "tune"].flatMap((name) => [
    assertRefused(`Cannot run ${name}: --ops has "conv2d_fw"; expected some of`, name, "--ops", "conv2d_fw"),
    assertRefused("did you mean conv2d_fwd?", name, "--ops", "conv2d_fw"),
    assertRefused('contains "nowhere"', name, "--filter", "nowhere"),
    assertRefused(`Cannot run ${name}: --ops is "," and names none; expected some of`, name, "--ops", ","),
    assertRefused(`Cannot run ${name}: --ops is " " and names none`, name, "--ops", " "),
  ]));
});

Deno.test("tune keeps its choices, and bench uses them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [cache, json] = [`${folder}/variants.json`, `${folder}/bench.json`];
    const conv = ["--ops", "conv2d_bwd_filter", "--filter"];
    const tuned = await task("tune", ...conv, "pixels64 taps1 stride1 C512 K128", "--cache", cache);
    const { classes, cache: kept, adapter: tunedOn } = lastLine(tuned);
    assertEquals([classes, kept], [1, cache]);
    const { choices, adapter, deno } = JSON.parse(await Deno.readTextFile(cache));
    assertEquals(choices.length, 1);
    assertEquals([choices[0].op, choices[0].shape_class], [
      "conv2d_bwd_filter",
      "pixels64 taps1 stride1 C512 K128",
    ]);
    assert(choices[0].ms > 0 && choices[0].ms <= choices[0].default_ms);
    assertEquals([deno, adapter.description], [Deno.version.deno, tunedOn]);

    const timed = await task(
      "bench",
      ...conv,
      "conv5 reduce",
      "--time",
      "0.02",
      "--variants",
      cache,
      "--json",
      json,
    );
    assertEquals(timed.code, 0, timed.stderr);
    assertMatch(timed.stdout, /^adapter: /m);
    assertStringIncludes(timed.stdout, `variants: 1 tuned ones of ${cache}`);
    assertMatch(
      timed.stdout,
      /^conv2d_bwd_filter +resnet50 conv5 reduce +[\d.]+ +[\d.]+ +[\d.]+x +[\d.]+ GF\/s/m,
    );
    const file = JSON.parse(await Deno.readTextFile(json));
    assertEquals(Object.keys(file), [
      "adapter",
      "peak_gflops",
      "bandwidth_gbs",
      "versions",
      "date",
      "finished",
      "results",
    ]);
    assertEquals(file.finished, true);
    assert(file.peak_gflops > 0 && file.bandwidth_gbs > 0);
    assertEquals(Object.keys(file.results[0]).sort(), [
      "case",
      "dispatches",
      "gflops",
      "op",
      "ours_ms",
      "percent_of_roofline",
      "ratio",
      "samples",
      "stock_ms",
    ]);

    await Deno.writeTextFile(
      cache,
      JSON.stringify({ adapter: { description: "another" }, deno: "1", choices }),
    );
    const other = `Cannot use ${cache}: tuned variants of another under Deno 1`;
    const tune = ["tune", ...conv, "pixels64 taps1 stride1 C512 K128", "--cache"] as const;
    await assertRefused(other, ...tune, cache);
    await assertRefused(`; delete ${cache} or give another --cache`, ...tune, cache);
    await assertRefused(
      other,
      "bench",
      ...conv,
      "conv5 reduce",
      "--variants",
      cache,
    );
    await Deno.writeTextFile(cache, "[]");
    await assertRefused(`Cannot use ${cache}: tuned variants: expected`, ...tune, cache);
    await assertRefused(
      `Cannot use ${cache}: tuned variants: expected`,
      "profile",
      "--kernel",
      "gelu",
      "--shape",
      "8,8",
      "--variants",
      cache,
    );
    await Deno.writeTextFile(cache, "{");
    await assertRefused(`Cannot read ${cache}`, ...tune, cache);
    await assertRefused(
      `Cannot read ${folder}: Is a directory`,
      "bench",
      ...conv,
      "conv5 reduce",
      "--variants",
      folder,
    );
    await assertRefused(
      "there is no such file; run deno task tune",
      "bench",
      ...conv,
      "conv5 reduce",
      "--variants",
      `${folder}/none.json`,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
