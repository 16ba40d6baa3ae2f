import { assertEquals, assertThrows } from "@std/assert";
import { packUniforms, uniformMembers } from "../../../kernels/runtime/uniforms.ts";

const SOURCE = `
struct Other { values: array<vec4<f32>, 4> }
// struct Uniforms { no: u32 }
struct Uniforms {
  count: u32, // N, of x: f32
  scale: f32,
  shift : i32
}
@group(0) @binding(0) var<uniform> window: array<vec4<f32>, 4096>;
@group(0) @binding(1) var<uniform> u: Uniforms;`;

const MEMBERS = uniformMembers("a.wgsl", SOURCE);

Deno.test("the struct gives names and types", () => {
  assertEquals(MEMBERS, [
    { name: "count", type: "u32" },
    { name: "scale", type: "f32" },
    { name: "shift", type: "i32" },
  ]);
  assertEquals(uniformMembers("a.wgsl", "@group(0) @binding(0) var<storage> x: array<f32>;"), []);
  assertEquals(uniformMembers("a.wgsl", "@group(0) @binding(0) var<uniform> x: array<f32, 4>;"), []);
  assertThrows(
    () => uniformMembers("a.wgsl", SOURCE.replace("count: u32", "count: vec2<u32>")),
    SyntaxError,
    'Cannot read the uniforms of a.wgsl: Uniforms has "count: vec2<u32>"; expected u32, i32 or f32 members',
  );
});

Deno.test("bytes by name, in any order, padded to 16", () => {
  const view = new DataView(packUniforms("a.wgsl", MEMBERS, { shift: -3, scale: 0.5, count: 2 ** 32 - 1 }));
  assertEquals(view.byteLength, 16);
  assertEquals([view.getUint32(0, true), view.getFloat32(4, true), view.getInt32(8, true)], [
    2 ** 32 - 1,
    0.5,
    -3,
  ]);
  assertEquals(
    packUniforms("a.wgsl", [...MEMBERS, ...MEMBERS], { shift: 1, scale: 1, count: 1 }).byteLength,
    32,
  );
  const marked = packUniforms("a.wgsl", MEMBERS, { shift: 0, scale: { f32: 2 }, count: 0 });
  assertEquals(new DataView(marked).getFloat32(4, true), 2);
});

Deno.test("what the struct cannot hold is refused", () => {
  const good = { count: 1, scale: 1, shift: 1 };
  const pack = (values: Record<string, number | { f32: number }>) => () =>
    packUniforms("a.wgsl", MEMBERS, values);
  assertThrows(
    pack({ ...good, size: 1 }),
    TypeError,
    "there is no uniform size; the struct has count, scale, shift",
  );
  assertThrows(pack({ count: 1, scale: 1 }), TypeError, "uniform shift is missing; expected an i32");
  assertThrows(pack({ ...good, count: { f32: 1 } }), TypeError, "uniform count is the f32 1; expected a u32");
  for (const count of [-1, 0.5, NaN, 2 ** 32, Infinity]) {
    assertThrows(
      pack({ ...good, count }),
      RangeError,
      `Cannot run a.wgsl: uniform count is ${count}; expected a u32`,
    );
  }
  assertThrows(pack({ ...good, shift: 2 ** 31 }), RangeError, "expected an i32");
  assertThrows(() => packUniforms("a.wgsl", [], { count: 1 }), TypeError, "the struct has none");
});
