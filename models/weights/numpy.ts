/**
 * numpy's arrays: in `.npy` and `.npz` files (NEP 1), and in pickles.
 *
 * @module
 */
import type { WeightsContent } from "./file.ts";
import { unpickle } from "./pickle.ts";
import { describe, PickleBytes, type PickleGlobal } from "./pickle_values.ts";
import { type ByteSource, Cursor, refuse } from "./source.ts";
import { collectTensors } from "./state_dict.ts";
import { contiguousStrides, readStrided } from "./strided.ts";
import { areSizes, type Dtype, elementBytes, elementCount, isShape, type StoredTensor } from "./tensor.ts";
import { ZipArchive, type ZipEntry } from "./zip.ts";

const DTYPES: Readonly<Record<string, Dtype>> = {
  f8: "F64",
  f4: "F32",
  f2: "F16",
  i8: "I64",
  i4: "I32",
  i2: "I16",
  i1: "I8",
  u8: "U64",
  u4: "U32",
  u2: "U16",
  u1: "U8",
  b1: "BOOL",
};

/** The bytes of a `.npy` header that are read at most; numpy writes 128 for any usual array. */
const HEADER_BYTES = 4096;

/** An array's description and bytes. */
interface ArrayLayout {
  readonly dtype: Dtype;
  readonly isBigEndian: boolean;
  readonly shape: number[];
  /** in elements */
  readonly strides: readonly number[];
}

function arrayTensor(
  { dtype, isBigEndian, shape, strides }: ArrayLayout,
  read: (offset: number, length: number) => Uint8Array<ArrayBuffer>,
): StoredTensor {
  const readOrdered = (offset: number, length: number) => {
    const bytes = read(offset, length);
    return isBigEndian ? swapBytes(bytes, elementBytes(dtype)) : bytes;
  };
  return {
    dtype,
    shape,
    read: () => ({ dtype, shape, data: readStrided({ dtype, shape, strides, offset: 0 }, readOrdered) }),
  };
}

/** Turns each element's bytes round. */
function swapBytes(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  const swapped = bytes.slice();
  for (let i = 0; i < swapped.length; i += size) swapped.subarray(i, i + size).reverse();
  return swapped;
}

/** Reads a dtype such as `<f4`. */
function parseDescription(text: unknown): Pick<ArrayLayout, "dtype" | "isBigEndian"> | undefined {
  const match = typeof text === "string" ? /^([<>|=]?)([fiub][1248])$/.exec(text) : null;
  const dtype = match && DTYPES[match[2]];
  return dtype ? { dtype, isBigEndian: match[1] === ">" } : undefined;
}

/**
 * Reads a `.npz`: a zip of `.npy` files.
 *
 * @throws {Error} if an entry is no array of numbers, or has other bytes than its shape wants
 */
export function readNpz(source: ByteSource): WeightsContent {
  const archive = new ZipArchive(source);
  const tensors = new Map<string, StoredTensor>();
  for (const entry of archive.entries.values()) {
    if (!entry.name.endsWith(".npy")) refuse(source, `${entry.name} in it is no .npy file`);
    tensors.set(entry.name.slice(0, -4), npyTensor(archive, entry));
  }
  return { tensors };
}

function npyTensor(archive: ZipArchive, entry: ZipEntry): StoredTensor {
  const fail = (reason: string) => refuse(archive.source, `${entry.name} in it ${reason}`);
  const head = archive.head(entry, HEADER_BYTES);
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (head.length < 12 || view.getUint32(0) !== 0x934e554d || view.getUint16(4) !== 0x5059) {
    fail("is no .npy file");
  }
  const isShort = head[6] === 1;
  const begin = isShort ? 10 : 12;
  const headerLength = isShort ? view.getUint16(8, true) : view.getUint32(8, true);
  const end = begin + headerLength;
  if (end > head.length) fail(`claims a header of ${headerLength} bytes`);
  const header = new TextDecoder().decode(head.subarray(begin, end));
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1] === "True" ? "F" : "C";
  const sizes = /'shape':\s*\(([\d,\sL]*)\)/.exec(header)?.[1];
  const shape = sizes?.split(",").map((size) => size.trim()).filter(Boolean).map((size) => parseInt(size));
  const type = parseDescription(descr);
  if (type === undefined || !isShape(shape)) {
    return fail(`is described as ${header.trim().slice(0, 200)}; expected numbers in a regular array`);
  }
  const wanted = elementCount(shape) * elementBytes(type.dtype);
  if (end + wanted !== entry.size) {
    fail(`has shape [${shape.join(", ")}], which wants ${wanted} bytes, but has ${entry.size - end}`);
  }
  return arrayTensor(
    { ...type, shape, strides: contiguousStrides(shape, order) },
    (offset, length) => archive.read(entry).subarray(end + offset, end + offset + length),
  );
}

