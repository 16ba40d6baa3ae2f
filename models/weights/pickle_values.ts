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

/** What the bytes in the file stand for; `fail` complains about the file. */
export type Decoder = (
  bytes: Uint8Array<ArrayBuffer>,
  fail: (reason: string) => never,
) => Uint8Array<ArrayBuffer>;

/** A byte string that stays in the file until it is read. */
export class PickleBytes {
  readonly #source: ByteSource;
  readonly #offset: number;
  /** bytes in the file */
  readonly length: number;
  readonly #decode: Decoder | undefined;

  /** Bytes of a source; `decode` shortens them or leaves them as long as they are. */
  constructor(source: ByteSource, offset: number, length: number, decode?: Decoder) {
    this.#source = source;
    this.#offset = offset;
    this.length = length;
    this.#decode = decode;
  }

  /** The bytes stand for at most as many others. */
  get isEncoded(): boolean {
    return this.#decode !== undefined;
  }

  /** Reads them. */
  read(): Uint8Array<ArrayBuffer> {
    const bytes = readBytes(this.#source, this.#offset, this.length);
    return this.#decode?.(bytes, (reason) => refuse(this.#source, reason)) ?? bytes;
  }
}

/** A value for a message: nothing of what lists and dicts hold, which can be themselves, or more than any memory. */
export function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  if (value === null || ["undefined", "boolean", "number", "bigint"].includes(typeof value)) {
    return String(value).slice(0, 40);
  }
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return value instanceof Map ? "a dict" : "an object";
}

/** A list of sizes for a message, as far as it is one. */
export function describeSizes(value: unknown): string {
  if (!Array.isArray(value) || value.length > 32) return describe(value);
  return `[${value.map(describe).join(", ")}]`;
}
