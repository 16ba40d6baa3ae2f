import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../../", import.meta.url).pathname;
const CONFIG = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));

/** Runs a task's command line as deno.json has it, with its permissions. */
async function task(name: string, ...args: string[]) {
  const [, ...words] = (CONFIG.tasks[name].command as string).split(" ");
  const command = new Deno.Command("deno", {
    args: [...words, ...args],
    cwd: ROOT,
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await command.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err, last: () => JSON.parse(out.trim().split("\n").at(-1)!) };
}

async function assertRefused(message: string, name: string, ...args: string[]) {
  const { code, err } = await task(name, ...args);
  assertEquals(code, 1, err);
  assertStringIncludes(err, message);
}

Deno.test("bench and tune: an unknown op, and a filter that nothing matches", async () => {
  await Promise.all(["bench", "tune"].flatMap((name) => [
    assertRefused(`Cannot run ${name}: --ops has "conv2d_fw"; expected some of`, name, "--ops", "conv2d_fw"),
    assertRefused("did you mean conv2d_fwd?", name, "--ops", "conv2d_fw"),
    assertRefused('contains "nowhere"', name, "--filter", "nowhere"),
  ]));
});

Deno.test("tune keeps its choices, and bench uses them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [cache, json] = [`${folder}/variants.json`, `${folder}/bench.json`];
    const conv = ["--ops", "conv2d_bwd_filter", "--filter"];
    const tuned = await task("tune", ...conv, "pixels64 taps1 stride1 C512 K128", "--cache", cache);
    assertEquals(tuned.code, 0, tuned.err);
    assertEquals([tuned.last().classes, tuned.last().cache], [1, cache]);
    const { choices, adapter, deno } = JSON.parse(await Deno.readTextFile(cache));
    assertEquals(choices.length, 1);
    assertEquals([choices[0].op, choices[0].shape_class], [
      "conv2d_bwd_filter",
      "pixels64 taps1 stride1 C512 K128",
    ]);
    assert(choices[0].ms > 0 && choices[0].ms <= choices[0].default_ms);
    assertEquals([deno, adapter.description], [Deno.version.deno, tuned.last().adapter]);

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
    assertEquals(timed.code, 0, timed.err);
    assertMatch(timed.out, /^adapter: /m);
    assertStringIncludes(timed.out, `variants: 1 tuned ones of ${cache}`);
    assertMatch(
      timed.out,
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
    await assertRefused(
      "Cannot use tuned variants of another under Deno 1",
      "bench",
      ...conv,
      "conv5 reduce",
      "--variants",
      cache,
    );
    await Deno.writeTextFile(cache, "{");
    await assertRefused(
      `Cannot read ${cache}`,
      "tune",
      ...conv,
      "pixels64 taps1 stride1 C512 K128",
      "--cache",
      cache,
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
