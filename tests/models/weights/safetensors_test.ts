import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { openWeights } from "../../../models/weights/open.ts";
import {
  decodeSafetensors,
  encodeSafetensors,
  type HostTensor,
  readSafetensors,
  writeSafetensors,
} from "../../../models/weights/safetensors.ts";

/** A file of a header and some bytes of values. */
function fileOf(header: unknown, valueBytes: number, claimed?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + valueBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(claimed ?? json.length), true);
  bytes.set(json, 8);
  return bytes;
}

Deno.test("tensors and metadata survive a round trip through a file", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const tensors = new Map<string, HostTensor>([
      ["a.weight", { dtype: "F32", shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 5, 6) }],
      ["empty", { dtype: "F32", shape: [0], data: new Float32Array(0) }],
      ["count", { dtype: "I64", shape: [], data: BigInt64Array.of(7n) }],
      ["bytes", { dtype: "U8", shape: [3], data: Uint8Array.of(1, 2, 3) }],
    ]);
    const path = `${folder}/x.safetensors`;
    await writeSafetensors(path, tensors, { format: "pt" });
    const read = await readSafetensors(path);
    assertEquals(read.metadata, { format: "pt" });
    assertEquals([...read.tensors], [...tensors]);
    assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["x.safetensors"]);
    await assertRejects(() => readSafetensors(`${folder}/none`), Error, "there is no file");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("hostile files are refused with the reason", () => {
  const tensor = (from: number, to: number, shape = [1], dtype = "F32") => ({
    dtype,
    shape,
    data_offsets: [from, to],
  });
  const cases: [string, Uint8Array, string][] = [
    ["short", new Uint8Array(5), "it has 5 bytes"],
    ["huge header", fileOf({}, 0, 2 ** 40), "it claims a header of"],
    ["no JSON", fileOf("{oops", 0), "no JSON"],
    ["array", fileOf([], 0), "no object"],
    ["dtype", fileOf({ a: tensor(0, 4, [1], "F99") }, 4), "F99"],
    [
      "dtype that is an object",
      fileOf({ a: { ...tensor(0, 4), dtype: { toString: 1 } } }, 4),
      "of type object",
    ],
    ["beyond the end", fileOf({ a: tensor(0, 8, [2]) }, 4), "claims 0 to 8 of 4"],
    ["shape and bytes differ", fileOf({ a: tensor(0, 4, [3]) }, 4), "wants 12 bytes"],
    ["negative size", fileOf({ a: tensor(0, 4, [-1]) }, 4), "no valid shape"],
    ["overlap", fileOf({ a: tensor(0, 4), b: tensor(0, 4) }, 4), "overlap"],
    ["hole", fileOf({ a: tensor(0, 4), b: tensor(8, 12) }, 12), "hole"],
    ["rest", fileOf({ a: tensor(0, 4) }, 8), "end at byte 4 of 8"],
    ["metadata", fileOf({ __metadata__: { a: 1 } }, 0), "non-string"],
  ];
  for (const [name, bytes, reason] of cases) {
    const error = assertThrows(() => decodeSafetensors(bytes, "f.safetensors"), Error, reason, name);
    assertEquals(error.message.startsWith("Cannot read f.safetensors: "), true, name);
  }
});

Deno.test("names that objects keep for themselves: one is refused, one written", () => {
  const one = (name: string) =>
    new Map([[name, { dtype: "F32", shape: [1], data: Float32Array.of(1) } as HostTensor]]);
  assertThrows(() => encodeSafetensors(one("__metadata__")), Error, "a tensor is named __metadata__");
  assertEquals(decodeSafetensors(encodeSafetensors(one("__proto__")), "x").tensors, one("__proto__"));
});

Deno.test("a file is written over its own source, beside a .tmp of its name, and by two writers at once", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [path, other] = [`${folder}/x.safetensors`, `${folder}/x.safetensors.tmp`];
    const filled = (value: number) =>
      new Map([[
        "x",
        { dtype: "F32", shape: [1 << 16], data: new Float32Array(1 << 16).fill(value) } as HostTensor,
      ]]);
    await writeSafetensors(other, filled(1));
    {
      using source = await openWeights(other);
      await writeSafetensors(path, source.tensors);
    }
    assertEquals((await readSafetensors(path)).tensors, filled(1));
    assertEquals((await readSafetensors(other)).tensors, filled(1));
    await Promise.all([2, 3].map((value) => writeSafetensors(path, filled(value))));
    const { data } = (await readSafetensors(path)).tensors.get("x")!;
    assertEquals(data, filled(Number(data[0])).get("x")!.data);
    assertEquals([...Deno.readDirSync(folder)].length, 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("values begin at a multiple of 8 bytes", () => {
  const bytes = encodeSafetensors(
    new Map([["x", { dtype: "F64", shape: [1], data: Float64Array.of(2) } as HostTensor]]),
  );
  assertEquals(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8, 0);
});
