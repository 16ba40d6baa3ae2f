import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { BenchResult } from "../../../kernels/runtime/bench_case.ts";
import { changeText, compareCase, LEAST_CHANGE, missingFrom, tally } from "../../../tasks/bench/compare.ts";
import { type BenchFile, type FileResult, fileText } from "../../../tasks/bench/file.ts";
import { lastLine, messageOf, task, taskCommand } from "../_task.ts";

/** A case whose ours takes so many milliseconds, scattered by so much, where stock takes 10. */
function result(ms: number, scatter: number, { load = 1, op = "conv2d" } = {}): BenchResult {
  const ours = [0, 1, -1, 2, -2].map((step) => load * ms * Math.exp(scatter * step));
  const samples = { ours, stock: ours.map(() => 10 * load) };
  return {
    op,
    case: "small [2,3]",
    ours_ms: load * ms,
    stock_ms: 10 * load,
    ratio: 10 / ms,
    gflops: null,
    percent_of_roofline: null,
    dispatches: { ours: 1, stock: 1 },
    samples,
  };
}

const old = (...results: BenchResult[]) => ({ results });

Deno.test("a change counts beyond 5 % and beyond twice the spread of both runs", () => {
  const verdictOf = (was: BenchResult, is: BenchResult) => compareCase(is, old(was))!.verdict;
  assertEquals(verdictOf(result(1, 0), result(1.04, 0)), "same");
  assertEquals(verdictOf(result(1, 0), result(1.06, 0)), "regression");
  assertEquals(verdictOf(result(1.06, 0), result(1, 0)), "gain");
  assertEquals(verdictOf(result(1, 0), result(0.96, 0)), "same");
  // Spread 1.4826 * 0.05 of the new run alone: 2 spreads are e^0.148 = 1.16; of both, e^0.21 = 1.233.
  assertEquals(verdictOf(result(1, 0), result(1.15, 0.05)), "same");
  assertEquals(verdictOf(result(1, 0), result(1.17, 0.05)), "regression");
  assertEquals(verdictOf(result(1, 0.05), result(1.22, 0.05)), "same");
  assertEquals(verdictOf(result(1, 0.05), result(1.24, 0.05)), "regression");
  assertEquals(verdictOf(result(1.24, 0.05), result(1, 0.05)), "gain");
});

Deno.test("a machine that is twice as slow is no regression; a case that was not measured is new", () => {
  const change = compareCase(result(1.5, 0, { load: 2 }), old(result(1, 0, { op: "gru" }), result(1.5, 0)))!;
  assertEquals([change.verdict, change.old_ms], ["same", 1.5]);
  assertAlmostEquals(change.change, 0, 1e-12);
  assertAlmostEquals(change.noise, LEAST_CHANGE, 1e-12);
  const added = compareCase(result(1, 0), old(result(1, 0, { op: "gru" })));
  assertEquals([added, changeText(added)], [undefined, "new"]);
  const slower = compareCase(result(1.5, 0), old(result(1, 0)))!;
  const faster = compareCase(result(0.5, 0), old(result(1, 0)))!;
  assertEquals([slower, faster].map(changeText), ["+50.0 % ±5.0 SLOWER", "−50.0 % ±5.0 faster"]);
  assertEquals(tally([change, added, slower, faster, faster]), { regression: 1, gain: 2, same: 1, new: 1 });
});

Deno.test("what only stock moved is no verdict, nor what ours moved within its own noise or the other way", () => {
  const of = (ours: number, stock: number, scatter = 0): BenchResult => {
    const base = result(ours, 0);
    const factors = [0, 1, -1, 2, -2].map((step) => Math.exp(scatter * step));
    const samples = { ours: factors.map((f) => f * ours), stock: factors.map((f) => f * stock) };
    return { ...base, ours_ms: ours, stock_ms: stock, samples };
  };
  const changeOf = (was: BenchResult, is: BenchResult) => compareCase(is, old(was))!;
  const alone = changeOf(of(1, 10), of(1.04, 4));
  assertEquals([alone.verdict, changeText(alone)], ["same", "+160.0 % ±5.0 stock"]);
  assertEquals(changeOf(of(1, 10), of(1.04, 30)).verdict, "same");
  assertEquals(changeOf(of(1, 10), of(1.06, 4)).verdict, "regression");
  assertEquals(changeOf(of(1, 10), of(0.94, 30)).verdict, "gain");
  assertEquals(changeOf(of(1, 10), of(0.5, 3)).verdict, "same"); // faster, but by less than stock
  assertEquals(changeOf(of(1, 10), of(2, 30)).verdict, "same");
  // Both scatter together: the ratio does not, ours by 1.4826 * 0.2 in each run, and 2 spreads are e^0.839 = 2.31.
  const layerNorm = changeOf(of(1.05, 263, 0.2), of(1.66, 95, 0.2));
  assertEquals([layerNorm.verdict, changeText(layerNorm)], ["same", "+337.7 % ±5.0 stock"]);
  assertEquals(changeOf(of(1, 10, 0.2), of(2.2, 10, 0.2)).verdict, "same");
  assertEquals(changeOf(of(1, 10, 0.2), of(2.4, 10, 0.2)).verdict, "regression");
});

