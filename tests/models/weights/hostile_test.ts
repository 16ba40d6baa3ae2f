/** Files that want to do harm, or are damaged: each ends with one error that says what is wrong. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { RandomStream } from "../../../data/random.ts";
import { openWeights } from "../../../models/weights/open.ts";
import { MemorySource } from "../../../models/weights/source.ts";
import { goldenBytes, goldenPath } from "../../golden/weights.ts";
import {
  bytes,
  called,
  doubled,
  little,
  name,
  nested,
  npy,
  numpyPickle,
  pickle,
  torchStream,
  torchTensor,
  torchZip,
  zip,
} from "./_craft.ts";

/** Opens a file and reads all of it; the message of the error that must come. */
async function messageOf(content: Uint8Array): Promise<string> {
  const error = await assertRejects(async () => {
    using file = await openWeights(new MemorySource(content, "evil"));
    for (const tensor of file.tensors.values()) tensor.read();
  }, Error);
  assert(error.message.startsWith("Cannot read evil: "), `${error.stack}`);
  return error.message;
}

const EXECUTES: [string, Uint8Array, string][] = [
  ["protocol 0", bytes("cos\nsystem\n(S'echo pwned'\ntR."), "os.system"],
  ["protocol 2", pickle("cposix\nsystem\n", name("id"), [0x85], "R."), "posix.system"],
  ["protocol 4", bytes([0x80, 4, 0x8c, 8], "builtins", [0x8c, 4], "eval", [0x93], "."), "builtins.eval"],
  ["within a list", pickle("]c__builtin__\nexec\n", name("1"), [0x85], "Ra."), "__builtin__.exec"],
  [
    "an attribute of what is allowed",
    pickle("ctorch._utils\n_rebuild_tensor_v2.__globals__\n."),
    "__globals__",
  ],
  ["a class", pickle("csubprocess\nPopen\n", name("id"), [0x85, 0x81], "."), "subprocess.Popen"],
  ["INST", pickle("(S'id'\nios\nsystem\n."), "opcode INST"],
  ["OBJ", pickle("(o."), "opcode OBJ"],
  ["an extension", pickle([0x82, 1], "."), "opcode EXT1"],
  ["a torch archive", torchZip(pickle("cos\nsystem\n", name("id"), [0x85], "R.")), "os.system"],
  [
    "a whole model",
    torchZip(pickle("c__main__\nNet\n)", [0x81], "}b.")),
    "a whole model? save its state_dict",
  ],
  ["the old torch stream", torchStream(pickle("cos\nsystem\n", name("id"), [0x85], "R.")), "os.system"],
];

for (const [kind, content, expected] of EXECUTES) {
  Deno.test(`nothing is executed, and what was asked for is named: ${kind}`, async () => {
    assertStringIncludes(await messageOf(content), expected);
  });
}

