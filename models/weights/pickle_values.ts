/**
 * What pickles are made of, beside plain values: the globals that they may use, and byte strings that stay in the file.
 *
 * @module
 */
import { type ByteSource, readBytes, refuse } from "./source.ts";

/** A global of the whitelist: one that can be called, or an inert name that others take as an argument. */
export interface PickleGlobal {
  /** e.g. `torch.FloatStorage` */
  readonly name: string;
  /** what REDUCE and NEWOBJ do */
  readonly call?: (...args: unknown[]) => unknown;
}

/** An object that takes a state (BUILD). */
export interface Buildable {
  /** Python's `__setstate__`. */
  setState(state: unknown): void;
}

/** What a pickle may use. */
export interface PickleRules {
  /** by `module.name` */
  readonly globals: ReadonlyMap<string, PickleGlobal>;
  /** what a persistent id stands for; none are allowed by default */
  readonly persistent?: (id: unknown) => unknown;
}

/** A byte string that stays in the file until it is read. */
export class PickleBytes {
  readonly #source: ByteSource;
  readonly #offset: number;
  /** bytes in the file */
  readonly length: number;
  /** the bytes are UTF-8 of characters below 256, as Python 3 writes bytes in protocol 2 */
  readonly isText: boolean;

  /** Bytes of a source. */
  constructor(source: ByteSource, offset: number, length: number, isText = false) {
    this.#source = source;
    this.#offset = offset;
    this.length = length;
    this.isText = isText;
  }

  /** Reads them. */
  read(): Uint8Array<ArrayBuffer> {
    const bytes = readBytes(this.#source, this.#offset, this.length);
    return this.isText ? latin1FromUtf8(bytes, (reason) => refuse(this.#source, reason)) : bytes;
  }
}

/** Decodes in place: two bytes 0xC2 or 0xC3 and 0x80..0xBF are one character. */
function latin1FromUtf8(bytes: Uint8Array<ArrayBuffer>, fail: (reason: string) => never) {
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i];
    if (byte >= 0x80) {
      const next = bytes[++i];
      if ((byte & 0xfe) !== 0xc2 || (next & 0xc0) !== 0x80) {
        fail("a text that stands for bytes is not latin1");
      }
      byte = (byte & 3) << 6 | next & 0x3f;
    }
    bytes[length++] = byte;
  }
  return bytes.subarray(0, length);
}
