import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { RandomStream, threefry2x32 } from "../../data/random.ts";

Deno.test("Threefry-2x32-20 gives the known answers of Random123", () => {
  const ones = 0xffffffff;
  assertEquals(threefry2x32(0, 0, 0, 0), [0x6b200159, 0x99ba4efe]);
  assertEquals(threefry2x32(ones, ones, ones, ones), [0x1cb996fc, 0xbb002be7]);
  assertEquals(threefry2x32(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3), [0xc4923a9c, 0x483df7a0]);
});

Deno.test("a stream depends on its seed and path alone", () => {
  const draw = (seed: number, ...path: (string | number)[]) => new RandomStream(seed, ...path).uint32();
  assertEquals(draw(1, "a", 2), draw(1, "a", 2));
  const others = [
    draw(1, "a", 2),
    draw(2, "a", 2),
    draw(1, "a", 3),
    draw(1, "a", "2"),
    draw(1, "a"),
    draw(2 ** 40 + 1, "a", 2),
  ];
  assertEquals(new Set(others).size, others.length);
  assertThrows(() => new RandomStream(-1), RangeError, "non-negative");
});

Deno.test("uniform, normal and integer draws have their moments", () => {
  const random = new RandomStream(7, "moments");
  const count = 20000;
  let sum = 0;
  let normals = 0;
  let squares = 0;
  const bins = new Float64Array(7);
  for (let i = 0; i < count; i++) {
    sum += random.uniform();
    const z = random.normal();
    normals += z;
    squares += z * z;
    bins[random.integer(7)]++;
  }
  // Five standard errors.
  assertLess(Math.abs(sum / count - 0.5), 5 * Math.sqrt(1 / 12 / count));
  assertLess(Math.abs(normals / count), 5 / Math.sqrt(count));
  assertLess(Math.abs(squares / count - 1), 5 * Math.sqrt(2 / count));
  for (const bin of bins) assertLess(Math.abs(bin / count - 1 / 7), 5 * Math.sqrt(1 / 7 / count));
});

Deno.test("a shuffle keeps every item", () => {
  const order = new RandomStream(1, "shuffle").shuffle(Int32Array.from({ length: 100 }, (_, i) => i));
  assert(order.some((value, i) => value !== i));
  assertEquals([...order].sort((a, b) => a - b), Array.from({ length: 100 }, (_, i) => i));
});
