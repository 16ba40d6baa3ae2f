/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header of names, dtypes, shapes and byte
 * ranges, then the raw values. Files are untrusted: every claim of the header is checked before it is used.
 *
 * @module
 */

const MAX_HEADER_BYTES = 100_000_000;

/** dtypes that have a typed array. */
const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** A dtype that can be read. */
export type Dtype = keyof typeof ARRAYS;

/** A tensor on the host. */
export interface HostTensor {
  readonly dtype: Dtype;
  readonly shape: number[];
  readonly data: InstanceType<(typeof ARRAYS)[Dtype]>;
}

/** A file's tensors, in the header's order, and its metadata. */
export interface SafetensorsFile {
  readonly tensors: Map<string, HostTensor>;
  readonly metadata: Record<string, string>;
}

/** Serialises tensors; the header is padded with spaces so that the values begin at a multiple of 8 bytes. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerLength = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerLength + offset);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.fill(0x20, 8, 8 + headerLength);
  bytes.set(json, 8);
  let position = 8 + headerLength;
  for (const { data } of tensors.values()) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position);
    position += data.byteLength;
  }
  return bytes;
}

/**
 * Parses a file's bytes.
 *
 * @param path named in errors
 * @throws {Error} if a length, dtype, shape or byte range of the header does not hold
 */
export function decodeSafetensors(bytes: Uint8Array, path: string): SafetensorsFile {
  const refuse = (reason: string): never => {
    throw new Error(`Cannot read ${path}: ${reason}; expected a safetensors file`);
  };
  if (bytes.length < 8) refuse(`it has ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const claimed = view.getBigUint64(0, true);
  if (claimed > BigInt(Math.min(MAX_HEADER_BYTES, bytes.length - 8))) {
    refuse(`it claims a header of ${claimed} bytes but has ${bytes.length} bytes in all`);
  }
  const headerLength = Number(claimed);
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + headerLength)),
    );
  } catch (error) {
    return refuse(`its header is no JSON (${(error as Error).message})`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    refuse("its header is no object");
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  const values = bytes.subarray(8 + headerLength);
  const ranges: [number, number][] = [];
  const tensors = new Map<string, HostTensor>();
  for (const [name, entry] of Object.entries(entries)) {
    tensors.set(name, decodeTensor(name, entry, values, ranges, refuse));
  }
  ranges.sort((a, b) => a[0] - b[0]);
  let end = 0;
  for (const [from, to] of ranges) {
    if (from !== end) refuse(`its tensors overlap or leave a hole at byte ${Math.min(from, end)}`);
    end = to;
  }
  if (end !== values.length) refuse(`its tensors end at byte ${end} of ${values.length}`);
  return { tensors, metadata: checkMetadata(metadata, refuse) };
}

type Refuse = (reason: string) => never;

function checkMetadata(metadata: unknown, refuse: Refuse): Record<string, string> {
  if (typeof metadata !== "object" || metadata === null) return refuse("its metadata is no object");
  for (const value of Object.values(metadata)) {
    if (typeof value !== "string") refuse("its metadata holds a non-string");
  }
  return metadata as Record<string, string>;
}

function decodeTensor(
  name: string,
  entry: unknown,
  values: Uint8Array,
  ranges: [number, number][],
  refuse: Refuse,
): HostTensor {
  const { dtype, shape, data_offsets: range } = (entry ?? {}) as Record<string, unknown>;
  if (typeof dtype !== "string" || !Object.hasOwn(ARRAYS, dtype)) {
    return refuse(`tensor ${name} has dtype ${dtype}, which is none of ${Object.keys(ARRAYS).join(", ")}`);
  }
  const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(isSize)) return refuse(`tensor ${name} has no valid shape`);
  if (!Array.isArray(range) || range.length !== 2 || !range.every(isSize)) {
    return refuse(`tensor ${name} has no valid data_offsets`);
  }
  const [from, to] = range as [number, number];
  const ArrayType = ARRAYS[dtype as Dtype];
  const wanted = (shape as number[]).reduce((product, size) => product * size, 1) *
    ArrayType.BYTES_PER_ELEMENT;
  if (to > values.length || to - from !== wanted) {
    return refuse(
      `tensor ${name} of shape [${shape}] wants ${wanted} bytes but claims ${from} to ${to} of ${values.length}`,
    );
  }
  ranges.push([from, to]);
  return {
    dtype: dtype as Dtype,
    shape: shape as number[],
    data: new ArrayType(values.slice(from, to).buffer),
  };
}

/**
 * Writes a file whole or not at all: to a temporary name, flushed to the disk, renamed.
 *
 * @throws {Deno.errors} whatever the file system reports; a file that was there before stays as it was
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const temporary = `${path}.tmp`;
  try {
    using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    const bytes = encodeSafetensors(tensors, metadata);
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
    await file.sync();
  } catch (error) {
    await Deno.remove(temporary).catch(() => {}); // the first error is the one to report
    throw error;
  }
  await Deno.rename(temporary, path);
}

/**
 * Reads a file.
 *
 * @throws {Error} if it is missing or malformed
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new Error(`Cannot read weights: there is no file ${path}`);
    }
    throw error;
  }
  return decodeSafetensors(bytes, path);
}
