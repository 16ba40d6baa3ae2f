/**
 * Per-dispatch times by timestamp queries, and counts, of our dispatches and of tfjs's own.
 *
 * While a session is open each dispatch runs in a compute pass of its own, which writes a timestamp at its begin and
 * one at its end; a copy between buffers stands between two empty passes. All are read at once when the session ends.
 *
 * @module
 */
import { awaken } from "./awake.ts";
import { boundBytes, boundOf, inputOf } from "./dispatch.ts";
import { backendInternals, type Dispatch, hookCommands, submit } from "./program.ts";
import { currentScope, type Scope } from "./scope.ts";
import type { Constants } from "./wgsl.ts";

/** One dispatch or copy on the device. */
export interface DispatchRecord {
  readonly kind: "ours" | "stock" | "copy";
  /** our shader's file, tfjs's program, or `copy` */
  readonly name: string;
  /** of our outputs */
  readonly shapes: readonly (readonly number[])[];
  /** our shader's constants */
  readonly variant: Constants;
  /** nanoseconds from the session's first dispatch to this one's begin */
  readonly start: number;
  /** nanoseconds */
  readonly ns: number;
  /** floating-point operations, where the op tells */
  readonly flops?: number;
  /** bytes of our inputs and outputs, and of a copy's two sides: each counted once */
  readonly bytes?: number;
  /** bytes of the storage buffers that were taken for it, its inputs' uploads included */
  readonly allocated: number;
  /** of our dispatch */
  readonly workgroups?: readonly [number, number?, number?];
  /** when the host recorded it: milliseconds of `performance.now()` */
  readonly recorded: number;
  /** the layer that it is of, while scopes are traced */
  readonly scope?: Scope;
}

type Command = Omit<DispatchRecord, "start" | "ns">;

/** Timestamps that one query set holds at most. */
const SET_SIZE = 4096;
const BYTES = 8; // of a timestamp

/** An open session; see {@link startTiming}. */
export interface TimingSession {
  /** dispatches and copies so far: marks a place in the records */
  readonly count: number;
  /** submits, reads all timestamps (one wait) and closes the session */
  finish(): Promise<DispatchRecord[]>;
  /**
   * After `finish` and some more waits: when the first command began by the host's clock, in milliseconds of
   * `performance.now()`, up to the least time that a submission takes to begin.
   */
  hostStart(): Promise<number>;
  /** closes the session without reading */
  cancel(): void;
}

/**
 * Starts timing each dispatch and copy, of ours and of tfjs.
 *
 * @throws {Error} if the adapter has no timestamp queries, or a session is open
 */
export function startTiming(): TimingSession {
  const { device } = backendInternals();
  if (!canTime()) throw new Error("Cannot time dispatches: the adapter has no feature timestamp-query");
  const commands: Command[] = [];
  const sets: GPUQuerySet[] = [];
  /** The set and the place of the next two timestamps. */
  const place = () => {
    const at = (2 * commands.length) % SET_SIZE;
    if (at === 0) sets.push(device.createQuerySet({ type: "timestamp", count: SET_SIZE }));
    return { querySet: sets[sets.length - 1], at };
  };
  const note = (): Pick<Command, "allocated" | "recorded" | "scope"> => ({
    allocated: allocations.take(),
    recorded: performance.now(),
    scope: currentScope(),
  });
  let first = 0n;
  const unhook = hookCommands({
    onDispatch(name, dispatch, record) {
      const { querySet, at } = place();
      commands.push({ ...describe(name, dispatch), ...note() });
      record({ querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 });
    },
    onCopy(bytes, record, stamp) {
      const { querySet, at } = place();
      commands.push({ kind: "copy", name: "copy", shapes: [], variant: {}, bytes: 2 * bytes, ...note() });
      stamp({ querySet, endOfPassWriteIndex: at });
      record();
      stamp({ querySet, beginningOfPassWriteIndex: at + 1 });
    },
  });
  const allocations = countAllocations();
  const close = () => {
    unhook();
    allocations.stop();
    sets.forEach((set) => set.destroy());
  };
  return {
    get count() {
      return commands.length;
    },
    async finish() {
      try {
        unhook(); // submits
        const [times, tick] = [
          await readTimestamps(device, sets, 2 * commands.length),
          await nsPerTick(device),
        ];
        const ns = (from: number, to: number) => Number(times[to] - times[from]) * tick;
        first = times[0] ?? 0n;
        return commands.map((command, i) => ({ ...command, start: ns(0, 2 * i), ns: ns(2 * i, 2 * i + 1) }));
      } finally {
        close();
      }
    },
    async hostStart() {
      const tick = await nsPerTick(device);
      const starts: number[] = [];
      for (let i = 0; i < STAMPS; i++) {
        const { host, ticks } = await stamp(device);
        starts.push(host - Number(ticks - first) * tick / 1e6);
      }
      return Math.max(...starts); // the stamp whose pass began soonest
    },
    cancel: close,
  };
}

