/** A reader of Chrome's trace-event format, written from its description ("Trace Event Format", JSON object form). */
import { assert, assertEquals } from "@std/assert";

/** A slice of a lane with the slices in it; times in whole nanoseconds. */
export interface Slice {
  readonly name: string;
  readonly cat: string;
  readonly start: number;
  readonly end: number;
  readonly args: Record<string, unknown>;
  readonly inner: Slice[];
}

/** A named lane: its outermost slices. */
export interface Lane {
  readonly process: string;
  readonly name: string;
  readonly slices: readonly Slice[];
}

type Event = Record<string, unknown>;

function numberOf(event: Event, key: string): number {
  const value = event[key];
  assert(typeof value === "number" && Number.isFinite(value), `${key} of ${JSON.stringify(event)}`);
  return value;
}

function textOf(event: Event, key: string): string {
  const value = event[key];
  assert(typeof value === "string" && value !== "", `${key} of ${JSON.stringify(event)}`);
  return value;
}

/** Slices by begin, the longer first, of equals the first in the file: each must lie in the one that is open, or behind it. */
function nest(events: readonly Event[]): Slice[] {
  const slices = events.map((event): Slice => {
    const [ts, dur] = [numberOf(event, "ts"), numberOf(event, "dur")];
    assert(dur >= 0, JSON.stringify(event));
    const args = (event.args ?? {}) as Record<string, unknown>;
    const [start, end] = [Math.round(1000 * ts), Math.round(1000 * (ts + dur))];
    return { name: textOf(event, "name"), cat: textOf(event, "cat"), start, end, args, inner: [] };
  });
  const outermost: Slice[] = [];
  const open: Slice[] = [];
  for (const slice of slices.sort((a, b) => a.start - b.start || b.end - a.end)) {
    while (open.length > 0 && open.at(-1)!.end <= slice.start && slice.end > open.at(-1)!.end) open.pop();
    const parent = open.at(-1);
    assert(
      parent === undefined || slice.end <= parent.end,
      `${slice.name} [${slice.start}, ${slice.end}] sticks out of ${parent?.name} [${parent?.start}, ${parent?.end}]`,
    );
    (parent?.inner ?? outermost).push(slice);
    open.push(slice);
  }
  return outermost;
}

/**
 * Reads a trace.
 *
 * @throws {AssertionError} if it is none: a phase that is not known, a slice that sticks out of its parent, a lane
 * without a name
 */
export function readTrace(text: string): Lane[] {
  const { traceEvents } = JSON.parse(text);
  assert(Array.isArray(traceEvents) && traceEvents.length > 0);
  const processes = new Map<number, string>();
  const lanes = new Map<string, { name?: string; events: Event[] }>();
  const laneOf = (event: Event) => {
    const key = `${numberOf(event, "pid")} ${numberOf(event, "tid")}`;
    if (!lanes.has(key)) lanes.set(key, { events: [] });
    return lanes.get(key)!;
  };
  for (const event of traceEvents as Event[]) {
    if (event.ph === "X") {
      laneOf(event).events.push(event);
      continue;
    }
    assertEquals(event.ph, "M", `phase of ${JSON.stringify(event)}`);
    const name = textOf(event.args as Event, "name");
    if (event.name === "process_name") processes.set(numberOf(event, "pid"), name);
    else {
      assertEquals(event.name, "thread_name");
      laneOf(event).name = name;
    }
  }
  return [...lanes].map(([key, { name, events }]) => {
    const process = processes.get(Number(key.split(" ")[0]));
    assert(name !== undefined && process !== undefined, `lane ${key} has no name`);
    return { process, name, slices: nest(events) };
  });
}

/** A slice and all in it, with the names around each. */
export function* walk(
  slices: readonly Slice[],
  path: readonly string[] = [],
): Generator<{ slice: Slice; path: readonly string[] }> {
  for (const slice of slices) {
    yield { slice, path };
    yield* walk(slice.inner, [...path, slice.name]);
  }
}