Deno.test("cases that are gone are found", () => {
  const before = [result(1, 0), result(1, 0, { op: "gru" })];
  assertEquals(missingFrom([result(2, 0)], { results: before }), [before[1]]);
  assertEquals(missingFrom(before, { results: before }), []);
});

const ADAPTER = { description: "another", vendor: "", architecture: "", device: "", software: true };

/** A file of an earlier run. */
function fileOf(results: readonly FileResult[], description: string): string {
  const adapter = { ...ADAPTER, description, features: [], limits: {} };
  return fileText({ adapter, peak_gflops: 1, bandwidth_gbs: 1, results });
}

Deno.test("the file: five digits, a case's samples on one line", () => {
  const text = fileOf([result(1 / 3, 0.1)], "another");
  assertMatch(text, /^ +"ours": \[0\.33333, 0\.36839, [\d., ]+\],$/m);
  const [{ samples, ...rest }] = JSON.parse(text).results;
  const { samples: _, ...expected } = result(1 / 3, 0.1);
  assertEquals([rest, samples.stock], [expected, [10, 10, 10, 10, 10]]);
});

Deno.test("bench --compare: a slower case, another adapter, and what is no file of a bench", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [path, json] = [`${folder}/old.json`, `${folder}/new.json`];
    const bench = (...more: string[]) =>
      task("bench", "--ops", "gelu", "--filter", "of the demo", "--time", "0.01", ...more);
    const first = lastLine(await bench("--json", json));
    const measured: BenchFile = JSON.parse(await Deno.readTextFile(json));
    assertEquals([measured.finished, measured.results.length, first.cases], [true, 1, 1]);

    // As if ours had taken no time at all before: nothing is as fast.
    const [now] = measured.results;
    const samples = { ...now.samples, ours: now.samples.ours.map(() => 0) };
    await Deno.writeTextFile(path, fileOf([{ ...now, samples }], measured.adapter.description));
    const compared = await bench("--compare", path, "--json", json);
    assertEquals(lastLine(compared).regressions, 1);
    assertMatch(compared.stdout, /^SLOWER: gelu cnn_transformer of the demo.* SLOWER$/m);
    const kept: BenchFile = JSON.parse(await Deno.readTextFile(json));
    assertEquals(kept.compared_with, { file: path, date: null });
    assertEquals(kept.results[0].change?.verdict, "regression");
    const failed = messageOf(await bench("--compare", path, "--fail-on-regression"));
    assertStringIncludes(failed, `1 of 1 cases are slower than in ${path}`);
    assertEquals(lastLine(await task("report", json, "--out", `${folder}/r.html`)).kind, "bench");
    const page = await Deno.readTextFile(`${folder}/r.html`);
    assertStringIncludes(page, "Since an earlier run");
    assertStringIncludes(page, "1 slower, 0 faster");

    await Deno.writeTextFile(path, fileOf(measured.results, "another"));
    const other = messageOf(await bench("--compare", path));
    assertStringIncludes(other, `it was measured on another, and this is ${measured.adapter.description}`);
    assertEquals(lastLine(await bench("--compare", path, "--other-adapter")).new, 0);

    await Deno.writeTextFile(path, fileOf([{ ...now, op: 1 as unknown as string }], "x"));
    await Deno.symlink(json, `${folder}/link.json`);
    const refused: [string, string[]][] = [
      ["results.0.op", ["--compare", path]],
      ["there is no such file", ["--compare", `${folder}/none.json`]],
      ["--json is the file to compare with", ["--compare", json, "--json", json]],
      ["--json is the file to compare with", ["--compare", json, "--json", `${folder}/./none/../new.json`]],
      ["--json is the file to compare with", ["--compare", json, "--json", `${folder}/link.json`]],
      ["--fail-on-regression is without --compare", ["--fail-on-regression"]],
      ["--other-adapter is without --compare", ["--other-adapter"]],
      ["--history goes without --ops and --filter", ["--history", "x"]],
    ];
    for (const [message, flags] of refused) assertStringIncludes(messageOf(await bench(...flags)), message);
    const history = async (...flags: string[]) =>
      messageOf(await task("bench", "--history", ...flags, "--dry-run"));
    assertStringIncludes(await history("a/b"), "a file's name");
    for (
      const path of ["./bench/none.json", `${new URL("../../../", import.meta.url).pathname}bench/none.json`]
    ) {
      assertStringIncludes(await history("none", "--json", path), "--json is the file to compare with");
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("bench --json: an interrupted bench keeps what it has measured", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const json = `${folder}/bench.json`;
    const child = taskCommand("bench", "--ops", "layer_norm,gelu,dropout", "--time", "0.01", "--json", json)
      .spawn();
    let text = "";
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      const had = /^layer_norm .*^layer_norm /ms.test(text);
      text += part;
      if (!had && /^layer_norm .*^layer_norm /ms.test(text)) child.kill("SIGINT"); // one is kept, the second printed
    }
    await child.stderr.cancel();
    assertEquals((await child.status).code, 130, text);
    assertEquals(JSON.parse(text.trim().split("\n").at(-1)!), { task: "bench", interrupted: true });
    const { finished, results }: BenchFile = JSON.parse(await Deno.readTextFile(json));
    assertEquals(finished, false);
    assert(results.length >= 1 && results[0].samples.ours.length > 0, `${results.length} results`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
