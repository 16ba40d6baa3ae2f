/**
 * The opcodes of Python's pickle machine, each a few lines (`pickletools` describes them).
 *
 * @module
 */
import { bytesFromQuoted, latin1FromRawUnicode, latin1FromUtf8 } from "./pickle_text.ts";
import {
  type Buildable,
  type Decoder,
  PickleBytes,
  type PickleGlobal,
  type PickleRules,
} from "./pickle_values.ts";
import { type Cursor, readBytes, refuse } from "./source.ts";

/** Longer strings stay in the file. */
const MAX_STRING_BYTES = 1 << 16;
/** Longer integers are refused. */
const MAX_INTEGER_BYTES = 256;
const MAX_NAME_BYTES = 1 << 10;
const MAX_ARGUMENTS = 32;

/** The machine's state. */
export interface Machine {
  readonly cursor: Cursor;
  readonly rules: PickleRules;
  readonly stack: unknown[];
  /** heights of the stack */
  readonly marks: number[];
  readonly memo: Map<number, unknown>;
  fail(reason: string): never;
}

type Handler = (machine: Machine) => void;

const utf8 = new TextDecoder("utf-8", { fatal: true });

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}

function pop({ stack, marks, fail }: Machine): unknown {
  if (stack.length <= (marks.at(-1) ?? 0)) fail("takes from an empty stack");
  return stack.pop();
}

function top({ stack, fail }: Machine): unknown {
  if (stack.length === 0) fail("looks at an empty stack");
  return stack[stack.length - 1];
}

function popToMark({ stack, marks, fail }: Machine): unknown[] {
  const mark = marks.pop();
  return mark === undefined ? fail("has no mark to go back to") : stack.splice(mark);
}

function popMany(machine: Machine, count: number): unknown[] {
  const values = Array.from({ length: count }, () => pop(machine));
  return values.reverse();
}

function memoize({ memo }: Machine, key: number, value: unknown): void {
  memo.set(key, value);
}

function remembered({ memo, fail }: Machine, key: number): unknown {
  if (!memo.has(key)) fail(`recalls object ${key}, which it has not stored`);
  return memo.get(key);
}

function setItems(machine: Machine, target: unknown, items: readonly unknown[]): void {
  if (!(target instanceof Map)) return machine.fail("sets an item of something that is no dict");
  if (items.length % 2 !== 0) machine.fail("has a dict's key without a value");
  for (let i = 0; i < items.length; i += 2) target.set(items[i], items[i + 1]);
}

function append(machine: Machine, target: unknown, items: readonly unknown[]): void {
  if (!Array.isArray(target)) return machine.fail("appends to something that is no list");
  for (const item of items) target.push(item);
}

function findGlobal({ rules, fail }: Machine, module: string, name: string): PickleGlobal {
  const full = `${module}.${name}`;
  return rules.globals.get(full) ??
    fail(
      `asks for ${full}, which weights don't need (a whole model? save its state_dict); nothing was executed`,
    );
}

function isGlobal(value: unknown): value is PickleGlobal {
  return typeof value === "object" && value !== null && "name" in value && !("setState" in value);
}

function call(machine: Machine): void {
  const [callee, args] = popMany(machine, 2);
  if (!isGlobal(callee) || callee.call === undefined) {
    return machine.fail(`calls ${isGlobal(callee) ? callee.name : "something"}, which cannot be called`);
  }
  if (!Array.isArray(args) || args.length > MAX_ARGUMENTS) {
    return machine.fail(`calls ${callee.name} without a tuple of at most ${MAX_ARGUMENTS} arguments`);
  }
  machine.stack.push(callee.call(...args));
}

function build(machine: Machine): void {
  const state = pop(machine);
  const target = top(machine);
  if (target instanceof Map) return; // attributes of an OrderedDict, e.g. a state dict's _metadata: not needed
  if (typeof target !== "object" || target === null || !("setState" in target)) {
    return machine.fail("sets the state of an object that has none");
  }
  (target as Buildable).setState(state);
}

function persistent({ rules, stack, fail }: Machine, id: unknown): void {
  const load = rules.persistent ?? fail("has a persistent id, which only a torch file may have");
  stack.push(load(id));
}

/** A little-endian two's complement integer. */
function integer({ cursor, fail }: Machine, length: number): number | bigint {
  if (length > MAX_INTEGER_BYTES || length < 0) fail(`has an integer of ${length} bytes`);
  let value = 0n;
  const bytes = cursor.take(length);
  for (let i = length - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[i]);
  return narrow(BigInt.asIntN(8 * length, value));
}

