/**
 * A measurement in the trace-event format of Chrome, which Perfetto (ui.perfetto.dev) and chrome://tracing open: the
 * host's lane and the device's, steps and layers as nested slices.
 *
 * @module
 */
import type { DispatchRecord } from "../../kernels/runtime/timing.ts";
import type { Measurement } from "./measure.ts";

/** An event of the format: `X`, a slice with begin and length in microseconds, or `M`, a name. */
export interface TraceEvent {
  readonly ph: "X" | "M";
  readonly name: string;
  readonly cat?: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** The JSON object format. */
export interface TraceFile {
  readonly traceEvents: readonly TraceEvent[];
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, unknown>>;
}

const PROCESS = 1;
const HOST = 1;
const DEVICE = 2;

/** A slice from begin to end, in whole nanoseconds, so that ends meet exactly. */
function slice(
  tid: number,
  name: string,
  cat: string,
  from: number,
  to: number,
  args?: TraceEvent["args"],
): TraceEvent {
  const [start, end] = [Math.round(from), Math.round(to)];
  const event = {
    ph: "X",
    name,
    cat,
    pid: PROCESS,
    tid,
    ts: start / 1000,
    dur: (end - start) / 1000,
  } as const;
  return args ? { ...event, args } : event;
}

function named(what: "process_name" | "thread_name", tid: number, name: string): TraceEvent {
  return { ph: "M", name: what, pid: PROCESS, tid, args: { name } };
}

/** The names around a dispatch: step, direction, layers. */
function pathOf({ scope }: DispatchRecord): readonly string[] {
  if (scope === undefined) return [];
  const [step, ...layers] = scope.path;
  return step === undefined ? [] : [step, scope.backward ? "backward" : "forward", ...layers];
}

function argumentsOf(record: DispatchRecord): Record<string, unknown> {
  const { kind, shapes, variant, flops, bytes, ns, allocated, workgroups } = record;
  return {
    kind,
    ...(kind === "ours"
      ? { outputs: shapes.map((shape) => `[${shape}]`).join(" "), variant, workgroups }
      : {}),
    ...(flops ? { gflops: Number((flops / ns).toPrecision(4)) } : {}),
    ...(bytes ? { bytes, gbs: Number((bytes / ns).toPrecision(4)) } : {}),
    allocated,
  };
}

/**
 * The device's lane: a slice a command, in slices of what consecutive commands have in common. A lane holds one slice at
 * a time: where passes overlap, the later one is drawn from the end of the earlier.
 */
function deviceEvents(records: readonly DispatchRecord[], startNs: number): TraceEvent[] {
  const events: TraceEvent[] = []; // parents before children: a layer takes its place when it is opened
  const open: { name: string; start: number; place: number }[] = [];
  let end = startNs;
  const closeTo = (depth: number) => {
    while (open.length > depth) {
      const { name, start, place } = open.pop()!;
      events[place] = slice(DEVICE, name, "layer", start, end);
    }
  };
  for (const record of records) {
    const start = Math.max(end, startNs + record.start);
    const path = pathOf(record);
    let common = 0;
    while (common < open.length && open[common].name === path[common]) common++;
    closeTo(common);
    path.slice(common).forEach((name) => open.push({ name, start, place: events.length++ }));
    end = Math.max(start, startNs + record.start + record.ns);
    events.push(slice(DEVICE, record.name, record.kind, start, end, argumentsOf(record)));
  }
  closeTo(0);
  return events;
}

/** The host's lane: its stays in steps and layers, and the submissions. */
function hostEvents({ slices, steps }: Measurement, ns: (milliseconds: number) => number): TraceEvent[] {
  return [
    ...slices.toSorted((a, b) => a.path.length - b.path.length).map(({ path, backward, start, end }) => {
      const layer = path.length > 1;
      const name = layer && backward ? `${path.at(-1)} (backward)` : path.at(-1)!;
      return slice(HOST, name, layer ? "layer" : "step", ns(start), ns(end));
    }),
    ...steps.map(({ submitted, submitting }, i) =>
      slice(HOST, `submit step ${i + 1}`, "submit", ns(submitted), ns(submitted + submitting))
    ),
  ];
}

/**
 * The trace. Times count from the first step's recording; the device's clock is set to the host's by a timestamp of an
 * empty pass, so that the two are apart by the time that a submission takes to begin.
 */
export function toTrace(measured: Measurement, about: Record<string, unknown>): TraceFile {
  const { records, slices, deviceStart } = measured;
  const zero = slices.reduce((least, { start }) => Math.min(least, start), deviceStart);
  const ns = (milliseconds: number) => (milliseconds - zero) * 1e6;
  const events = [
    ...hostEvents(measured, ns),
    ...deviceEvents(records, ns(deviceStart)),
  ].sort((a, b) => a.ts! - b.ts! || b.dur! - a.dur!); // stable: of equals the parent stays first
  return {
    traceEvents: [
      named("process_name", 0, "Fervid"),
      named("thread_name", HOST, "host: recording"),
      named("thread_name", DEVICE, "device"),
      ...events,
    ],
    displayTimeUnit: "ms",
    otherData: about,
  };
}
