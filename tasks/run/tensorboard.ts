/**
 * TensorBoard's event files, written by hand. A file is a sequence of TFRecords: length (uint64), masked CRC-32C of
 * the length, data, masked CRC-32C of the data, all little-endian; the data is an `Event` message of TensorFlow's
 * event.proto. The fields used here are below, by their numbers in event.proto, summary.proto and tensor.proto.
 *
 * @module
 */

/** Reflected polynomial of CRC-32C (Castagnoli). */
const POLYNOMIAL = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = (byte >>> 1) ^ (byte & 1 ? POLYNOMIAL : 0);
  return byte;
});

/** CRC-32C of bytes. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** The checksum as TFRecords have it: rotated and moved, so that a checksum of checksums is no special case. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

/** One TFRecord. */
export function record(data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(data.length + 16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return bytes;
}

/** A field of a protobuf message, encoded. */
type Field = Uint8Array;

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function varint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot encode ${value}: expected an integer that is not negative`);
  }
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push(value % 128 | 128);
  return Uint8Array.from([...bytes, value]);
}

/** Wire types of protobuf: varint, 8 bytes, length-delimited, 4 bytes. */
const [VARINT, FIXED64, DELIMITED, FIXED32] = [0, 1, 2, 5];

function tag(field: number, wire: number): Uint8Array {
  return varint(field * 8 + wire);
}

function integer(field: number, value: number): Field {
  return concat([tag(field, VARINT), varint(value)]);
}

function double(field: number, value: number): Field {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  return concat([tag(field, FIXED64), bytes]);
}

function float(field: number, value: number): Field {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return concat([tag(field, FIXED32), bytes]);
}

function bytesField(field: number, value: Uint8Array): Field {
  return concat([tag(field, DELIMITED), varint(value.length), value]);
}

function text(field: number, value: string): Field {
  return bytesField(field, new TextEncoder().encode(value));
}

function message(field: number, ...fields: readonly Field[]): Field {
  return bytesField(field, concat(fields));
}

// Field numbers: Event (event.proto).
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 };
const SESSION_START = { status: 1, start: 1 };
// Summary, Summary.Value, Summary.Image, SummaryMetadata (summary.proto).
const SUMMARY = { value: 1 };
const VALUE = { tag: 1, simpleValue: 2, image: 4, tensor: 8, metadata: 9 };
const IMAGE = { height: 1, width: 2, colorspace: 3, encoded: 4 };
const METADATA = { pluginData: 1, dataClass: 4, pluginName: 1, tensorClass: 2 };
// TensorProto, TensorShapeProto (tensor.proto).
const TENSOR = { dtype: 1, shape: 2, stringValue: 8, stringType: 7, dimension: 2, size: 1 };
/** Of Summary.Image: red, green, blue. */
const RGB = 3;

/** Writes one event file; TensorBoard shows each folder with such a file as a run. */
export class EventFile {
  readonly path: string;
  readonly #file: Deno.FsFile;

  private constructor(path: string, file: Deno.FsFile) {
    this.path = path;
    this.#file = file;
  }

  /** Makes a new file in a folder, which is made if it is missing. */
  static async create(folder: string): Promise<EventFile> {
    await Deno.mkdir(folder, { recursive: true });
    const now = Date.now();
    const seconds = Math.floor(now / 1000);
    for (let n = now % 1000;; n++) {
      const path = `${folder}/events.out.tfevents.${seconds}.fervid.${Deno.pid}.${n}`;
      try {
        const file = new EventFile(path, await Deno.open(path, { write: true, createNew: true }));
        await file.#write(text(EVENT.fileVersion, "brain.Event:2"));
        return file;
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      }
    }
  }

  /** Says that the run starts at a step: TensorBoard forgets what earlier files of the folder say of later steps. */
  async start(step: number): Promise<void> {
    await this.#write(
      integer(EVENT.step, step),
      message(EVENT.sessionLog, integer(SESSION_START.status, SESSION_START.start)),
    );
  }

  /** Numbers by name, e.g. `validation/f1`. */
  async scalars(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    const summaries = Object.entries(values).map(([name, value]) =>
      message(SUMMARY.value, text(VALUE.tag, name), float(VALUE.simpleValue, value))
    );
    await this.#write(integer(EVENT.step, step), message(EVENT.summary, ...summaries));
  }

  /** A PNG image. */
  async image(step: number, name: string, { png, width, height }: PngImage): Promise<void> {
    const image = message(
      VALUE.image,
      integer(IMAGE.height, height),
      integer(IMAGE.width, width),
      integer(IMAGE.colorspace, RGB),
      bytesField(IMAGE.encoded, png),
    );
    await this.#write(
      integer(EVENT.step, step),
      message(EVENT.summary, message(SUMMARY.value, text(VALUE.tag, name), image)),
    );
  }

  /** A text; TensorBoard renders it as Markdown. */
  async markdown(step: number, name: string, content: string): Promise<void> {
    const metadata = message(
      VALUE.metadata,
      message(METADATA.pluginData, text(METADATA.pluginName, "text")),
      integer(METADATA.dataClass, METADATA.tensorClass),
    );
    const tensor = message(
      VALUE.tensor,
      integer(TENSOR.dtype, TENSOR.stringType),
      message(TENSOR.shape, message(TENSOR.dimension, integer(TENSOR.size, 1))),
      text(TENSOR.stringValue, content),
    );
    const value = message(SUMMARY.value, text(VALUE.tag, name), tensor, metadata);
    await this.#write(integer(EVENT.step, step), message(EVENT.summary, value));
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }

  async #write(...fields: readonly Field[]): Promise<void> {
    const bytes = record(concat([double(EVENT.wallTime, Date.now() / 1000), ...fields]));
    for (let written = 0; written < bytes.length;) written += await this.#file.write(bytes.subarray(written));
  }
}

/** An encoded image and its size. */
export interface PngImage {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}
