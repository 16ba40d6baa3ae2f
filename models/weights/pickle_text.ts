/**
 * The ways in which pickles write byte strings as text, decoded in place.
 *
 * @module
 */
import type { Decoder } from "./pickle_values.ts";

const BACKSLASH = 0x5c;

/** What single letters behind a backslash stand for. */
const ESCAPES: ReadonlyMap<number, number> = new Map(
  Object.entries({ n: 10, r: 13, t: 9, a: 7, b: 8, f: 12, v: 11, "\\": 92, "'": 39, '"': 34 })
    .map(([letter, value]) => [letter.charCodeAt(0), value]),
);

/** UTF-8 of characters below 256 (Python 3's bytes in protocol 2): 0xC2 or 0xC3 and 0x80..0xBF are one character. */
export const latin1FromUtf8: Decoder = (bytes, fail) => {
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
};

/** A number in hexadecimal digits; NaN if one of them is none. */
function hexadecimal(bytes: Uint8Array, from: number, digits: number): number {
  let value = from + digits > bytes.length ? NaN : 0;
  for (let i = from; i < from + digits; i++) value = value * 16 + parseInt(String.fromCharCode(bytes[i]), 16);
  return value;
}

/** Python's raw-unicode-escape of characters below 256 (Python 3's bytes in protocol 0): `\u00ff`. */
export const latin1FromRawUnicode: Decoder = (bytes, fail) => {
  let length = 0;
  for (let i = 0; i < bytes.length; i++) {
    let byte = bytes[i];
    if (byte === BACKSLASH && bytes[i + 1] === 0x75) {
      byte = hexadecimal(bytes, i + 2, 4);
      if (!(byte < 256)) fail("a text that stands for bytes is not latin1");
      i += 5;
    }
    bytes[length++] = byte;
  }
  return bytes.subarray(0, length);
};

/** A Python 2 string in quotes, with escapes: `'\x00\n'`. */
export const bytesFromQuoted: Decoder = (bytes, fail) => {
  const quote = bytes[0];
  if (bytes.length < 2 || (quote !== 0x27 && quote !== 0x22) || bytes[bytes.length - 1] !== quote) {
    fail("its pickle has a string without quotes");
  }
  let length = 0;
  for (let i = 1; i < bytes.length - 1; i++) {
    let byte = bytes[i];
    const next = bytes[i + 1];
    if (byte === BACKSLASH && next === 0x78) {
      byte = hexadecimal(bytes, i + 2, 2);
      if (Number.isNaN(byte)) fail("its pickle has a string with a damaged escape");
      i += 3;
    } else if (byte === BACKSLASH && ESCAPES.has(next)) {
      byte = ESCAPES.get(next)!;
      i++;
    } else if (byte === BACKSLASH) {
      fail(`its pickle has a string with the escape \\${String.fromCharCode(next)}`);
    }
    bytes[length++] = byte;
  }
  return bytes.subarray(0, length);
};