const PICKLES: [string, Uint8Array, string][] = [
  ["a dict that holds itself", pickle("}q\x00", name("a"), "h\x00s."), "contains itself at a"],
  ["a list that holds itself", pickle("]q\x00h\x00a."), "contains itself at 0"],
  ["lists within lists", nested(150, 1), "nested more than 32 deep"],
  ["a list of lists that are each other's, two and two", nested(28, 2), "more than 1000000 items"],
  ["a million dicts", pickle(new Uint8Array(1_000_001).fill(0x7d), "."), "more than 1000000 opcodes"],
  ["an integer of 2 GB", pickle([0x8b], little(0x7fffffff, 4), "."), "an integer of 2147483647 bytes"],
  [
    "a text of 2^60 bytes",
    bytes([0x80, 4, 0x8d], little(2n ** 60n, 8), "."),
    "claims 1152921504606847000 bytes",
  ],
  ["a text of 4 GB", pickle("X", little(0xffffffff, 4), "."), "4294967295 bytes from byte 7 are wanted"],
  ["bytes of 4 GB", pickle("B", little(0xffffffff, 4), "."), "4294967295 bytes from byte 7 are wanted"],
  ["no end", pickle("}"), "it ends at byte 3"],
  ["two objects", pickle("}}."), "unfinished object"],
  ["an empty stack", pickle("s."), "empty stack"],
  ["no mark", pickle("t."), "no mark"],
  ["another's mark", pickle("}(s."), "empty stack"],
  ["an object that was not stored", pickle("h\x05."), "recalls object 5"],
  ["a key without a value", pickle("(", name("a"), "d."), "key without a value"],
  ["an append to a number", pickle("K\x01K\x02a."), "no list"],
  ["an unknown opcode", pickle([0xff], "."), "opcode 0xff"],
  ["protocol 6", pickle([0x80, 6], "."), "has protocol 6"],
  ["a state of a list", pickle("]}b."), "sets the state of an object that has none"],
  ["a call of a list", pickle("]]R."), "calls something"],
  ["a persistent id", pickle("NQ."), "only a torch file may have"],
  ["no tensors", pickle("}."), "without tensors"],
  [
    "a long OrderedDict, again and again",
    called("collections\nOrderedDict", bytes("](", ...Array<string>(1001).fill("NN\x86"), "e\x85"), 2000),
    "gives its calls more than 2000000 items",
  ],
  [
    "a long set, again and again",
    called("builtins\nset", bytes("](", "N".repeat(1001), "e\x85"), 2000),
    "gives its calls more than 2000000 items",
  ],
  [
    "a long text, again and again",
    called("_codecs\nencode", bytes(name("a".repeat(65536)), name("latin1"), "\x86"), 7900),
    "gives its calls more than 2000000 items",
  ],
  ["a key of 2^200 empty tuples", pickle("}", doubled(200), "K\x01s."), "without tensors"],
  [
    "a tensor under such a key",
    pickle("}", doubled(200), numpyPickle("f4", [1]).subarray(2, -1), "s."),
    "a tensor under a key that is neither a text nor a number",
  ],
  [
    "an encoding of 2^200 tuples",
    pickle("c_codecs\nencode\nN", doubled(200), "\x86R."),
    "as a list of 2; expected",
  ],
  [
    "a tensor with a name of 64 KB",
    pickle("}", name("b".repeat(65000)), numpyPickle("f4", [1]).subarray(2, -1), "s."),
    "a tensor with a name of 65002 characters",
  ],
  ["an array of objects", numpyPickle("O8", [1]), "of dtype <O8"],
  ["an array without bytes", numpyPickle("f4", [1 << 28]), "wants 1073741824 bytes, with 4"],
  ["an array of a negative size", numpyPickle("f4", [-1]), "without a shape"],
];

