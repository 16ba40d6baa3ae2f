/**
 * Keras's HDF5 files, through the HDF5 library compiled to WebAssembly, which asks for the parts of the file that it
 * needs. Names are Keras's weight names without the group of the layer and `:0`: `conv1/7x7_s2/kernel`.
 *
 * @module
 */
import { type Module, ready } from "h5wasm";
import type { WeightsContent } from "./file.ts";
import { type ByteSource, refuse } from "./source.ts";
import { dataFrom, type Dtype, elementBytes, elementCount, isShape, type StoredTensor } from "./tensor.ts";

const FLOATS: Readonly<Record<number, Dtype>> = { 8: "F64", 4: "F32", 2: "F16" };
const SIGNED: Readonly<Record<number, Dtype>> = { 8: "I64", 4: "I32", 2: "I16", 1: "I8" };
const UNSIGNED: Readonly<Record<number, Dtype>> = { 8: "U64", 4: "U32", 2: "U16", 1: "U8" };

/** A file of the library's file system whose bytes come from a source. */
interface FileNode {
  usedBytes: number;
  stream_ops: Record<string, unknown>;
}

interface FileSystem {
  createFile(parent: string, name: string, options: object, canRead: boolean, canWrite: boolean): FileNode;
  unlink(path: string): void;
}

type H5Module = typeof Module;

let opened = 0;

/** Makes the source a file of the library. */
function mount(module: H5Module, source: ByteSource): { path: string; unmount: () => void } {
  const files = module.FS as unknown as FileSystem;
  const name = `weights-${opened++}.h5`;
  const node = files.createFile("/", name, {}, true, false);
  node.usedBytes = source.size;
  const read = (
    _stream: unknown,
    heap: Int8Array<ArrayBuffer>,
    offset: number,
    length: number,
    at: number,
  ) => {
    const count = Math.max(0, Math.min(length, source.size - at));
    source.readInto(at, new Uint8Array(heap.buffer, heap.byteOffset + offset, count));
    return count;
  };
  node.stream_ops = { ...node.stream_ops, read };
  return { path: `/${name}`, unmount: () => files.unlink(`/${name}`) };
}

/** The innermost of the library's messages. */
function reasonOf(error: unknown): string {
  const { message } = error as Error;
  return /.*line \d+ in \w+\(\): (.*)/.exec(
    message.split("\n").filter((line) => /line \d+ in/.test(line)).at(-1) ?? "",
  )
    ?.[1] ?? message;
}

/**
 * Opens a file; `close` gives it back to the library.
 *
 * @throws {Error} if the library cannot read it
 */
export async function openHdf5(source: ByteSource): Promise<WeightsContent & { close: () => void }> {
  const module = await ready;
  module.activate_throwing_error_handler();
  const { path, unmount } = mount(module, source);
  let file: bigint | undefined;
  const close = () => {
    try {
      if (file !== undefined) module.close_file(file);
    } finally {
      unmount();
    }
  };
  try {
    const id = file = module.open(
      path,
      module.H5F_ACC_RDONLY,
      false,
      module.H5F_LIBVER_EARLIEST,
      module.H5F_LIBVER_LATEST,
    );
    return { tensors: readDatasets(module, id, source), close };
  } catch (error) {
    close();
    return refuse(source, `it is no sound HDF5 file (${reasonOf(error)})`);
  }
}

function readDatasets(module: H5Module, file: bigint, source: ByteSource): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const path of module.get_names(file, "/", true)) {
    if (path.startsWith("optimizer_weights/") || module.get_type(file, path) !== module.H5G_DATASET) continue;
    const tensor = datasetTensor(module, file, path, source);
    if (tensor === undefined) continue;
    const name = weightName(path);
    if (tensors.has(name)) throw new Error(`it names two tensors ${name}`);
    tensors.set(name, tensor);
  }
  return tensors;
}

/** `model_weights/LAYER/LAYER/kernel:0` -> `LAYER/kernel`; layers' names may contain slashes. */
function weightName(path: string): string {
  const parts = path.replace(/^model_weights\//, "").replace(/:0$/, "").split("/");
  const half = (parts.length - 1) / 2;
  const layer = parts.slice(0, half).join("/");
  const isDoubled = Number.isInteger(half) && half > 0 && layer === parts.slice(half, -1).join("/");
  return isDoubled ? `${layer}/${parts.at(-1)}` : parts.join("/");
}

/** A dataset of numbers, which the library gives in the machine's byte order; undefined for texts and the like. */
function datasetTensor(
  module: H5Module,
  file: bigint,
  path: string,
  source: ByteSource,
): StoredTensor | undefined {
  const { type, size, signed, shape, vlen } = module.get_dataset_metadata(file, path);
  const { H5T_FLOAT, H5T_INTEGER, H5T_ENUM } = module.H5T_class_t;
  const dtype = type === H5T_FLOAT.value
    ? FLOATS[size]
    : type === H5T_INTEGER.value
    ? (signed ? SIGNED : UNSIGNED)[size]
    : type === H5T_ENUM.value && size === 1
    ? "BOOL" // h5py's way of writing booleans
    : undefined;
  if (dtype === undefined || shape === null || vlen) return undefined;
  if (!isShape(shape)) throw new Error(`dataset ${path} claims the shape [${shape}]`);
  const read = () => {
    const bytes = readDataset(module, file, path, elementCount(shape) * elementBytes(dtype), source);
    return { dtype, shape, data: dataFrom(dtype, bytes) };
  };
  return { dtype, shape, read };
}

function readDataset(
  module: H5Module,
  file: bigint,
  path: string,
  length: number,
  source: ByteSource,
): Uint8Array<ArrayBuffer> {
  const pointer = module._malloc(Math.max(1, length));
  if (pointer === 0) {
    return refuse(source, `dataset ${path} wants ${length} bytes, which the HDF5 library cannot get`);
  }
  try {
    module.get_dataset_data(file, path, null, null, null, BigInt(pointer));
    return module.HEAPU8.slice(pointer, pointer + length) as Uint8Array<ArrayBuffer>;
  } catch (error) {
    return refuse(source, `dataset ${path} is damaged (${reasonOf(error)})`);
  } finally {
    module._free(pointer);
  }
}