/** Shape and strides of values in an order; copies, since the pickle may go on changing its lists. */
function orderedView(
  shape: readonly number[],
  order: unknown,
  axes: unknown,
  fail: Fail,
): Pick<ArrayLayout, "shape" | "strides"> {
  if (order === "C" || order === "F") return { shape: [...shape], strides: contiguousStrides(shape, order) };
  // numpy 2.3 and later: the values as they lay in memory, and where each axis of the array is among theirs.
  const isPermutation = areSizes(axes) && axes.length === shape.length &&
    [...axes].sort((a, b) => a - b).every((axis, i) => axis === i);
  if (order !== "K" || !isPermutation) {
    return fail("has an array in an unknown order; expected C, F, or K with a permutation of its axes");
  }
  const strides = contiguousStrides(shape);
  return { shape: axes.map((axis) => shape[axis]), strides: axes.map((axis) => strides[axis]) };
}

/** An array of a pickle, while it is being put together and after. */
class NumpyArray {
  #fail: Fail;
  #layout: ArrayLayout | undefined;
  #data: unknown;

  /** An array without values, as `_reconstruct` gives it. */
  constructor(fail: Fail) {
    this.#fail = fail;
  }

  /** `ndarray.__setstate__`: (version, shape, dtype, is Fortran order, bytes) */
  setState(state: unknown): void {
    if (!Array.isArray(state) || state.length < 4 || state.length > 5) {
      return this.#fail("has an array without a state");
    }
    const [shape, dtype, isFortran, data] = state.slice(-4);
    this.set(shape, dtype, isFortran === true || isFortran === 1 ? "F" : "C", data);
  }

  /** Gives the array its values; `axes` belong to order K. */
  set(shape: unknown, dtype: unknown, order: unknown, data: unknown, axes?: unknown): void {
    if (!isShape(shape) || !(dtype instanceof NumpyDtype)) {
      return this.#fail("has an array without a shape or dtype");
    }
    const type = parseDescription(dtype.description);
    if (type === undefined) {
      return this.#fail(
        `has an array of dtype ${dtype.description.slice(0, 40)}; expected numbers of at most 8 bytes`,
      );
    }
    const wanted = elementCount(shape) * elementBytes(type.dtype);
    const length = typeof data === "string" || data instanceof PickleBytes ? data.length : -1;
    // Bytes that were written as a text take one or two bytes each: they are counted when they are read.
    if (length < wanted || (length > wanted && !(data instanceof PickleBytes && data.isEncoded))) {
      return this.#fail(
        `has an array of shape [${shape.join(", ")}], which wants ${wanted} bytes, with ${length}`,
      );
    }
    this.#layout = { ...type, ...orderedView(shape, order, axes, this.#fail) };
    this.#data = data;
  }

  /** The array as a tensor; undefined if it has not got its values. */
  tensor(): StoredTensor | undefined {
    if (this.#layout === undefined) return undefined;
    const data = this.#data;
    const wanted = elementCount(this.#layout.shape) * elementBytes(this.#layout.dtype);
    return arrayTensor(this.#layout, (offset, length) => {
      const bytes = data instanceof PickleBytes
        ? data.read()
        : Uint8Array.from(data as string, (character) => character.charCodeAt(0));
      if (bytes.length !== wanted) this.#fail(`has an array of ${bytes.length} bytes instead of ${wanted}`);
      return bytes.subarray(offset, offset + length);
    });
  }
}

/** A dtype of a pickle, e.g. `<f4`. */
class NumpyDtype {
  readonly #type: string;
  readonly #fail: Fail;
  #byteOrder = "<";

  constructor(type: unknown, fail: Fail) {
    this.#fail = fail;
    this.#type = typeof type === "string" ? type : fail("has a dtype without a name");
  }

  get description(): string {
    return this.#byteOrder + this.#type.replace(/^[<>|=]/, "");
  }

  /** `dtype.__setstate__`: (version, byte order, subarray, names, fields, ...) */
  setState(state: unknown): void {
    const [, order, subarray, names, fields] = Array.isArray(state) ? state : [];
    if (typeof order !== "string" || !/^[<>|=]$/.test(order)) {
      return this.#fail("has a dtype without a byte order");
    }
    if ([subarray, names, fields].some((part) => part !== null)) return this.#fail("has a structured dtype");
    this.#byteOrder = order;
  }
}

