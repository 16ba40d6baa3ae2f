/**
 * Bytes of a file, read at any place without reading the rest; every read is checked against the file's end before
 * memory is taken for it.
 *
 * @module
 */

/** Bytes that can be read at any place. */
export interface ByteSource {
  /** named in errors */
  readonly path: string;
  /** bytes in all */
  readonly size: number;
  /**
   * Fills `target` from `offset`.
   *
   * @throws {Error} if the source ends before
   */
  readInto(offset: number, target: Uint8Array): void;
  /** Gives the file back. */
  close(): void;
}

/** The one form of complaint about a file. */
export function refuse(source: Pick<ByteSource, "path">, reason: string): never {
  throw new Error(`Cannot read ${source.path}: ${reason}`);
}

/** Reads `length` bytes from `offset`. */
export function readBytes(source: ByteSource, offset: number, length: number): Uint8Array<ArrayBuffer> {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
    refuse(source, `a part of it claims ${length} bytes from byte ${offset}`);
  }
  if (offset + length > source.size) {
    refuse(source, `it ends at byte ${source.size} but ${length} bytes from byte ${offset} are wanted`);
  }
  const bytes = new Uint8Array(length);
  source.readInto(offset, bytes);
  return bytes;
}

/** Bytes in memory. */
export class MemorySource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly #bytes: Uint8Array;

  /** @param path named in errors */
  constructor(bytes: Uint8Array, path: string) {
    this.path = path;
    this.size = bytes.length;
    this.#bytes = bytes;
  }

  readInto(offset: number, target: Uint8Array): void {
    if (offset + target.length > this.size) refuse(this, `it ends at byte ${this.size}`);
    target.set(this.#bytes.subarray(offset, offset + target.length));
  }

  close(): void {}
}

/** An open file. */
export class FileSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  readonly #file: Deno.FsFile;

  /** @throws {Error} if there is no such file, or it is no file */
  constructor(path: string) {
    try {
      this.#file = Deno.openSync(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) {
        throw new Error(`Cannot read weights: there is no file ${path}`);
      }
      throw error;
    }
    const { size, isFile } = this.#file.statSync();
    if (!isFile) {
      this.#file.close();
      throw new Error(`Cannot read weights: ${path} is no file`);
    }
    this.path = path;
    this.size = size;
  }

  readInto(offset: number, target: Uint8Array): void {
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < target.length;) {
      const count = this.#file.readSync(target.subarray(done));
      if (count === null) {
        refuse(this, `it ends at byte ${offset + done} but ${target.length} bytes are wanted`);
      }
      done += count;
    }
  }

  close(): void {
    this.#file.close();
  }
}

const BLOCK_BYTES = 1 << 16;

/** Reads a range of a source from its beginning to its end, a block at a time. */
export class Cursor {
  readonly source: ByteSource;
  readonly end: number;
  #position: number;
  #block: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #blockStart = 0;

  /** Begins at byte `from` and ends before byte `end` (the source's end by default). */
  constructor(source: ByteSource, from = 0, end = source.size) {
    this.source = source;
    this.#position = from;
    this.end = Math.min(end, source.size);
  }

  /** The next byte's place in the source. */
  get position(): number {
    return this.#position;
  }

  /** Steps over bytes. */
  skip(length: number): void {
    this.#require(length);
    this.#position += length;
  }

  /** The next byte. */
  u8(): number {
    const index = this.#position - this.#blockStart;
    if (index >= 0 && index < this.#block.length && this.#position < this.end) {
      this.#position++;
      return this.#block[index];
    }
    return this.take(1)[0];
  }

  /** The next bytes; valid until the next call. */
  take(length: number): Uint8Array<ArrayBuffer> {
    this.#require(length);
    const from = this.#position;
    this.#position += length;
    if (length > BLOCK_BYTES) return readBytes(this.source, from, length);
    if (from < this.#blockStart || from + length > this.#blockStart + this.#block.length) {
      this.#block = readBytes(this.source, from, Math.min(BLOCK_BYTES, this.end - from));
      this.#blockStart = from;
    }
    return this.#block.subarray(from - this.#blockStart, from - this.#blockStart + length);
  }

  /** The next bytes as a view for numbers. */
  view(length: number): DataView {
    const bytes = this.take(length);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Steps over a line and its line feed; where it lies, without the line feed. */
  line(): { offset: number; length: number } {
    const offset = this.#position;
    for (;;) {
      const length = Math.min(BLOCK_BYTES, this.end - this.#position);
      if (length === 0) refuse(this.source, "it ends within a line");
      const index = this.take(length).indexOf(0x0a);
      if (index < 0) continue;
      this.#position -= length - index - 1;
      return { offset, length: this.#position - 1 - offset };
    }
  }

  #require(length: number): void {
    if (length < 0 || this.#position + length > this.end) {
      refuse(
        this.source,
        `it ends at byte ${this.end} but ${length} bytes from byte ${this.#position} are wanted`,
      );
    }
  }
}
