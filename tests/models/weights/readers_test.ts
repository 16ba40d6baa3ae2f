/** Every format's reader against what Python wrote: tests/golden/make_weights.py. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { WeightsFile } from "../../../models/weights/file.ts";
import { openWeights } from "../../../models/weights/open.ts";
import { readBytes } from "../../../models/weights/source.ts";
import { Cursor, MemorySource } from "../../../models/weights/source.ts";
import { toFloat32, toNumbers } from "../../../models/weights/tensor.ts";
import { numpyBuffer, numpyPickle } from "./_craft.ts";
import { EXPECTED, type ExpectedTensor, goldenBytes, goldenPath } from "../../golden/weights.ts";

const DTYPES: Readonly<Record<string, string>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
};

function assertTensor(file: WeightsFile, name: string, expected: ExpectedTensor, dtype: string): void {
  const stored = file.tensors.get(name)!;
  const tensor = stored.read();
  assertEquals([stored.dtype, stored.shape], [tensor.dtype, tensor.shape], name);
  assertEquals([tensor.dtype, tensor.shape], [dtype, expected.shape], name);
  const values = dtype === "I64" ? Array.from(tensor.data, String) : Array.from(toNumbers(tensor));
  assertEquals(values, expected.values.map((value) => dtype === "I64" ? value : Number(value)), name);
}

for (const [name, format] of [["odd_zip.pth", "PyTorch zip"], ["odd_old.pth", "PyTorch old pickle stream"]]) {
  Deno.test(`${name}: every dtype, view and stride of a ${format}, in nested dicts`, async () => {
    using file = await openWeights(goldenPath(name));
    assertEquals(file.format, format);
    assertEquals([...file.tensors.keys()], Object.keys(EXPECTED.odd));
    for (const [tensor, expected] of Object.entries(EXPECTED.odd)) {
      assertTensor(file, tensor, expected, DTYPES[expected.dtype]);
    }
    assertEquals(
      new Set(file.groups),
      new Set(["state_dict.", "optimizer.", "optimizer.state.", "optimizer.state.0."]),
    );
  });
}

/** The dtypes of make_weights.py's `make_arrays`. */
const ARRAY_DTYPES: Readonly<Record<string, string>> = {
  f8: "F64",
  f4: "F32",
  f2: "F16",
  i8: "I64",
  u1: "U8",
  b1: "BOOL",
  fortran: "F32",
  big_endian: "F32",
  scalar: "F32",
  empty: "F32",
};

const ARRAY_FILES: [string, string, boolean][] = [
  ["arrays_protocol0.pkl", "numpy pickle", false],
  ["arrays_protocol2.pkl", "numpy pickle", true],
  ["arrays_protocol5.pkl", "numpy pickle", false],
  ["arrays.npz", "numpy npz", false],
  ["arrays_compressed.npz", "numpy npz", true],
  ["arrays.h5", "Keras HDF5", true],
];

for (const [name, format, hasLong] of ARRAY_FILES) {
  Deno.test(`${name}: numpy's dtypes, orders and byte orders in a ${format}`, async () => {
    using file = await openWeights(goldenPath(name));
    assertEquals(file.format, format);
    for (const [array, expected] of Object.entries(EXPECTED.arrays)) {
      assertTensor(file, array, expected, ARRAY_DTYPES[array]);
    }
    assertEquals(file.tensors.size, Object.keys(EXPECTED.arrays).length + Number(hasLong));
    if (hasLong) {
      const { shape, data } = file.tensors.get("long")!.read();
      assertEquals(shape, [45000]);
      assertEquals(data, Uint8Array.from({ length: 45000 }, (_, i) => i));
    }
  });
}

Deno.test("formats are told by content, and anything else is named", async () => {
  const cases: [number[], string][] = [
    [[], "it begins with nothing"],
    [[1, 2, 3], "it begins with 01 02 03, which is none of"],
    [[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], "it begins with 1f 8b 08"],
    [[...new TextEncoder().encode("<html>not found</html>")], "expected a file of weights"],
  ];
  for (const [bytes, reason] of cases) {
    await assertRejects(() => openWeights(new MemorySource(Uint8Array.from(bytes), "x.pth")), Error, reason);
  }
  await assertRejects(() => openWeights("/nowhere/x.pth"), Error, "there is no file /nowhere/x.pth");
  await assertRejects(() => openWeights("/"), Error, "/ is no file");
  using renamed = await openWeights(new MemorySource(goldenBytes("arrays.npz"), "x.pth"));
  assertEquals(renamed.format, "numpy npz");
});