function narrow(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function decimal(machine: Machine): number | bigint | boolean {
  const text = shortText(machine).replace(/L$/, "");
  if (text === "00" || text === "01") return text === "01";
  if (!/^\s*[-+]?\d{1,600}\s*$/.test(text)) {
    machine.fail(`has ${JSON.stringify(text.slice(0, 40))} for an integer`);
  }
  return narrow(BigInt(text.trim().replace(/^\+/, "")));
}

function float(machine: Machine): number {
  const text = shortText(machine);
  const value = Number(text.replace(/inf/, "Infinity"));
  if (Number.isNaN(value) && text !== "nan") {
    machine.fail(`has ${JSON.stringify(text.slice(0, 40))} for a number`);
  }
  return value;
}

function u64({ cursor, fail }: Machine): number {
  const value = Number(cursor.view(8).getBigUint64(0, true));
  if (!Number.isSafeInteger(value)) fail(`claims ${value} bytes`);
  return value;
}

const u32 = ({ cursor }: Machine) => cursor.view(4).getUint32(0, true);
const u16 = ({ cursor }: Machine) => cursor.view(2).getUint16(0, true);
const u8 = ({ cursor }: Machine) => cursor.u8();

/** Bytes that stay where they are. */
function span({ cursor }: Machine, length: number, decode?: Decoder): PickleBytes {
  const offset = cursor.position;
  cursor.skip(length);
  return new PickleBytes(cursor.source, offset, length, decode);
}

/** The next line's bytes; `undefined` if it is too long to be anything but an array's values. */
function shortLine({ cursor }: Machine, line: { offset: number; length: number }) {
  return line.length > MAX_STRING_BYTES ? undefined : readBytes(cursor.source, line.offset, line.length);
}

/** A line of at most 1 KiB: a name or a number. */
function shortText(machine: Machine): string {
  const line = machine.cursor.line();
  if (line.length > MAX_NAME_BYTES) machine.fail(`has a name or number of ${line.length} bytes`);
  return latin1(readBytes(machine.cursor.source, line.offset, line.length));
}

/** A text in UTF-8. */
function text(machine: Machine, length: number): unknown {
  if (length > MAX_STRING_BYTES) return span(machine, length, latin1FromUtf8);
  try {
    return utf8.decode(machine.cursor.take(length));
  } catch (error) {
    if (error instanceof TypeError) return machine.fail("has a text that is not UTF-8");
    throw error;
  }
}

/** A Python 2 string: text in latin1, or bytes. */
function byteText(machine: Machine, length: number): unknown {
  if (length > MAX_STRING_BYTES) return span(machine, length);
  return latin1(machine.cursor.take(length));
}

/** A quoted Python 2 string with escapes. */
function quoted(machine: Machine): unknown {
  const line = machine.cursor.line();
  const bytes = shortLine(machine, line);
  if (bytes !== undefined) {
    return latin1(bytesFromQuoted(bytes, (reason) => refuse(machine.cursor.source, reason)));
  }
  return new PickleBytes(machine.cursor.source, line.offset, line.length, bytesFromQuoted);
}

/** A text in Python's raw-unicode-escape. */
function rawUnicode(machine: Machine): unknown {
  const line = machine.cursor.line();
  const bytes = shortLine(machine, line);
  if (bytes === undefined) {
    return new PickleBytes(machine.cursor.source, line.offset, line.length, latin1FromRawUnicode);
  }
  return latin1(bytes).replace(
    /\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g,
    (_, short: string | undefined, long: string | undefined) => {
      const code = parseInt(short ?? long!, 16);
      return code > 0x10ffff ? machine.fail("has a character beyond Unicode") : String.fromCodePoint(code);
    },
  );
}

function stackGlobal(machine: Machine): void {
  const [module, name] = popMany(machine, 2);
  if (typeof module !== "string" || typeof name !== "string") {
    return machine.fail("has a global without a name");
  }
  machine.stack.push(findGlobal(machine, module.slice(0, MAX_NAME_BYTES), name.slice(0, MAX_NAME_BYTES)));
}

function dictOf(machine: Machine, items: readonly unknown[]): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>();
  setItems(machine, map, items);
  return map;
}

function addItems(machine: Machine): void {
  const items = popToMark(machine);
  const target = top(machine);
  if (!(target instanceof Set)) return machine.fail("adds to something that is no set");
  items.forEach((item) => target.add(item));
}

function refused(name: string): Handler {
  return ({ fail }) => fail(`uses opcode ${name}, which weights don't need`);
}

/** A handler that pushes one value. */
function pushes(value: (machine: Machine) => unknown): Handler {
  return (machine) => {
    machine.stack.push(value(machine));
  };
}

