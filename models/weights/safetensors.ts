/**
 * The safetensors format: an 8-byte little-endian header length, a JSON header of names, dtypes, shapes and byte
 * ranges, then the raw values. Files are untrusted: every claim of the header is checked before it is used.
 *
 * @module
 */

import { writeWhole } from "../../data/whole_file.ts";
import type { WeightsContent } from "./file.ts";
import { type ByteSource, FileSource, MemorySource, readBytes } from "./source.ts";
import {
  areSizes,
  bytesOf,
  dataFrom,
  type Dtype,
  DTYPES,
  type HostTensor,
  hostTensor,
  isDtype,
  isShape,
  type StoredTensor,
  tensorBytes,
  type TensorLike,
} from "./tensor.ts";

export type { Dtype, HostTensor };

const MAX_HEADER_BYTES = 100_000_000;

/** A file's tensors, in the header's order, and its metadata. */
export interface SafetensorsFile {
  readonly tensors: Map<string, HostTensor>;
  readonly metadata: Record<string, string>;
}

/** The length, the JSON header padded with spaces so that the values begin at a multiple of 8 bytes. */
function encodeHeader(
  tensors: ReadonlyMap<string, TensorLike>,
  metadata: Record<string, string>,
): Uint8Array {
  if (tensors.has("__metadata__")) {
    throw new Error(
      "Cannot write safetensors: a tensor is named __metadata__, which the format has for itself",
    );
  }
  const header: Record<string, unknown> = Object.create(null); // __proto__ is a name like others
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const [name, tensor] of tensors) {
    const { dtype, shape } = tensor;
    header[name] = { dtype, shape, data_offsets: [offset, offset += tensorBytes(tensor)] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerLength = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + headerLength).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerLength), true);
  bytes.set(json, 8);
  return bytes;
}

/**
 * Serialises tensors.
 *
 * @throws {Error} if a tensor is named `__metadata__`
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorLike>,
  metadata: Record<string, string> = {},
): Uint8Array {
  const header = encodeHeader(tensors, metadata);
  const values = [...tensors.values()];
  const bytes = new Uint8Array(header.length + values.reduce((sum, tensor) => sum + tensorBytes(tensor), 0));
  bytes.set(header);
  let position = header.length;
  for (const tensor of values) {
    const part = bytesOf(hostTensor(tensor));
    bytes.set(part, position);
    position += part.length;
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
  return readAll(openSafetensors(new MemorySource(bytes, path)));
}

function readAll({ tensors, metadata }: ReturnType<typeof openSafetensors>): SafetensorsFile {
  return { tensors: new Map([...tensors].map(([name, tensor]) => [name, tensor.read()])), metadata };
}

/**
 * Reads the header; the values are read when they are asked for.
 *
 * @throws {Error} if a length, dtype, shape or byte range of the header does not hold
 */
export function openSafetensors(
  source: ByteSource,
): WeightsContent & { metadata: Record<string, string> } {
  const refuse = (reason: string): never => {
    throw new Error(`Cannot read ${source.path}: ${reason}; expected a safetensors file`);
  };
  const { size } = source;
  if (size < 8) refuse(`it has ${size} bytes`);
  const claimed = new DataView(readBytes(source, 0, 8).buffer).getBigUint64(0, true);
  if (claimed > BigInt(Math.min(MAX_HEADER_BYTES, size - 8))) {
    refuse(`it claims a header of ${claimed} bytes but has ${size} bytes in all`);
  }
  const headerLength = Number(claimed);
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(readBytes(source, 8, headerLength)));
  } catch (error) {
    return refuse(`its header is no JSON (${(error as Error).message})`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    refuse("its header is no object");
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  const begin = 8 + headerLength;
  const ranges: [number, number][] = [];
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of Object.entries(entries)) {
    tensors.set(name, decodeTensor(name, entry, { source, begin }, ranges, refuse));
  }
  ranges.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let end = 0;
  for (const [from, to] of ranges) {
    if (from !== end) refuse(`its tensors overlap or leave a hole at byte ${Math.min(from, end)}`);
    end = to;
  }
  if (end !== size - begin) refuse(`its tensors end at byte ${end} of ${size - begin}`);
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

/** A text for a message; of anything else its type, since a header may hold any object. */
function shown(value: unknown): string {
  return typeof value === "string" ? value.slice(0, 40) : `of type ${typeof value}`;
}

function decodeTensor(
  name: string,
  entry: unknown,
  { source, begin }: { source: ByteSource; begin: number },
  ranges: [number, number][],
  refuse: Refuse,
): StoredTensor {
  const { dtype, shape, data_offsets: range } = (entry ?? {}) as Record<string, unknown>;
  if (!isDtype(dtype)) {
    return refuse(`tensor ${name} has dtype ${shown(dtype)}, which is none of ${DTYPES.join(", ")}`);
  }
  if (!isShape(shape)) return refuse(`tensor ${name} has no valid shape`);
  if (!areSizes(range) || range.length !== 2) return refuse(`tensor ${name} has no valid data_offsets`);
  const [from, to] = range;
  const wanted = tensorBytes({ dtype, shape });
  if (begin + to > source.size || to - from !== wanted) {
    return refuse(
      `tensor ${name} of shape [${shape}] wants ${wanted} bytes but claims ${from} to ${to} of ${
        source.size - begin
      }`,
    );
  }
  ranges.push([from, to]);
  return {
    dtype,
    shape,
    read: () => ({ dtype, shape, data: dataFrom(dtype, readBytes(source, begin + from, wanted)) }),
  };
}

/**
 * Writes a file whole or not at all ({@link writeWhole}). Stored tensors are read one at a time.
 *
 * @throws {Error} if a tensor is named `__metadata__`; {Deno.errors} whatever the file system reports; a file that was there before stays as it was
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorLike>,
  metadata: Record<string, string> = {},
): Promise<void> {
  await writeWhole(path, async (put) => {
    await put(encodeHeader(tensors, metadata));
    for (const tensor of tensors.values()) await put(bytesOf(hostTensor(tensor)));
  });
}

/**
 * Reads a file.
 *
 * @throws {Error} if it is missing or malformed
 */
export function readSafetensors(path: string): Promise<SafetensorsFile> {
  return Promise.try(() => {
    const source = new FileSource(path);
    try {
      return readAll(openSafetensors(source));
    } finally {
      source.close();
    }
  });
}
