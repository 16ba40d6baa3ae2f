/**
 * Zip archives, read by place: the directory first, then an entry's bytes when they are wanted, a stored entry's
 * without the rest of it. (PKWARE's APPNOTE 6.3: Sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3.)
 *
 * @module
 */
import { constants, crc32, inflateRawSync } from "node:zlib";
import { requirePlausible } from "./file.ts";
import { type ByteSource, Cursor, readBytes, refuse } from "./source.ts";

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
const END_64_LOCATOR = 0x07064b50;
const MAX_COMMENT_BYTES = 65535;
const MAX_ENTRIES = 100_000;
const STORED = 0;
const DEFLATED = 8;
/** A part of a deflated stream has no end; at most 16 MiB of it are unpacked. */
const PART = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 1 << 24 };

/** A file of the archive. */
export interface ZipEntry {
  readonly name: string;
  /** bytes, unpacked */
  readonly size: number;
  readonly packedSize: number;
  readonly isStored: boolean;
  readonly crc: number;
  /** where its bytes begin in the archive */
  readonly offset: number;
}

/** An archive's directory. */
export class ZipArchive {
  readonly source: ByteSource;
  readonly entries: ReadonlyMap<string, ZipEntry>;

  /** @throws {Error} if the directory is damaged, encrypted, or its entries overlap */
  constructor(source: ByteSource) {
    this.source = source;
    const entries = readDirectory(source);
    requireDisjoint(source, entries);
    requirePlausible(source, "zip entries", entries.reduce((sum, { size }) => sum + size, 0));
    this.entries = new Map(entries.map((entry) => [entry.name, entry]));
    if (this.entries.size !== entries.length) refuse(source, "its zip directory has a name twice");
  }

  /**
   * All bytes of an entry.
   *
   * @throws {Error} if it unpacks to another size or checksum than it claims
   */
  read(entry: ZipEntry): Uint8Array<ArrayBuffer> {
    const bytes = entry.isStored
      ? readBytes(this.source, entry.offset, entry.size)
      : this.#inflate(entry, readBytes(this.source, entry.offset, entry.packedSize));
    if (crc32(bytes) !== entry.crc) {
      refuse(
        this.source,
        entry.crc === 0
          ? `${entry.name} in it has no checksum, as after torch.serialization.set_crc32_options(False); ` +
            "expected a file saved with checksums"
          : `${entry.name} in it is damaged (its checksum differs)`,
      );
    }
    return bytes;
  }

  /** The first bytes of an entry, at most `length`, without unpacking the rest. */
  head(entry: ZipEntry, length: number): Uint8Array<ArrayBuffer> {
    if (entry.isStored) return readBytes(this.source, entry.offset, Math.min(length, entry.size));
    const packed = readBytes(this.source, entry.offset, Math.min(length, entry.packedSize));
    return this.#inflate(entry, packed).subarray(0, length);
  }

  #inflate(entry: ZipEntry, packed: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const isWhole = packed.length === entry.packedSize;
    try {
      const bytes = inflateRawSync(packed, isWhole ? { maxOutputLength: Math.max(1, entry.size) } : PART);
      if (isWhole && bytes.length !== entry.size) throw new RangeError(`it gives ${bytes.length} bytes`);
      return bytes as Uint8Array<ArrayBuffer>;
    } catch (error) {
      const { code, message } = error as Error & { code?: string };
      const reason = code === "ERR_BUFFER_TOO_LARGE" ? "it is more" : message;
      return refuse(
        this.source,
        `${entry.name} in it does not unpack to the ${entry.size} bytes that it claims (${reason})`,
      );
    }
  }
}

