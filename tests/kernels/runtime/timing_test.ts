import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { register } from "../../../kernels/mod.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals, currentTraits, release, run } from "../../../kernels/runtime/program.ts";
import {
  countDispatches,
  type DispatchRecord,
  median,
  startTiming,
  timeByDifference,
  timeDispatches,
  totalMs,
} from "../../../kernels/runtime/timing.ts";
import { SEVERAL } from "./_several.ts";
import roundsSource from "./shaders/rounds.wgsl" with { type: "text" };

await initializeDevice();
register();

const SHADER = { file: "shaders/rounds.wgsl", source: roundsSource };
const SIZE = 4096;
const x = tf.ones([SIZE]);

function work(ROUNDS: number): void {
  const [y] = run({
    shader: SHADER,
    constants: { ROUNDS },
    inputs: [x],
    outputs: [{ shape: [SIZE] }],
    workgroups: [SIZE / 8],
    flops: SIZE * ROUNDS,
  });
  release(y);
}
work(1); // uploads and compiles
work(1024);

/** No two commands overlap, and none is outside the whole. */
function assertInOrder(records: readonly DispatchRecord[]): void {
  assertEquals(records[0].start, 0);
  records.forEach(({ start, ns }, i) => {
    assert(ns >= 0 && start >= 0, `record ${i}: start ${start}, ${ns} ns`);
    const next = records[i + 1];
    if (next) {
      assert(start + ns <= next.start, `record ${i} ends at ${start + ns}, the next begins at ${next.start}`);
    }
  });
}

Deno.test("a record for each dispatch: ours, tfjs's own, copies", async () => {
  const a = tf.ones([64, 1024]);
  const b = tf.add(a, a);
  const { value, records } = await timeDispatches(async () => {
    work(1024);
    const sum = tf.add(a, b);
    const values = await sum.data(); // copies to where it can be read
    sum.dispose();
    return values[5];
  });
  assertEquals(value, 3);
  assertEquals(records.map(({ kind }) => kind), ["ours", "stock", "copy"]);
  const [ours, stock, copy] = records;
  const { start: _start, ns: _ns, recorded: _recorded, ...described } = ours;
  assertEquals(described, {
    kind: "ours",
    name: "shaders/rounds.wgsl",
    shapes: [[SIZE]],
    variant: { ROUNDS: 1024 },
    flops: SIZE * 1024,
    bytes: 2 * 4 * SIZE,
    allocated: 4 * SIZE,
    workgroups: [SIZE / 8],
    scope: undefined,
  });
  assertEquals([stock.name, stock.shapes, stock.flops, stock.bytes], [
    "BinaryOpProgram",
    [],
    undefined,
    undefined,
  ]);
  assertEquals(copy.bytes, 2 * 4 * 64 * 1024);
  assertEquals(stock.allocated, 4 * 64 * 1024);
  assertInOrder(records);
  tf.dispose([a, b]);
});

Deno.test("the bytes of parts: each part of a tensor once, the rest of one from an offset on", async () => {
  const x = tf.tidy(() => tf.range(0, 128).add(0));
  const { records } = await timeDispatches(() => {
    const [sum, numbers] = run({
      shader: SEVERAL,
      inputs: [{ tensor: x, offset: 256, size: 16 }, { tensor: x, offset: 256, size: 16 }],
      outputs: [{ shape: [4] }, { shape: [4], dtype: "int32" }],
      uniforms: { row: 8, a_first: 0, shift: 0, scale: 1, count: 4 },
      workgroups: [1],
    });
    const others = run({
      shader: SEVERAL,
      inputs: [{ tensor: x, offset: 256 }, x],
      outputs: [{ shape: [64] }, { shape: [64], dtype: "int32" }],
      uniforms: { row: 64, a_first: 0, shift: 0, scale: 1, count: 64 },
      workgroups: [8],
    });
    [sum, numbers, ...others].forEach(release);
  });
  assertEquals(records.map(({ bytes }) => bytes), [16 + 16 + 16, 256 + 512 + 256 + 256]);
  x.dispose();
});

Deno.test("longer work takes longer; the parts are within the whole", async () => {
  const { records } = await timeDispatches(() => {
    for (let i = 0; i < 10; i++) {
      work(1);
      work(1024);
    }
  });
  assertInOrder(records);
  const times = (ROUNDS: number) =>
    records.filter(({ variant }) => variant.ROUNDS === ROUNDS).map(({ ns }) => ns);
  assertEquals(times(1).length, 10);
  assert(median(times(1024)) > 4 * median(times(1)), `${times(1024)} and ${times(1)}`);
  const last = records[records.length - 1];
  const [parts, whole] = [totalMs(records), (last.start + last.ns) / 1e6];
  assert(parts <= whole && parts > 0.5 * whole, `${parts} of ${whole} ms`);
});

Deno.test("more dispatches than a query set holds", async () => {
  const { records } = await timeDispatches(() => {
    for (let i = 0; i < 2100; i++) work(1);
  });
  assertEquals(records.length, 2100);
  assertInOrder(records);
});

Deno.test("a session without commands", async () => {
  assertEquals(await timeDispatches(() => 7), { value: 7, records: [] });
});

Deno.test("one session at a time; a failed one leaves nothing behind", async () => {
  const batch = tf.env().get("WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE");
  const session = startTiming();
  assertThrows(() => startTiming(), Error, "Cannot watch commands: a timing, counting or capturing session");
  session.cancel();
  const next = startTiming();
  session.cancel(); // again: it does not end the next
  assertEquals(tf.env().get("WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE"), Infinity);
  work(1);
  assertEquals(next.count, 1);
  next.cancel();
  await assertRejects(
    () =>
      timeDispatches(() => {
        work(1);
        throw new RangeError("no");
      }),
    RangeError,
    "no",
  );
  assert(!Object.hasOwn(backendInternals(), "ensureCommandEncoderReady"));
  assertEquals(tf.env().get("WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE"), batch);
  const { records } = await timeDispatches(() => work(1));
  assertEquals(records.length, 1);
});

Deno.test("dispatches and copies are counted", () => {
  const filter = tf.ones<tf.Rank.R4>([1, 1, 4, 4]);
  const image = tf.ones<tf.Rank.R4>([1, 2, 2, 4]);
  tf.dispose([tf.conv2d(image, filter, 1, 0), tf.add(x, x)]); // uploads
  const { value, ...counts } = countDispatches(() => {
    work(1);
    work(1);
    tf.dispose([tf.conv2d(image, filter, 1, 0), tf.add(x, x)]);
    return 5;
  });
  assertEquals(value, 5);
  assertEquals([counts.ours, counts.stock], [3, 1]);
  assertEquals(countDispatches(() => {}), { value: undefined, ours: 0, stock: 0, copies: 0 });
  tf.dispose([filter, image]);
});

Deno.test("by difference: the time of a run without the wait", async () => {
  // The host learns up to 10 ms late that all is done: the long runs take far more than that on a GPU too.
  const [short, long] = [
    await timeByDifference(() => work(1)),
    await timeByDifference(() => work(currentTraits().software ? 2048 : 2 ** 20)),
  ];
  assert(long > short, `${long} and ${short} ms`);
});

Deno.test("the median", () => {
  assertEquals(median([3]), 3);
  assertEquals(median([9, 1, 5]), 5);
  assertEquals(median([1, 2, 10, 4]), 3);
});
