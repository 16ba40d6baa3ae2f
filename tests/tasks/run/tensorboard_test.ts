import { assertAlmostEquals, assertEquals } from "@std/assert";
// deno-lint-ignore no-import-prefix -- an independent reader, for this test alone
import protobuf from "npm:protobufjs@6.11.6";
import { crc32c, EventFile } from "../../../tasks/run/tensorboard.ts";

/** The parts of TensorFlow's event.proto and summary.proto that are read back. */
const SCHEMA = `
syntax = "proto3";
message Event {
  double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7;
}
message SessionLog { int32 status = 1; }
message Summary { repeated Value value = 1; }
message Value { string tag = 1; float simple_value = 2; Image image = 4; Tensor tensor = 8; Metadata metadata = 9; }
message Image { int32 height = 1; int32 width = 2; int32 colorspace = 3; bytes encoded = 4; }
message Tensor { int32 dtype = 1; repeated bytes string_val = 8; }
message Metadata { Plugin plugin_data = 1; }
message Plugin { string plugin_name = 1; }
`;

/** CRC-32C bit by bit, from its polynomial. */
function crcByBits(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function masked(bytes: Uint8Array): number {
  const crc = crcByBits(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

// deno-lint-ignore no-explicit-any
function readEvents(file: Uint8Array): any[] {
  const type = protobuf.parse(SCHEMA, { keepCase: true }).root.lookupType("Event");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const events = [];
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true));
    const data = file.subarray(at + 12, at + 12 + length);
    assertEquals(view.getUint32(at + 8, true), masked(file.subarray(at, at + 8)));
    assertEquals(view.getUint32(at + 12 + length, true), masked(data));
    events.push(type.toObject(type.decode(data), { longs: Number, bytes: Array }));
    at += 16 + length;
  }
  return events;
}

Deno.test("crc32c: the known answers of RFC 3720, B.4", () => {
  assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
});

Deno.test("event files are read back by another reader: version, scalars, image, text, checksums", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = await EventFile.create(`${folder}/run`);
    await file.start(3);
    await file.scalars(300, { "validation/f1": 0.25, loss: -1.5 });
    await file.image(4, "confusion", { png: Uint8Array.of(1, 2, 3), width: 20, height: 10 });
    await file.markdown(0, "run", "# façade");
    file.close();
    const [version, start, scalars, image, text, ...rest] = readEvents(await Deno.readFile(file.path));
    assertEquals(rest, []);
    assertEquals(version.file_version, "brain.Event:2");
    assertAlmostEquals(version.wall_time, Date.now() / 1000, 60);
    assertEquals([start.step, start.session_log.status], [3, 1]);
    assertEquals(scalars.step, 300);
    assertEquals(scalars.summary.value, [
      { tag: "validation/f1", simple_value: 0.25 },
      { tag: "loss", simple_value: -1.5 },
    ]);
    assertEquals(image.summary.value[0], {
      tag: "confusion",
      image: { height: 10, width: 20, colorspace: 3, encoded: [1, 2, 3] },
    });
    const [value] = text.summary.value;
    assertEquals([value.tag, value.metadata.plugin_data.plugin_name, value.tensor.dtype], ["run", "text", 7]);
    assertEquals(new TextDecoder().decode(Uint8Array.from(value.tensor.string_val[0])), "# façade");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
