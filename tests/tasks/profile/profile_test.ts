import { assert, assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { register } from "../../../kernels/mod.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import type { DispatchRecord } from "../../../kernels/runtime/timing.ts";
import { workloadOptions } from "../../../tasks/profile/flags.ts";
import { type Measurement, measureSteps } from "../../../tasks/profile/measure.ts";
import { partLines, rowTable, summarize, verdict } from "../../../tasks/profile/summary.ts";
import { toTrace } from "../../../tasks/profile/trace.ts";
import { createWorkload } from "../../../tasks/profile/workload.ts";
import { readTrace, walk } from "./_trace.ts";

await initializeDevice();
register();

const PEAKS = { gflops: 100, bandwidth: 10 };
const { signal } = new AbortController();

/** Two steps of three commands each of 1 ms, with gaps of 0.5 ms and a wait of 2 ms between the steps: 10 ms. */
function measurement(whole: number, lateness = 0): Measurement {
  const record = (start: number, i: number): DispatchRecord => ({
    kind: i % 3 === 2 ? "copy" : "ours",
    name: i % 3 === 2 ? "copy" : "a.wgsl",
    shapes: [],
    variant: {},
    start: 1e6 * start,
    ns: 1e6,
    flops: 1e6,
    allocated: 0,
    recorded: 0,
    scope: { path: ["step", i % 3 === 0 ? "first" : "second"], backward: false },
  });
  const step = { recording: 1, submitting: 1, submitted: 0 };
  return {
    records: [0, 1.5, 3, 6, 7.5, 9].map(record),
    steps: [{ from: 0, to: 3, ...step }, { from: 3, to: 6, ...step }],
    slices: [],
    deviceStart: 0,
    whole,
    lateness,
    usual: { wall: 4, host: 1 },
  };
}

Deno.test("parts of a step: kernels, copies, gaps, waits; the rows' shares are of all but the waits", () => {
  const profile = summarize(measurement(10), PEAKS);
  const { parts, kernels, layers } = profile;
  assertEquals([parts.kernels_ms, parts.copies_ms, parts.gaps_ms, parts.waits_ms], [2, 1, 1, 1]);
  assertEquals([parts.sum_ms, parts.whole_ms, parts.median_gap_ms, parts.agrees], [5, 5, 0.5, true]);
  assertEquals(kernels.map(({ name, share }) => [name, share]), [["a.wgsl", 0.5], ["copy", 0.25]]);
  assertEquals(layers.map(({ name, total_ms }) => [name, total_ms]), [["second", 2], ["first", 1]]);
  assertEquals(kernels[0].gflops, 1);
  const table = rowTable("kernel", kernels, 9, parts);
  assertEquals(table.map(([name]) => name), [
    "kernel",
    "a.wgsl",
    "copy",
    "(gaps between passes)",
    "(the step on the device)",
  ]);
  const shares = table.slice(1).map((row) => parseFloat(row[5]));
  assertEquals(shares[0] + shares[1] + shares[2], shares[3]);
  assertMatch(
    partLines(profile).join("\n"),
    /gaps between passes +1\.00 ms +20\.0 %.*500\.0 us in the middle/,
  );
});

Deno.test("the sum of the parts and the whole, which another clock measured: said when they differ", () => {
  const of = (measured: Measurement) => {
    const { parts, steps } = summarize(measured, PEAKS);
    return { agrees: parts.agrees, said: verdict(parts, steps) };
  };
  const words: [number, number, boolean | null, RegExp][] = [
    [10.4, 0, true, /agree within 5 %: 3\.8 % apart/],
    [9.6, 0, true, /agree/],
    [11, 0, false, /THE PARTS ARE 9\.1 % LESS THAN THE WHOLE/],
    [9, 0, false, /THE PARTS ARE 11\.1 % MORE THAN THE WHOLE/],
    [11, 1, null, /9\.1 % apart, TOO SHORT TO TELL .* 1\.00 ms late/],
    [13, 1, false, /LESS/], // more than lateness explains
    [9, 1, false, /MORE/], // which lateness never makes
  ];
  for (const [whole, lateness, agrees, text] of words) {
    const found = of(measurement(whole, lateness));
    assertEquals(found.agrees, agrees, `whole ${whole}, lateness ${lateness}`);
    assertMatch(found.said, text);
  }
  // Commands that overlap are counted twice, and no gap makes up for it.
  const overlapping = measurement(10);
  const records = overlapping.records.map((record, i) => i === 1 ? { ...record, ns: 3e6 } : record);
  assertEquals(of({ ...overlapping, records }).agrees, false);
});

Deno.test("a network's step: its parts make up its whole; its trace has nested layers in named lanes", async () => {
  const workload = createWorkload(
    await workloadOptions("profile", {
      run: undefined,
      set: [],
      model: "cnn",
      preset: "tiny",
      batch: 4,
      width: 4,
      size: 32,
      mode: "train",
    }),
  );
  try {
    let measured = await measureSteps(workload, undefined, signal);
    for (let i = 0; i < 4 && summarize(measured, PEAKS).parts.agrees !== true; i++) { // another program was in between
      measured = await measureSteps(workload, undefined, signal);
    }
    const { parts, dispatches } = summarize(measured, PEAKS);
    assert(parts.agrees, verdict(parts, measured.steps.length));
    assert(parts.gaps_ms > 0 && parts.kernels_ms > 0);
    assert(Number.isInteger(dispatches.ours) && dispatches.ours > 300, `${dispatches.ours} a step`);

    const lanes = readTrace(JSON.stringify(toTrace(measured, {})));
    assertEquals(lanes.map(({ process, name }) => [process, name]), [
      ["Fervid", "host: recording"],
      ["Fervid", "device"],
    ]);
    const [host, device] = lanes.map(({ slices }) => [...walk(slices)]);
    const commands = device.filter(({ slice }) => slice.cat !== "layer");
    assertEquals(commands.map(({ slice }) => slice.name), measured.records.map(({ name }) => name));
    commands.forEach(({ slice, path }, i) => {
      const { ns, scope } = measured.records[i];
      assertEquals(slice.inner, [], slice.name);
      assertAlmostEquals(slice.end - slice.start, ns, 1000); // rounded, and cut where passes overlap
      const [step, ...layers] = scope!.path;
      assertEquals(path, [step, scope!.backward ? "backward" : "forward", ...layers]);
    });
    const steps = measured.steps.map((_, i) => `step ${i + 1}`);
    assertEquals(lanes[1].slices.map(({ name }) => name), steps);
    assertEquals(host.filter(({ slice }) => slice.cat === "step").map(({ slice }) => slice.name), steps);
    const layer = host.find(({ slice }) => slice.name === "conv2_1_1x1_reduce")!;
    assertEquals(layer.path, ["step 1", "conv2_1"]);
    assertEquals(host.filter(({ slice }) => slice.cat === "submit").length, steps.length);
  } finally {
    workload.dispose();
  }
});

Deno.test("a trace of a long measurement begins at its first slice, however many there are", () => {
  const slice = (start: number) => ({ path: ["step 1", "layer"], backward: false, start, end: start });
  const slices = Array.from({ length: 300_000 }, (_, i) => slice(i === 200_000 ? -2 : i));
  const { traceEvents } = toTrace({ ...measurement(10), slices }, {});
  assertEquals(traceEvents.filter(({ ph }) => ph === "X").length, slices.length + 2 + 12);
  const least = traceEvents.reduce((least, { ts = 0 }) => Math.min(least, ts), Infinity);
  assertEquals(least, 0);
});

Deno.test("the reader of traces refuses what is no nesting, and lanes without names", () => {
  const lane = { ph: "M", name: "thread_name", pid: 1, tid: 1, args: { name: "lane" } };
  const process = { ph: "M", name: "process_name", pid: 1, tid: 0, args: { name: "process" } };
  const slice = (ts: number, dur: number) => ({ ph: "X", name: "s", cat: "c", pid: 1, tid: 1, ts, dur });
  const read = (...traceEvents: unknown[]) => () => readTrace(JSON.stringify({ traceEvents }));
  assertThrows(read(process, lane, slice(0, 2), slice(1, 2)), Error, "sticks out");
  assertThrows(read(process, slice(0, 2)), Error, "has no name");
  assertThrows(read(lane, slice(0, 2)), Error, "has no name");
  assertThrows(read(process, lane, slice(0, NaN)), Error, "dur");
});