type Fail = (reason: string) => never;

/** Items that a pickle's calls may be given in all: a few bytes can give one long list to a call again and again. */
const MAX_WORK = 2_000_000;
/** Looking at so many characters takes about as long as putting an item into a dict. */
const CHARACTERS_PER_ITEM = 256;

/** Calls whose work grows with what they are given; all of a pickle's share one budget. */
class CostlyCalls {
  readonly #fail: Fail;
  #left = MAX_WORK;

  constructor(fail: Fail) {
    this.#fail = fail;
  }

  #charge(items: number): void {
    if ((this.#left -= items) < 0) this.#fail(`gives its calls more than ${MAX_WORK} items`);
  }

  /** `_codecs.encode(text, "latin1")`, which is how Python 3 writes bytes in protocol 2. */
  encode(text: unknown, encoding: unknown): unknown {
    if (encoding !== "latin1" && encoding !== "latin-1") {
      this.#fail(`encodes a text as ${describe(encoding)}; expected latin1`);
    }
    if (text instanceof PickleBytes) return text;
    if (typeof text === "string") this.#charge(text.length / CHARACTERS_PER_ITEM);
    // deno-lint-ignore no-control-regex
    if (typeof text !== "string" || /[^\x00-\xff]/.test(text)) {
      this.#fail("encodes something that is no latin1 text");
    }
    return text;
  }

  /** OrderedDict() or OrderedDict([[key, value], ...]). */
  orderedDict(items: unknown): Map<unknown, unknown> {
    if (items === undefined) return new Map();
    if (Array.isArray(items)) this.#charge(items.length);
    if (!Array.isArray(items) || !items.every((item) => Array.isArray(item) && item.length === 2)) {
      return this.#fail("makes an OrderedDict of something that is no list of pairs");
    }
    return new Map(items as [unknown, unknown][]);
  }

  /** set([item, ...]). */
  set(items: unknown): Set<unknown> {
    if (!Array.isArray(items)) return new Set();
    this.#charge(items.length);
    return new Set(items);
  }
}

/** The globals that arrays and the dicts around them need, in numpy 1's and numpy 2's modules. */
export function numpyGlobals(fail: Fail): Map<string, PickleGlobal> {
  const globals = new Map<string, PickleGlobal>();
  const add = (name: string, call?: PickleGlobal["call"]) => globals.set(name, { name, call });
  const costly = new CostlyCalls(fail);
  add("collections.OrderedDict", (items) => costly.orderedDict(items));
  add("collections.defaultdict", () => new Map());
  add("numpy.ndarray");
  add("numpy.dtype", (type) => new NumpyDtype(type, fail));
  for (const module of ["builtins", "__builtin__"]) {
    add(`${module}.set`, (items) => costly.set(items));
    add(`${module}.bytes`, (...args) => args.length === 0 ? "" : fail("makes bytes of something")); // b"" in protocol 2
  }
  add("_codecs.encode", (text, encoding) => costly.encode(text, encoding));
  for (const core of ["numpy.core", "numpy._core"]) {
    add(`${core}.multiarray._reconstruct`, () => new NumpyArray(fail));
    add(`${core}.multiarray.scalar`, (dtype, data) => {
      const scalar = new NumpyArray(fail);
      scalar.set([], dtype, "C", data);
      return scalar;
    });
    add(`${core}.numeric._frombuffer`, (data, dtype, shape, order, axes) => {
      const array = new NumpyArray(fail);
      array.set(shape, dtype, order, data, axes);
      return array;
    });
  }
  return globals;
}

/** The tensor that an array of a pickle stands for; undefined for anything else. */
export function arrayTensorOf(value: unknown, fail: Fail): StoredTensor | undefined {
  if (!(value instanceof NumpyArray)) return undefined;
  return value.tensor() ?? fail("has an array without values");
}

/**
 * Reads a pickle of numpy arrays by name.
 *
 * @throws {Error} if the pickle does not hold
 */
export function readNumpyPickle(source: ByteSource): WeightsContent {
  const fail: Fail = (reason) => refuse(source, `its pickle ${reason}`);
  const root = unpickle(new Cursor(source), { globals: numpyGlobals(fail) });
  return collectTensors(root, (value) => arrayTensorOf(value, fail), fail);
}