const TORCH: [string, Uint8Array, string][] = [
  [
    "a view beyond its storage",
    torchZip(pickle(...torchTensor(4, [5], [1]), ".")),
    "ends at byte 20 of a storage of 16",
  ],
  [
    "an offset beyond it",
    torchZip(pickle(...torchTensor(4, [1], [1], 4), ".")),
    "at element 4, which ends at byte 20",
  ],
  ["a stride beyond it", torchZip(pickle(...torchTensor(4, [2, 2], [3, 1]), ".")), "ends at byte 20"],
  ["a negative stride", torchZip(pickle(...torchTensor(4, [2], [-1], 1), ".")), "strides [-1]"],
  [
    "one element, 2^40 times",
    torchZip(pickle(...torchTensor(4, [2 ** 40], [0]), ".")),
    "tensors claim 4398046511104 bytes",
  ],
  [
    "a shape that overflows",
    torchZip(pickle(...torchTensor(4, [2 ** 40, 2 ** 40], [0, 0]), ".")),
    "has a tensor of shape",
  ],
  ["a storage of another length", torchZip(pickle(...torchTensor(2 ** 40, [1], [1]), ".")), "which has 16"],
  [
    "a storage that is not there",
    zip([{ name: "a/data.pkl", content: pickle(...torchTensor(4, [1], [1]), ".") }]),
    "which the archive has not",
  ],
  [
    "a storage of objects",
    torchZip(pickle("(", name("storage"), "ctorch\nSize\n", name("0"), "NK\x04tQ.")),
    "refers to torch.Size",
  ],
  [
    "another byte order",
    zip([{ name: "a/data.pkl", content: pickle("}.") }, { name: "a/byteorder", content: bytes("big") }]),
    'byte order "big"',
  ],
  [
    "sizes that are 2^200 tuples",
    torchZip(pickle(...torchTensor(4, [1], [1]).slice(0, 7), "K\x00", doubled(200), "]\x89NtR.")),
    "has a tensor of shape [a list of 2, a list of 2] at element 0",
  ],
  [
    "a storage whose key is 2^200 tuples",
    torchZip(pickle("(", name("storage"), "ctorch\nFloatStorage\n", doubled(200), "NK\x04tQ.")),
    "has a storage with key a list of 2 of 4 elements",
  ],
  [
    "an old stream whose protocol is 2^200 tuples",
    bytes(torchStream(bytes()).slice(0, 15), pickle(doubled(200), ".")),
    "has PyTorch's protocol a list of 2; expected 1001",
  ],
  [
    "an old stream that gives a storage two lengths",
    torchStream(pickle("]", ...torchTensor(4, [1], [1]), "a", ...torchTensor(2, [1], [1]), "a.")),
    "gives storage 0 two lengths",
  ],
  [
    "a tensor of a subclass that makes itself",
    torchZip(pickle(
      "ctorch._tensor\n_rebuild_from_type_v2\nq\x000",
      "(h\x00N]q\x01(h\x00Nh\x01eq\x02h\x01tq\x030",
      "h\x00h\x03R.",
    )),
    "has a tensor of an unknown kind",
  ],
  [
    "a damaged storage",
    zip([
      { name: "a/data.pkl", content: pickle(...torchTensor(4, [2, 2], [1, 2]), ".") },
      { name: "a/data/0", content: new Uint8Array(16), crc: 1 },
    ]),
    "a/data/0 in it is damaged (its checksum differs)",
  ],
  [
    "a storage without a checksum",
    zip([
      { name: "a/data.pkl", content: pickle(...torchTensor(4, [4], [1]), ".") },
      { name: "a/data/0", content: new Uint8Array(16), crc: 0 },
    ]),
    "a/data/0 in it has no checksum, as after torch.serialization.set_crc32_options(False)",
  ],
  ["an old stream that ends before its storages", goldenBytes("odd_old.pth").slice(0, -1), "it ends at byte"],
  ["an old stream without its keys", torchStream(pickle("}.")), "it ends at byte"],
];

