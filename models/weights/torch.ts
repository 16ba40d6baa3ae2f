/**
 * PyTorch's files: the zip archive (since 1.6), the older stream of pickles, and their tensors, which are views of
 * storages. The formats are PyTorch's `torch/serialization.py` and `torch/_utils.py`.
 *
 * @module
 */
import type { WeightsContent } from "./file.ts";
import { arrayTensorOf, numpyGlobals } from "./numpy.ts";
import { unpickle } from "./pickle.ts";
import { describe, describeSizes, type PickleGlobal, type PickleRules } from "./pickle_values.ts";
import { type ByteSource, Cursor, MemorySource, readBytes, refuse } from "./source.ts";
import { collectTensors } from "./state_dict.ts";
import { contiguousStrides, extent, readStrided } from "./strided.ts";
import { areSizes, type Dtype, elementBytes, isShape, isSize, type StoredTensor } from "./tensor.ts";
import { ZipArchive, type ZipEntry } from "./zip.ts";

const STORAGE_DTYPES: Readonly<Record<string, Dtype>> = {
  DoubleStorage: "F64",
  FloatStorage: "F32",
  HalfStorage: "F16",
  BFloat16Storage: "BF16",
  LongStorage: "I64",
  IntStorage: "I32",
  ShortStorage: "I16",
  CharStorage: "I8",
  ByteStorage: "U8",
  BoolStorage: "BOOL",
};

const DTYPES: Readonly<Record<string, Dtype>> = {
  float64: "F64",
  double: "F64",
  float32: "F32",
  float: "F32",
  float16: "F16",
  half: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint64: "U64",
  uint32: "U32",
  uint16: "U16",
  uint8: "U8",
  bool: "BOOL",
};

/** The first pickle of the old stream. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const OLD_PROTOCOL = 1001;
/** A pickle of names and shapes, without the values. */
const MAX_PICKLE_BYTES = 32 << 20;

type Fail = (reason: string) => never;

/** A buffer of elements that tensors are views of. */
interface Storage {
  /** undefined: bytes, whose meaning the tensor gives */
  readonly dtype: Dtype | undefined;
  readonly bytes: number;
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
}

function isStorage(value: unknown): value is Storage {
  return typeof value === "object" && value !== null && "bytes" in value && "read" in value;
}

/** A tensor while pickles are read. */
class TorchTensor {
  readonly stored: StoredTensor;

  constructor(stored: StoredTensor) {
    this.stored = stored;
  }

  /** Attributes that a Parameter or a subclass carries: not needed. */
  setState(): void {}
}

/** (storage, element offset, shape, strides, ...): a view of a storage, which must lie within it. */
function rebuildTensor(
  args: readonly unknown[],
  dtypeOf: (storage: Storage) => Dtype | undefined,
  fail: Fail,
) {
  const [storage, offset, shape, givenStrides] = args;
  if (!isStorage(storage)) return fail("has a tensor without a storage");
  const dtype = dtypeOf(storage) ?? fail("has a tensor of an unknown dtype");
  if (!isShape(shape) || !isSize(offset)) {
    return fail(`has a tensor of shape ${describeSizes(shape)} at element ${describe(offset)}`);
  }
  const strides = givenStrides ?? contiguousStrides(shape);
  if (!areSizes(strides) || strides.length !== shape.length) {
    return fail(`has a tensor of strides ${describeSizes(strides)}`);
  }
  // Copies: the pickle may go on changing its lists.
  const view = { dtype, shape: [...shape], strides: [...strides], offset };
  const end = extent(view).to * elementBytes(dtype);
  if (!(end <= storage.bytes)) {
    fail(
      `has a tensor of shape [${shape.join(", ")}], strides [${strides.join(", ")}] at element ${offset}, ` +
        `which ends at byte ${end} of a storage of ${storage.bytes}`,
    );
  }
  const read = () => ({
    dtype,
    shape: view.shape,
    data: readStrided(view, (from, length) => storage.read(from, length)),
  });
  return new TorchTensor({ dtype, shape: view.shape, read });
}

