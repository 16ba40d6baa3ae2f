/** Files put together byte by byte: pickles, zip archives and torch files, true or not. */
import { crc32, deflateRawSync } from "node:zlib";

export type Part = string | number[] | Uint8Array;

/** Joins texts (one byte a character) and bytes. */
export function bytes(...parts: Part[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === "string" ? Array.from(part, (c) => c.charCodeAt(0)) : Array.from(part)
    ),
  );
}

export function little(value: number | bigint, length: number): number[] {
  return Array.from({ length }, (_, i) => Number(BigInt(value) >> BigInt(8 * i) & 255n));
}

/** A pickle of protocol 2. */
export const pickle = (...parts: Part[]) => bytes([0x80, 2], ...parts);
export const name = (text: string) => bytes("X", little(text.length, 4), text);

export interface ZipPart {
  readonly name: string;
  readonly content: Uint8Array;
  readonly packed?: boolean;
  /** claimed instead of the true size */
  readonly size?: number;
  readonly crc?: number;
  readonly flags?: number;
  readonly method?: number;
  /** shares the bytes of the part before */
  readonly overlapping?: boolean;
}

/** A zip archive as its parts say, true or not. */
export function zip(parts: readonly ZipPart[]): Uint8Array<ArrayBuffer> {
  let body = bytes();
  const directory: Part[] = [];
  let local = 0;
  for (const part of parts) {
    const content = part.packed ? deflateRawSync(part.content) : part.content;
    const method = part.method ?? (part.packed ? 8 : 0);
    const common = [
      ...little(20, 2),
      ...little(part.flags ?? 0, 2),
      ...little(method, 2),
      ...little(0, 4),
      ...little(part.crc ?? crc32(part.content), 4),
      ...little(content.length, 4),
      ...little(part.size ?? part.content.length, 4),
      ...little(part.name.length, 2),
      ...little(0, 2),
    ];
    if (!part.overlapping) {
      local = body.length;
      body = bytes(body, "PK\x03\x04", common, part.name, content);
    }
    directory.push("PK\x01\x02", little(20, 2), common, little(0, 10), little(local, 4), part.name);
  }
  const central = bytes(...directory);
  const count = little(parts.length, 2);
  return bytes(
    body,
    central,
    "PK\x05\x06",
    little(0, 4),
    count,
    count,
    little(central.length, 4),
    little(body.length, 4),
    little(0, 2),
  );
}

export function npy(header: string, values: Uint8Array = bytes()): Uint8Array {
  return bytes("\x93NUMPY", [1, 0], little(header.length, 2), header, values);
}

/** `_rebuild_tensor_v2` of a storage of floats. */
export function torchTensor(elements: number, shape: number[], strides: number[], offset = 0): Part[] {
  const tuple = (values: number[]) =>
    bytes("(", ...values.map((value) => bytes([0x8a, 8], little(value, 8))), "t");
  return [
    "ctorch._utils\n_rebuild_tensor_v2\n((",
    name("storage"),
    "ctorch\nFloatStorage\n",
    name("0"),
    name("cpu"),
    bytes([0x8a, 8], little(elements, 8)),
    "tQ",
    bytes([0x8a, 8], little(offset, 8)),
    tuple(shape),
    tuple(strides),
    "\x89NtR",
  ];
}

export const torchZip = (data: Uint8Array, storage: Uint8Array = new Uint8Array(16)) =>
  zip([{ name: "a/data.pkl", content: data }, { name: "a/data/0", content: storage }]);

/** The old stream's first three pickles, then another. */
export function torchStream(object: Uint8Array): Uint8Array {
  const magic = pickle([0x8a, 10], little(0x1950a86a20f9469cfc6cn, 10), ".");
  return bytes(magic, pickle("M", little(1001, 2), "."), pickle("}."), object);
}

/** A tuple of two of a tuple of two of ...: 2^depth leaves in two bytes each depth. */
export const doubled = (depth: number) => bytes(")", ...Array<Part>(depth).fill("2\x86"));

/** Calls a global with one argument (`argument` makes the tuple of it), many times, and drops what it gives. */
export function called(global: string, argument: Part, times: number): Uint8Array {
  return pickle(`c${global}\nq\x000`, argument, "q\x010", ...Array<Part>(times).fill("h\x00h\x01R0"), "}.");
}

/** A list that holds the next `width` times, which holds the next ... */
export function nested(depth: number, width: number): Uint8Array {
  const parts: Part[] = ["]q\x000"];
  for (let i = 0; i < depth; i++) {
    parts.push("](", ...Array<Part>(width).fill(bytes("h", [i])), "eq", [i + 1], "0");
  }
  return pickle(...parts, "h", [depth], ".");
}

/** A dict with a pickled array `a` that claims a dtype and a shape; `data` is the opcode of its bytes, 4 by default. */
export function numpyPickle(
  dtype: string,
  shape: number[],
  data: Part = "U\x04\x00\x00\x80\x3f",
): Uint8Array {
  const state = ["(", ...shape.map((size) => bytes("J", little(size, 4))), "t"];
  return pickle(
    "}",
    name("a"),
    "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01",
    ...state,
    `cnumpy\ndtype\nU${
      String.fromCharCode(dtype.length)
    }${dtype}K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb`,
    "\x89",
    data,
    "tbs.",
  );
}

/** A dict with an array `a` of 32-bit floats 0, 1, ... as numpy's protocol 5 writes it: values, shape, order, axes. */
export function numpyBuffer(shape: number[], order: string, axes?: number[]): Uint8Array {
  const values = Uint8Array.from(
    new Uint8Array(
      Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) => i).buffer,
    ),
  );
  const tuple = (sizes: number[]) => bytes("(", ...sizes.map((size) => bytes("J", little(size, 4))), "t");
  return bytes(
    [0x80, 5],
    "}",
    name("a"),
    "cnumpy._core.numeric\n_frombuffer\n(",
    [0x96],
    little(values.length, 8),
    values,
    "cnumpy\ndtype\n",
    name("f4"),
    "\x89\x88\x87R(K\x03",
    name("<"),
    "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
    tuple(shape),
    name(order),
    axes === undefined ? "" : tuple(axes),
    "tRs.",
  );
}