const ZIPS: [string, Uint8Array, string][] = [
  [
    "a bomb that says so",
    zip([{ name: "a.npy", content: new Uint8Array(99), packed: true, size: 80 << 20 }]),
    "zip entries claim 83886080 bytes",
  ],
  [
    "a bomb that does not",
    zip([{
      name: "a.npy",
      content: npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", new Uint8Array(16 << 20)),
      packed: true,
      size: 71,
    }]),
    // Unpacking stops there; it does not go on to find out how much more.
    "does not unpack to the 71 bytes that it claims (it is more)",
  ],
  [
    "a pickle that is a bomb",
    zip([{ name: "a/data.pkl", content: pickle("}."), packed: true, size: 40 << 20 }]),
    "data.pkl claims",
  ],
  [
    "a storage that is a bomb",
    zip([
      { name: "a/data.pkl", content: pickle(...torchTensor(4, [1], [1]), ".") },
      { name: "a/data/0", content: new Uint8Array(16), packed: true, size: 80 << 20 },
    ]),
    "zip entries claim",
  ],
  [
    "entries that share their bytes",
    zip([{ name: "a.npy", content: npy("{}") }, { name: "b.npy", content: npy("{}"), overlapping: true }]),
    "a.npy and b.npy in it overlap",
  ],
  [
    "one name twice",
    zip([{ name: "a.npy", content: npy("{}") }, { name: "a.npy", content: npy("{}") }]),
    "a name twice",
  ],
  ["an encrypted entry", zip([{ name: "a.npy", content: npy("{}"), flags: 1 }]), "a.npy in it is encrypted"],
  ["an unknown packing", zip([{ name: "a.npy", content: npy("{}"), method: 12 }]), "packed by method 12"],
  ["an entry beyond the end", zip([{ name: "a.npy", content: npy("{}"), size: 2 ** 31 }]), "has two sizes"],
  ["no directory", bytes("PK\x03\x04", new Uint8Array(100)), "no directory at its end"],
  [
    "a directory of 60000 entries in 22 bytes",
    bytes("PK\x05\x06", little(0, 4), little(60000, 2), little(60000, 2), little(0, 10)),
    "claims 60000 entries",
  ],
  ["a damaged entry", zip([{ name: "a/data.pkl", content: pickle("}."), crc: 1 }]), "its checksum differs"],
  ["no array", zip([{ name: "a.npy", content: bytes("hello, world") }]), "a.npy in it is no .npy file"],
  [
    "objects",
    zip([{ name: "a.npy", content: npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") }]),
    "expected numbers",
  ],
  [
    "2^48 numbers",
    zip([{
      name: "a.npy",
      content: npy(`{'descr': '<f4', 'fortran_order': False, 'shape': (${2 ** 48},), }`),
    }]),
    "wants 1125899906842624 bytes",
  ],
  [
    "a header beyond the entry",
    zip([{ name: "a.npy", content: bytes("\x93NUMPY", [2, 0], little(2 ** 31, 4), "{}") }]),
    "claims a header of 2147483648 bytes",
  ],
];

for (const [kind, cases] of Object.entries({ pickle: PICKLES, "torch file": TORCH, zip: ZIPS })) {
  for (const [what, content, expected] of cases) {
    Deno.test(`a ${kind} is refused with the reason: ${what}`, async () => {
      assertStringIncludes(await messageOf(content), expected);
    });
  }
}

Deno.test("HDF5 files are refused with the reason: cut off, or claiming terabytes", async () => {
  const whole = goldenBytes("arrays.h5");
  for (const length of [100, 1000, whole.length - 1]) {
    assertStringIncludes(await messageOf(whole.slice(0, length)), "no sound HDF5 file");
  }
  assertStringIncludes(await messageOf(goldenBytes("claims_4_terabytes.h5")), "claim 4398046511104 bytes");
});

const GOLDEN = [
  "odd_zip.pth",
  "odd_old.pth",
  "arrays_protocol0.pkl",
  "arrays_protocol2.pkl",
  "arrays_protocol5.pkl",
  "arrays.npz",
  "arrays_compressed.npz",
];

Deno.test("a file that is cut off anywhere is refused", async () => {
  const random = new RandomStream(Date.now() % 2 ** 31, "cuts");
  for (const file of GOLDEN) {
    const whole = goldenBytes(file);
    for (let i = 0; i < 40; i++) {
      const length = Math.floor(random.uniform(0, whole.length - 1));
      await messageOf(whole.slice(0, length)).catch((error) => {
        throw new Error(`${file} cut off at ${length}: ${error.message}`);
      });
    }
  }
});

Deno.test("a damaged file is read or refused, never anything else", async () => {
  const seed = Date.now() % 2 ** 31;
  const random = new RandomStream(seed, "damage");
  let refused = 0;
  for (const file of GOLDEN) {
    const whole = goldenBytes(file);
    for (let i = 0; i < 60; i++) {
      const damaged = whole.slice();
      const places = Array.from(
        { length: 3 },
        () => Math.floor(random.uniform(0, Math.min(1500, whole.length))),
      );
      places.forEach((place, k) =>
        damaged[k % 2 ? whole.length - 1 - place : place] = random.uniform(0, 256)
      );
      try {
        using opened = await openWeights(new MemorySource(damaged, "damaged"));
        for (const tensor of opened.tensors.values()) tensor.read();
      } catch (error) {
        refused++;
        const { message, stack } = error as Error;
        assert(
          message.startsWith("Cannot read damaged: "),
          `seed ${seed}, ${file} damaged at ${places}: ${stack}`,
        );
      }
    }
  }
  assert(refused > 60, `only ${refused} damaged files were refused`);
});

Deno.test("the file is closed when it is refused", async () => {
  let closed = 0;
  const source = new class extends MemorySource {
    override close() {
      closed++;
    }
  }(bytes("nothing"), goldenPath("x"));
  await assertRejects(() => openWeights(source), Error);
  assertEquals(closed, 1);
});