/** Finds the end record, which may be followed by a comment. */
function readDirectory(source: ByteSource): ZipEntry[] {
  const length = Math.min(source.size, 22 + MAX_COMMENT_BYTES);
  const tail = readBytes(source, source.size - length, length);
  const view = new DataView(tail.buffer);
  for (let i = length - 22; i >= 0; i--) {
    if (view.getUint32(i, true) !== END) continue;
    let count = view.getUint16(i + 10, true);
    let size = view.getUint32(i + 12, true);
    let offset = view.getUint32(i + 16, true);
    if (i >= 20 && view.getUint32(i - 20, true) === END_64_LOCATOR) {
      const end = new Cursor(source, Number(view.getBigUint64(i - 12, true))).view(56);
      if (end.getUint32(0, true) !== END_64) refuse(source, "its zip64 end record is damaged");
      count = Number(end.getBigUint64(32, true));
      size = Number(end.getBigUint64(40, true));
      offset = Number(end.getBigUint64(48, true));
    }
    if (offset + size > source.size || count > MAX_ENTRIES || count * 46 > size) {
      refuse(source, `its zip directory claims ${count} entries in ${size} bytes at byte ${offset}`);
    }
    const cursor = new Cursor(source, offset, offset + size);
    return Array.from({ length: count }, () => readEntry(cursor));
  }
  return refuse(source, "it begins like a zip archive but has no directory at its end; it may be cut off");
}

function readEntry(cursor: Cursor): ZipEntry {
  const { source } = cursor;
  const view = cursor.view(46);
  if (view.getUint32(0, true) !== CENTRAL) refuse(source, "its zip directory is damaged");
  const flags = view.getUint16(8, true);
  const method = view.getUint16(10, true);
  const crc = view.getUint32(16, true);
  const sizes = {
    packedSize: view.getUint32(20, true),
    size: view.getUint32(24, true),
    local: view.getUint32(42, true),
  };
  const [nameLength, extraLength, commentLength] = [28, 30, 32].map((at) => view.getUint16(at, true));
  const name = new TextDecoder().decode(cursor.take(nameLength));
  readZip64(cursor.view(extraLength), sizes);
  cursor.skip(commentLength);
  if (flags & 1) refuse(source, `${name} in it is encrypted`);
  if (method !== STORED && method !== DEFLATED) {
    refuse(source, `${name} in it is packed by method ${method}; expected stored or deflated`);
  }
  const { packedSize, size, local } = sizes;
  if (method === STORED && packedSize !== size) {
    refuse(source, `${name} in it has two sizes, ${packedSize} and ${size}`);
  }
  const offset = valuesOffset(source, local, name);
  if (offset + packedSize > source.size) {
    refuse(source, `${name} in it claims ${packedSize} bytes at byte ${offset} of ${source.size}`);
  }
  return { name, size, packedSize, isStored: method === STORED, crc, offset };
}

/** Replaces sizes that do not fit 32 bits by those of the zip64 extra field. */
function readZip64(
  extra: DataView,
  sizes: { packedSize: number; size: number; local: number },
): void {
  for (let at = 0; at + 4 <= extra.byteLength;) {
    const length = extra.getUint16(at + 2, true);
    if (extra.getUint16(at, true) === 1) {
      let field = at + 4;
      for (const key of ["size", "packedSize", "local"] as const) {
        if (sizes[key] !== 0xffffffff || field + 8 > Math.min(at + 4 + length, extra.byteLength)) continue;
        sizes[key] = Number(extra.getBigUint64(field, true));
        field += 8;
      }
    }
    at += 4 + length;
  }
}

/** Where an entry's bytes begin: behind its local header. */
function valuesOffset(source: ByteSource, local: number, name: string): number {
  const header = new DataView(readBytes(source, local, 30).buffer);
  if (header.getUint32(0, true) !== LOCAL) refuse(source, `${name} in it has no header at byte ${local}`);
  return local + 30 + header.getUint16(26, true) + header.getUint16(28, true);
}

/** Entries that share bytes are how a small archive unpacks to a huge one. */
function requireDisjoint(source: ByteSource, entries: readonly ZipEntry[]): void {
  const sorted = entries.filter(({ packedSize }) => packedSize > 0).sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < sorted.length; i++) {
    const { name, offset, packedSize } = sorted[i - 1];
    if (offset + packedSize > sorted[i].offset) refuse(source, `${name} and ${sorted[i].name} in it overlap`);
  }
}