const HANDLERS = new Map<number, Handler>([
  [0x28, ({ stack, marks }) => void marks.push(stack.length)], // (
  [0x29, pushes(() => [])], // )
  [0x30, (m) => void (m.stack.length === m.marks.at(-1) ? m.marks.pop() : pop(m))], // 0
  [0x31, (m) => void popToMark(m)], // 1
  [0x32, pushes(top)], // 2
  [0x42, pushes((m) => span(m, u32(m)))], // B
  [0x43, pushes((m) => span(m, u8(m)))], // C
  [0x46, pushes(float)], // F
  [0x47, pushes(({ cursor }) => cursor.view(8).getFloat64(0))], // G
  [0x49, pushes(decimal)], // I
  [0x4a, pushes(({ cursor }) => cursor.view(4).getInt32(0, true))], // J
  [0x4b, pushes(u8)], // K
  [0x4c, pushes(decimal)], // L
  [0x4d, pushes(u16)], // M
  [0x4e, pushes(() => null)], // N
  [0x50, (m) => persistent(m, shortText(m))], // P
  [0x51, (m) => persistent(m, pop(m))], // Q
  [0x52, call], // R
  [0x53, pushes(quoted)], // S
  [0x54, pushes((m) => byteText(m, u32(m)))], // T
  [0x55, pushes((m) => byteText(m, u8(m)))], // U
  [0x56, pushes(rawUnicode)], // V
  [0x58, pushes((m) => text(m, u32(m)))], // X
  [0x5d, pushes(() => [])], // ]
  [0x61, (m) => {
    const item = pop(m);
    append(m, top(m), [item]);
  }], // a
  [0x62, build], // b
  [0x63, pushes((m) => findGlobal(m, shortText(m), shortText(m)))], // c
  [0x64, pushes((m) => dictOf(m, popToMark(m)))], // d
  [0x65, (m) => {
    const items = popToMark(m);
    append(m, top(m), items);
  }], // e
  [0x67, pushes((m) => remembered(m, Number(decimal(m))))], // g
  [0x68, pushes((m) => remembered(m, u8(m)))], // h
  [0x69, refused("INST")], // i
  [0x6a, pushes((m) => remembered(m, u32(m)))], // j
  [0x6c, pushes(popToMark)], // l
  [0x6f, refused("OBJ")], // o
  [0x70, (m) => memoize(m, Number(decimal(m)), top(m))], // p
  [0x71, (m) => memoize(m, u8(m), top(m))], // q
  [0x72, (m) => memoize(m, u32(m), top(m))], // r
  [0x73, (m) => {
    const items = popMany(m, 2);
    setItems(m, top(m), items);
  }], // s
  [0x74, pushes(popToMark)], // t
  [0x75, (m) => {
    const items = popToMark(m);
    setItems(m, top(m), items);
  }], // u
  [0x7d, pushes(() => new Map())], // }
  [0x80, (m) => {
    const protocol = u8(m);
    if (protocol > 5) m.fail(`has protocol ${protocol}; expected at most 5`);
  }],
  [0x81, call], // NEWOBJ
  [0x82, refused("EXT1")],
  [0x83, refused("EXT2")],
  [0x84, refused("EXT4")],
  [0x85, pushes((m) => popMany(m, 1))],
  [0x86, pushes((m) => popMany(m, 2))],
  [0x87, pushes((m) => popMany(m, 3))],
  [0x88, pushes(() => true)],
  [0x89, pushes(() => false)],
  [0x8a, pushes((m) => integer(m, u8(m)))],
  [0x8b, pushes((m) => integer(m, u32(m)))],
  [0x8c, pushes((m) => text(m, u8(m)))],
  [0x8d, pushes((m) => text(m, u64(m)))],
  [0x8e, pushes((m) => span(m, u64(m)))],
  [0x8f, pushes(() => new Set())],
  [0x90, addItems],
  [0x91, pushes((m) => new Set(popToMark(m)))],
  [0x92, refused("NEWOBJ_EX")],
  [0x93, stackGlobal],
  [0x94, (m) => memoize(m, m.memo.size, top(m))],
  [0x95, ({ cursor }) => cursor.skip(8)], // FRAME: its length is not needed
  [0x96, pushes((m) => span(m, u64(m)))],
  [0x97, refused("NEXT_BUFFER")],
  [0x98, () => {}], // READONLY_BUFFER
]);

/** What an opcode does. */
export function handlerOf(opcode: number, { fail }: Machine): Handler {
  return HANDLERS.get(opcode) ??
    fail(
      `has opcode 0x${opcode.toString(16).padStart(2, "0")}, which no pickle has; it is damaged or no pickle`,
    );
}