/** Bytes of storage that tfjs's buffer manager hands out, reused buffers included. */
function countAllocations() {
  const { bufferManager } = backendInternals();
  const acquire = bufferManager.acquireBuffer;
  let bytes = 0;
  const counting: typeof acquire = (size, usage, ...rest) => {
    if (usage & GPUBufferUsage.STORAGE) bytes += size;
    return acquire.call(bufferManager, size, usage, ...rest);
  };
  bufferManager.acquireBuffer = counting; // an own method hides the prototype's
  return {
    /** since it was last asked */
    take() {
      const taken = bytes;
      bytes = 0;
      return taken;
    },
    stop() {
      if (bufferManager.acquireBuffer !== counting) return;
      delete (bufferManager as Partial<typeof bufferManager>).acquireBuffer;
    },
  };
}

/** True if the device has timestamp queries. */
export function canTime(): boolean {
  return backendInternals().device.features.has("timestamp-query");
}

type Description = Omit<Command, "allocated" | "recorded" | "scope">;

function describe(name: string, dispatch: Dispatch | undefined): Description {
  if (dispatch === undefined) return { kind: "stock", name, shapes: [], variant: {} };
  const { inputs, outputs, constants = {}, flops, workgroups } = dispatch;
  const given = inputs.map(inputOf);
  const written = boundOf([], outputs);
  // Once for each part of a tensor: what a shader does not use is bound to another one's buffer.
  const read = given.filter(({ tensor: { dataId }, offset }, i) =>
    given.findIndex((other) => other.tensor.dataId === dataId && other.offset === offset) === i
  );
  const bytes = [...read, ...written].reduce((sum, bound) => sum + boundBytes(bound), 0);
  const shapes = written.map(({ tensor }) => [...tensor.shape]);
  return { kind: "ours", name, shapes, variant: constants, flops, bytes, workgroups };
}