/** The globals of state dicts and of the checkpoints around them. */
function torchGlobals(fail: Fail): Map<string, PickleGlobal> {
  const globals = numpyGlobals(fail);
  const add = (name: string, call?: PickleGlobal["call"]) => globals.set(name, { name, call });
  for (const name of [...Object.keys(STORAGE_DTYPES), "UntypedStorage"]) {
    for (const module of ["torch", "torch.cuda", "torch.storage"]) add(`${module}.${name}`);
  }
  for (const name of Object.keys(DTYPES)) add(`torch.${name}`);
  add("torch.Tensor");
  add("torch.nn.parameter.Parameter", (tensor) => tensor);
  const ofStorage = (storage: Storage) => storage.dtype;
  add("torch._utils._rebuild_tensor", (...args) => rebuildTensor(args, ofStorage, fail));
  add("torch._utils._rebuild_tensor_v2", (...args) => rebuildTensor(args, ofStorage, fail));
  add("torch._utils._rebuild_tensor_v3", (...args) => {
    const name = (args[6] as PickleGlobal | null | undefined)?.name ?? "";
    return rebuildTensor(args, () => DTYPES[name.replace("torch.", "")], fail);
  });
  add("torch._utils._rebuild_parameter", (tensor) => tensor);
  add("torch._utils._rebuild_parameter_with_state", (tensor) => tensor);
  const subclass = "torch._tensor._rebuild_from_type_v2";
  add(subclass, (rebuild, _type, args) => {
    const { call, name } = (rebuild ?? {}) as Partial<PickleGlobal>;
    if (call === undefined || name === subclass || !Array.isArray(args) || args.length > 32) {
      return fail("has a tensor of an unknown kind");
    }
    return call(...args);
  });
  add("torch.Size", (sizes) => sizes);
  add("torch.device", () => null);
  for (const module of ["builtins", "__builtin__"]) {
    for (const type of ["dict", "list", "int", "float"]) add(`${module}.${type}`);
  }
  return globals;
}

function contentOf(root: unknown, fail: Fail): WeightsContent {
  const asTensor = (value: unknown) =>
    value instanceof TorchTensor ? value.stored : arrayTensorOf(value, fail);
  return collectTensors(root, asTensor, fail);
}

/** Reads the persistent id of a storage: ("storage", type, key, location, element count, view). */
function storageId(id: unknown, fail: Fail) {
  const [kind, type, key, , count, view] = Array.isArray(id) ? id : [];
  const name = typeof type === "object" && type !== null && "name" in type ? String(type.name) : "something";
  const typeName = name.split(".").at(-1)!;
  const dtype = STORAGE_DTYPES[typeName];
  if (kind !== "storage" || (dtype === undefined && typeName !== "UntypedStorage")) {
    return fail(
      `refers to ${kind === "storage" ? name : "an object outside of it"}; expected a storage of numbers`,
    );
  }
  if ((typeof key !== "string" && typeof key !== "number") || !isSize(count)) {
    return fail(`has a storage with key ${describe(key)} of ${describe(count)} elements`);
  }
  const size = dtype === undefined ? 1 : elementBytes(dtype);
  return { dtype, key: String(key), size, bytes: count * size, view };
}

/**
 * Reads a `.pth` or `.pt` zip archive.
 *
 * @throws {Error} if the archive or its pickle does not hold
 */
export function readTorchZip(source: ByteSource): WeightsContent {
  const archive = new ZipArchive(source);
  const pickle = [...archive.entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickle === undefined) {
    return refuse(source, "it is a zip archive without a data.pkl; expected a torch file");
  }
  const root = pickle.slice(0, -"data.pkl".length);
  requireLittleEndian(archive, archive.entries.get(`${root}byteorder`));
  const fail: Fail = (reason) => refuse(source, `its data.pkl ${reason}`);
  const read = entryReader(archive);
  const persistent = (id: unknown): Storage => {
    const { dtype, key, bytes } = storageId(id, fail);
    const entry = archive.entries.get(`${root}data/${key}`);
    if (entry === undefined) return fail(`refers to storage ${key}, which the archive has not`);
    if (entry.size !== bytes) fail(`wants ${bytes} bytes of storage ${key}, which has ${entry.size}`);
    return { dtype, bytes, read: (offset, length) => read(entry, offset, length) };
  };
  const entry = archive.entries.get(pickle)!;
  if (entry.size > MAX_PICKLE_BYTES) refuse(source, `its data.pkl claims ${entry.size} bytes`);
  const bytes = archive.read(entry);
  const cursor = new Cursor(new MemorySource(bytes, source.path));
  return contentOf(unpickle(cursor, { globals: torchGlobals(fail), persistent }), fail);
}

function requireLittleEndian(archive: ZipArchive, entry: ZipEntry | undefined): void {
  if (entry === undefined) return; // older versions wrote none, and their machines were little-endian
  const order = new TextDecoder().decode(archive.head(entry, 16)).trim();
  if (order !== "little") {
    refuse(archive.source, `it has byte order ${JSON.stringify(order)}; expected "little"`);
  }
}

