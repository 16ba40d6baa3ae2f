/**
 * Tensors on the host and in files: dtypes, sizes, and values that are read when they are asked for.
 *
 * @module
 */

/** dtypes and their arrays; BF16 has none of its own and is kept as raw bits. */
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Float16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** A dtype that can be read, in safetensors' spelling. */
export type Dtype = keyof typeof ARRAYS;

/** All dtypes. */
export const DTYPES = Object.keys(ARRAYS) as Dtype[];

/** The values of a tensor, row after row. */
export type TensorData = InstanceType<(typeof ARRAYS)[Dtype]>;

/** A tensor in memory. */
export interface HostTensor {
  readonly dtype: Dtype;
  readonly shape: number[];
  readonly data: TensorData;
}

/** A tensor in a file: its description is known, its values are read on request. */
export interface StoredTensor {
  readonly dtype: Dtype;
  readonly shape: number[];
  /**
   * Reads the values; nothing is kept.
   *
   * @throws {Error} if the file cannot give them
   */
  read(): HostTensor;
}

/** Either. */
export type TensorLike = HostTensor | StoredTensor;

/** True for the name of a dtype. */
export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && Object.hasOwn(ARRAYS, name);
}

/** Bytes of one element. */
export function elementBytes(dtype: Dtype): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of a tensor's values. */
export function tensorBytes({ dtype, shape }: Pick<StoredTensor, "dtype" | "shape">): number {
  return elementCount(shape) * elementBytes(dtype);
}

/** True for a list of whole numbers >= 0, e.g. strides. */
export function areSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= 32 &&
    value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** True for a whole number >= 0. */
export function isSize(value: unknown): value is number {
  return areSizes([value]);
}

/** True for a shape whose values can be counted exactly. */
export function isShape(value: unknown): value is number[] {
  return areSizes(value) && Number.isSafeInteger(elementCount(value) * 8);
}

/** Little-endian bytes as an array of the dtype; copies them if they are not aligned. */
export function dataFrom(dtype: Dtype, bytes: Uint8Array<ArrayBuffer>): TensorData {
  const size = elementBytes(dtype);
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new ARRAYS[dtype](aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}

/** A tensor's values as bytes, without copying. */
export function bytesOf({ data }: HostTensor): Uint8Array<ArrayBuffer> {
  return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

/** Reads a tensor unless it is in memory. */
export function hostTensor(tensor: TensorLike): HostTensor {
  return "data" in tensor ? tensor : tensor.read();
}

/** A tensor's values as 32-bit floats; the array itself if it has them already. */
export function toFloat32({ dtype, data }: HostTensor): Float32Array<ArrayBuffer> {
  if (data instanceof Float32Array) return data;
  if (dtype === "BF16") {
    const bits = Uint32Array.from(data as Uint16Array, (half) => half << 16);
    return new Float32Array(bits.buffer);
  }
  return isBig(data) ? Float32Array.from(data, Number) : new Float32Array(data);
}

function isBig(data: TensorData): data is BigInt64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer> {
  return data instanceof BigInt64Array || data instanceof BigUint64Array;
}

/** A tensor's values as numbers; 64-bit integers beyond 2^53 are rounded. */
export function toNumbers(tensor: HostTensor): ArrayLike<number> {
  if (tensor.dtype === "BF16") return toFloat32(tensor);
  return isBig(tensor.data) ? Float64Array.from(tensor.data, Number) : tensor.data;
}

/** A stored tensor whose values are another's, changed; `data` is that tensor's values as 32-bit floats. */
export function mapTensor(
  tensor: StoredTensor,
  shape: number[],
  change: (data: Float32Array<ArrayBuffer>, shape: readonly number[]) => Float32Array<ArrayBuffer>,
): StoredTensor {
  return {
    dtype: "F32",
    shape,
    read: () => ({ dtype: "F32", shape, data: change(toFloat32(tensor.read()), tensor.shape) }),
  };
}