Deno.test("a cursor reads across its blocks and stops at the end", () => {
  const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => i % 251);
  bytes[150_000] = 0x0a;
  const source = new MemorySource(bytes, "x");
  const cursor = new Cursor(source, 3);
  assertEquals(Array.from({ length: 5 }, () => cursor.u8()), [3, 4, 5, 6, 7]);
  cursor.skip(65_526);
  assertEquals(cursor.u8(), 65_534 % 251);
  assertEquals(Array.from(cursor.take(4)), [0, 1, 2, 3].map((i) => (65_535 + i) % 251));
  assertEquals(cursor.take(70_000), bytes.subarray(65_539, 135_539));
  const rest = bytes.subarray(135_539);
  assertEquals(cursor.line(), { offset: 135_539, length: rest.indexOf(0x0a) });
  assertEquals(cursor.position, 135_539 + rest.indexOf(0x0a) + 1);
  assertThrows(
    () => new Cursor(source, 199_999).take(2),
    Error,
    "it ends at byte 200000 but 2 bytes from byte 199999",
  );
  assertThrows(() => new Cursor(source, 199_990).line(), Error, "ends within a line");
  assertThrows(() => readBytes(source, 0, 200_001), Error, "it ends at byte 200000");
});

Deno.test("16-bit floats widen exactly", () => {
  const half = { dtype: "F16", shape: [3], data: Float16Array.of(1.5, -65504, 2 ** -24) } as const;
  assertEquals(toFloat32({ ...half, shape: [3] }), Float32Array.of(1.5, -65504, 2 ** -24));
  const brain = { dtype: "BF16" as const, shape: [3], data: Uint16Array.of(0x3fc0, 0xff80, 0x0001) };
  assertEquals(toFloat32(brain), Float32Array.of(1.5, -Infinity, 2 ** -133));
});

Deno.test("arrays whose bytes are written as text, short and long: Python 2's quotes, Python 3's escapes", async () => {
  const hex = (byte: number, digits: number) => byte.toString(16).padStart(digits, "0");
  const quoted = (byte: number) => {
    const named: Record<number, string> = { 9: "\\t", 10: "\\n", 13: "\\r", 39: "\\'", 92: "\\\\" };
    return named[byte] ?? (byte < 32 || byte > 126 ? `\\x${hex(byte, 2)}` : String.fromCharCode(byte));
  };
  const unicode = (byte: number) =>
    [0, 10, 13, 26, 92].includes(byte) ? `\\u${hex(byte, 4)}` : String.fromCharCode(byte);
  for (const count of [256, 256 * 300]) {
    const values = Uint8Array.from({ length: count }, (_, i) => i);
    const texts = [
      `S'${Array.from(values, quoted).join("")}'\n`,
      `c_codecs\nencode\n(V${Array.from(values, unicode).join("")}\nVlatin1\ntR`,
    ];
    for (const text of texts) {
      using file = await openWeights(new MemorySource(numpyPickle("u1", [count], text), "x.pkl"));
      assertEquals(file.tensors.get("a")!.read().data, values);
    }
  }
});

Deno.test("arrays that were neither rows nor columns in memory: numpy 2's order K and its axes", async () => {
  const read = async (content: Uint8Array) => {
    using file = await openWeights(new MemorySource(content, "x.pkl"));
    const { shape, data } = file.tensors.get("a")!.read();
    return [shape, [...data as Float32Array]];
  };
  // np.arange(8).reshape(2, 2, 2).transpose(1, 0, 2)
  assertEquals(await read(numpyBuffer([2, 2, 2], "K", [1, 0, 2])), [[2, 2, 2], [0, 1, 4, 5, 2, 3, 6, 7]]);
  // np.arange(6).reshape(1, 2, 3).transpose(2, 0, 1): not its own inverse
  assertEquals(await read(numpyBuffer([1, 2, 3], "K", [2, 0, 1])), [[3, 1, 2], [0, 3, 1, 4, 2, 5]]);
  assertEquals(await read(numpyBuffer([2, 3], "C", [1, 0])), [[2, 3], [0, 1, 2, 3, 4, 5]]);
  assertEquals(await read(numpyBuffer([2, 3], "F")), [[2, 3], [0, 2, 4, 1, 3, 5]]);
  for (
    const [order, axes] of [["K"], ["A"], ["K", [0, 0]], ["K", [0]], ["K", [1, 2]]] as [string, number[]?][]
  ) {
    await assertRejects(
      () => read(numpyBuffer([2, 3], order, axes)),
      Error,
      "Cannot read x.pkl: its pickle has an array in an unknown order",
    );
  }
});