/**
 * Reads parts of entries; the last packed one stays unpacked, since its views come one after another. A view of a part
 * of a storage that is not packed is read without the rest, and so without its checksum.
 */
function entryReader(archive: ZipArchive) {
  let last: { entry: ZipEntry; bytes: Uint8Array<ArrayBuffer> } | undefined;
  return (entry: ZipEntry, offset: number, length: number): Uint8Array<ArrayBuffer> => {
    if (entry.isStored && length < entry.size) {
      return readBytes(archive.source, entry.offset + offset, length);
    }
    if (entry.isStored) return archive.read(entry);
    if (last?.entry !== entry) last = { entry, bytes: archive.read(entry) };
    return last.bytes.slice(offset, offset + length);
  };
}

/** A storage of the old stream: its place is known when all pickles have been read. */
class StreamStorage implements Storage {
  readonly dtype: Dtype | undefined;
  readonly bytes: number;
  readonly size: number;
  readonly #source: ByteSource;
  offset = -1;

  constructor(source: ByteSource, { dtype, bytes, size }: { dtype?: Dtype; bytes: number; size: number }) {
    this.#source = source;
    this.dtype = dtype;
    this.bytes = bytes;
    this.size = size;
  }

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return readBytes(this.#source, this.offset + offset, length);
  }
}

/**
 * Reads the old stream: magic number, protocol, system, object, list of storage keys, then for each key an int64
 * element count and the elements.
 *
 * @throws {Error} if a pickle does not hold, or a storage is missing or of another length
 */
export function readTorchStream(source: ByteSource): WeightsContent {
  const cursor = new Cursor(source);
  const fail: Fail = (reason) => refuse(source, `its pickle ${reason}`);
  const plain: PickleRules = { globals: new Map() };
  if (unpickle(cursor, plain) !== MAGIC) fail("has not PyTorch's magic number");
  const protocol = unpickle(cursor, plain);
  if (protocol !== OLD_PROTOCOL) {
    fail(`has PyTorch's protocol ${describe(protocol)}; expected ${OLD_PROTOCOL}`);
  }
  const system = unpickle(cursor, plain);
  if (system instanceof Map && system.get("little_endian") === false) {
    fail("is big-endian; expected little-endian");
  }
  const storages = new Map<string, StreamStorage>();
  const persistent = (id: unknown): Storage => {
    const { view, ...root } = storageId(id, fail);
    const storage = storages.get(root.key) ?? new StreamStorage(source, root);
    storages.set(root.key, storage);
    if (storage.bytes !== root.bytes) fail(`gives storage ${root.key} two lengths`);
    return view === null || view === undefined ? storage : storageView(storage, view, fail);
  };
  const root = unpickle(cursor, { globals: torchGlobals(fail), persistent });
  const keys = unpickle(cursor, plain);
  const isKey = (key: unknown) => typeof key === "string" || typeof key === "number";
  if (!Array.isArray(keys) || !keys.every(isKey)) return fail("has no list of storages");
  placeStorages(cursor, keys.map(String), storages, fail);
  return contentOf(root, fail);
}

/** A part of a storage: (key, element offset, element count). */
function storageView(storage: StreamStorage, view: unknown, fail: Fail): Storage {
  const [, offset, count] = Array.isArray(view) ? view : [];
  if (!isSize(offset) || !isSize(count)) return fail("has a storage's view without an offset or a length");
  const from = offset * storage.size;
  const bytes = count * storage.size;
  if (from + bytes > storage.bytes) {
    fail(`has a storage's view that ends at byte ${from + bytes} of ${storage.bytes}`);
  }
  return { dtype: storage.dtype, bytes, read: (at, length) => storage.read(from + at, length) };
}

function placeStorages(
  cursor: Cursor,
  keys: readonly string[],
  storages: ReadonlyMap<string, StreamStorage>,
  fail: Fail,
): void {
  const left = new Set(storages.keys());
  for (const key of keys) {
    const storage = storages.get(key);
    if (storage === undefined || !left.delete(key)) return fail(`lists storage ${key}, which no tensor uses`);
    const count = Number(cursor.view(8).getBigInt64(0, true));
    if (count * storage.size !== storage.bytes) {
      fail(`wants ${storage.bytes} bytes of storage ${key}, which has ${count} elements of ${storage.size}`);
    }
    storage.offset = cursor.position;
    cursor.skip(storage.bytes);
  }
  if (left.size > 0) fail(`does not list storage ${[...left][0]}, which a tensor uses`);
}