async function readTimestamps(
  device: GPUDevice,
  sets: readonly GPUQuerySet[],
  count: number,
): Promise<BigUint64Array> {
  if (count === 0) return new BigUint64Array(0);
  const size = sets.length * SET_SIZE * BYTES;
  const resolved = device.createBuffer({
    size,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const mapped = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  sets.forEach((set, i) => {
    const used = Math.min(SET_SIZE, count - i * SET_SIZE);
    encoder.resolveQuerySet(set, 0, used, resolved, i * SET_SIZE * BYTES);
  });
  encoder.copyBufferToBuffer(resolved, 0, mapped, 0, size);
  device.queue.submit([encoder.finish()]);
  try {
    await mapped.mapAsync(GPUMapMode.READ, 0, count * BYTES);
    return new BigUint64Array(mapped.getMappedRange(0, count * BYTES).slice(0));
  } finally {
    resolved.destroy();
    mapped.destroy();
  }
}

const ticks = new WeakMap<GPUDevice, Promise<number>>();

/** Moments that are taken to set the two clocks: a submission can be slow to begin. */
const STAMPS = 5;

/** Milliseconds over which ticks are counted; the host's clock is off by a few at either end. */
const CALIBRATION = 200;

/**
 * Nanoseconds of a timestamp's tick. WebGPU says that it is 1; Deno hands out the driver's ticks, which are longer on
 * some GPUs, so they are counted against the host's clock once per device.
 */
function nsPerTick(device: GPUDevice): Promise<number> {
  let result = ticks.get(device);
  if (result === undefined) ticks.set(device, result = measureTick(device));
  return result;
}

async function measureTick(device: GPUDevice): Promise<number> {
  const first = await stamp(device);
  await new Promise((resolve) => setTimeout(resolve, CALIBRATION));
  const last = await stamp(device);
  const measured = (last.host - first.host) * 1e6 / Number(last.ticks - first.ticks);
  return Math.abs(measured - 1) < 0.2 ? 1 : measured;
}

/** One moment by the host's clock, in milliseconds, and by the idle device's. */
async function stamp(device: GPUDevice): Promise<{ host: number; ticks: bigint }> {
  await device.queue.onSubmittedWorkDone();
  const set = device.createQuerySet({ type: "timestamp", count: SET_SIZE });
  const encoder = device.createCommandEncoder();
  encoder.beginComputePass({ timestampWrites: { querySet: set, beginningOfPassWriteIndex: 0 } }).end();
  const host = performance.now();
  device.queue.submit([encoder.finish()]);
  try {
    return { host, ticks: (await readTimestamps(device, [set], 1))[0] };
  } finally {
    set.destroy();
  }
}

/** The result of a body, and what it recorded. */
export interface Timed<T> {
  readonly value: T;
  readonly records: readonly DispatchRecord[];
}

/**
 * Times what a body records, on a GPU that has been brought to its clock.
 *
 * @throws {Error} as {@link startTiming}
 */
export async function timeDispatches<T>(
  body: (session: TimingSession) => T | Promise<T>,
): Promise<Timed<T>> {
  await bringToClock();
  return await timeAtOnce(body);
}

/** Gives an idle GPU work until its clock has settled; before {@link startTiming}. */
export async function bringToClock(): Promise<void> {
  await awaken(async (work) => (await timeAtOnce(work)).records.map(({ ns }) => ns));
}

/** Times what a body records, whatever a GPU's clock is. */
async function timeAtOnce<T>(body: (session: TimingSession) => T | Promise<T>): Promise<Timed<T>> {
  const session = startTiming();
  try {
    const value = await body(session);
    return { value, records: await session.finish() };
  } catch (error) {
    session.cancel();
    throw error;
  }
}

/** Milliseconds of records together. */
export function totalMs(records: readonly DispatchRecord[]): number {
  return records.reduce((sum, { ns }) => sum + ns, 0) / 1e6;
}

/** The middle value; the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Numbers of dispatches and copies. */
export interface DispatchCounts {
  readonly ours: number;
  readonly stock: number;
  readonly copies: number;
}

/** Counts what a body records. */
export function countDispatches<T>(body: () => T): DispatchCounts & { readonly value: T } {
  const counts = { ours: 0, stock: 0, copies: 0 };
  const unhook = hookCommands({
    onDispatch(_name, dispatch, record) {
      counts[dispatch === undefined ? "stock" : "ours"]++;
      record();
    },
    onCopy(_bytes, record) {
      counts.copies++;
      record();
    },
  });
  try {
    return { value: body(), ...counts };
  } finally {
    unhook();
  }
}

/** Milliseconds that a difference is of at least: each wait ends up to 10 of them late. */
const DIFFERENCE = 200;

/**
 * Milliseconds of one run by the wall clock: the time of 5k runs less that of k, so that the wait for the device
 * (at least 10 ms in Deno) drops out; k is as large as that needs. For adapters without timestamp queries.
 */
export async function timeByDifference(body: () => void): Promise<number> {
  const { device } = backendInternals();
  const wall = async (times: number) => {
    submit();
    await device.queue.onSubmittedWorkDone();
    const start = performance.now();
    for (let i = 0; i < times; i++) body();
    submit();
    await device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  for (let k = 1;; k *= 4) {
    const few = await wall(k);
    const difference = await wall(5 * k) - few;
    if (difference >= DIFFERENCE) return difference / (4 * k);
  }
}
