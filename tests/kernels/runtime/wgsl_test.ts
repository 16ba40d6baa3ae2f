import { assert, assertEquals, assertNotEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { backendInternals } from "../../../kernels/runtime/program.ts";
import { type Constants, expandLines, expandShader, shaderKey } from "../../../kernels/runtime/wgsl.ts";

const expand = (source: string, constants?: Constants, includes?: Record<string, string>) =>
  expandShader({ file: "op/op.wgsl", source, includes }, constants);

/** The lines without indentation and empty ones. */
const lines = (text: string) => text.split("\n").map((line) => line.trim()).filter((line) => line !== "");

function assertRefused(
  message: string,
  source: string,
  constants?: Constants,
  includes?: Record<string, string>,
) {
  assertThrows(() => expand(source, constants, includes), SyntaxError, message);
}

Deno.test("constants take their literal's type", () => {
  const source = [
    "const A = 4u;",
    "const B: i32 = -1i; // signed",
    "const C = 0.5f;",
    "const D = 1.5;",
    "const E = true;",
    "const F: u32 = 3;",
  ].join("\n");
  assertEquals(lines(expand(source, { A: 16, B: 7, C: 2, D: 3, E: false, F: 5 })), [
    "const A = 16u;",
    "const B: i32 = 7i; // signed",
    "const C = 2.0f;",
    "const D = 3.0;",
    "const E = false;",
    "const F: u32 = 5;",
  ]);
  assertEquals(expand(source, { C: 0.25 }), source.replace("0.5f", "0.25f"));
  assertEquals(expand(source, { E: 0 }), source.replace("true", "false"));
});

Deno.test("without directives and constants the source stays as it is", () => {
  const source = "// a comment\nconst A = 4u;\n\nfor (var i = 0u; i < A; i++) {\n}\n";
  assertEquals(expand(source), source);
});

Deno.test("a constant that the file lacks is refused", () => {
  assertRefused("Cannot expand op/op.wgsl:1: there is no const TILE to set", "const TILE_M = 4u;", {
    TILE: 1,
  });
});

Deno.test("the key has the file and every constant, in any order", () => {
  const shader = { file: "a.wgsl", source: "" };
  assertEquals(shaderKey(shader, { A: 1, B: true }), shaderKey(shader, { B: true, A: 1 }));
  const keys = [
    shaderKey(shader, {}),
    shaderKey(shader, { A: 1 }),
    shaderKey(shader, { A: 2 }),
    shaderKey(shader, { A: 1, B: 2 }),
    shaderKey({ file: "b.wgsl", source: "" }, { A: 1 }),
  ];
  assertEquals(new Set(keys).size, keys.length);
});

Deno.test("includes are pasted once, within includes too", () => {
  const includes = { "a.wgsl": '//#include "b.wgsl"\nfn a() {}', "b.wgsl": "fn b() {}" };
  const source = '//#include "a.wgsl"\n  //#include "b.wgsl" // for c\nfn c() {}';
  assertEquals(lines(expand(source, {}, includes)), ["fn b() {}", "fn a() {}", "fn c() {}"]);
  const inACircle = {
    "a.wgsl": '//#include "b.wgsl"\nfn a() {}',
    "b.wgsl": '//#include "a.wgsl"\nfn b() {}',
  };
  assertEquals(lines(expand(source, {}, inACircle)), ["fn b() {}", "fn a() {}", "fn c() {}"]);
});

Deno.test("constants of an included file can be set and used", () => {
  const includes = { "a.wgsl": "const N = 1u;" };
  const source = '//#include "a.wgsl"\n//#unroll\nfor (var i = 0u; i < N; i++) {\n  f(i);\n}';
  assertEquals(lines(expand(source, { N: 2 }, includes)), [
    ...["const N = 2u;", "{", "f(0u);", "}"],
    ...["{", "f(1u);", "}"],
  ]);
});

Deno.test("an unknown include names its line", () => {
  assertRefused("op/op.wgsl:2: no file b.wgsl was given to include", '\n//#include "b.wgsl"');
  assertRefused("a.wgsl:3: no file b.wgsl", '//#include "a.wgsl"', {}, {
    "a.wgsl": '\n\n//#include "b.wgsl"',
  });
});

Deno.test("every line tells where it comes from", () => {
  const source = [
    '//#include "a.wgsl"',
    "const N = 2u;",
    "//#unroll",
    "for (var i = 0u; i < N; i++) {",
    "  f(i);",
    "}",
  ];
  const includes = { "a.wgsl": "x\ny" };
  const origins = expandLines({ file: "op/op.wgsl", source: source.join("\n"), includes })
    .map(({ text, file, number }) => `${text.trim()} ${file}:${number}`);
  assertEquals(origins.slice(0, 5), [
    "x a.wgsl:1",
    "y a.wgsl:2",
    "const N = 2u; op/op.wgsl:2",
    "{ op/op.wgsl:4",
    "f(0u); op/op.wgsl:5",
  ]);
});

Deno.test("unrolled: start, step, expressions, declared types", () => {
  const loop = (head: string) =>
    lines(expand(`const N = 6u;\n//#unroll\n${head}\n  f(i);\n}`)).filter((line) => /^f/.test(line));
  assertEquals(loop("for (var i = 0u; i < N; i++) {").length, 6);
  assertEquals(loop("for (var i: u32 = 2u; i < N; i += 3u) {"), ["f(2u);", "f(5u);"]);
  assertEquals(loop("for (var i = N / 4u; i < 2u * (N - 4u); i++) {"), ["f(1u);", "f(2u);", "f(3u);"]);
  assertEquals(loop("for (var i = N; i < N; i++) {"), []);
});

Deno.test("unrolled: nested loops, the inner bound by the outer", () => {
  const source = `//#unroll
for (var i = 0u; i < 3u; i++) {
  a[i] = x.i; // i
  //#unroll
  for (var j = i; j < 3u; j++) {
    b[ij + i * 3u + j] = c;
  }
}
done(i);`;
  const body = expand(source);
  assertEquals(lines(body).filter((line) => line.startsWith("a[")), [
    "a[0u] = x.i; // 0u",
    "a[1u] = x.i; // 1u",
    "a[2u] = x.i; // 2u",
  ]);
  assertEquals(lines(body).filter((line) => line.startsWith("b[")), [
    "b[ij + 0u * 3u + 0u] = c;",
    "b[ij + 0u * 3u + 1u] = c;",
    "b[ij + 0u * 3u + 2u] = c;",
    "b[ij + 1u * 3u + 1u] = c;",
    "b[ij + 1u * 3u + 2u] = c;",
    "b[ij + 2u * 3u + 2u] = c;",
  ]);
  assertEquals(lines(body).at(-1), "done(i);");
});

Deno.test("unrolled: a brace in a comment does not count", () => {
  const source = "//#unroll\nfor (var i = 0u; i < 2u; i++) {\n  f(i); // }\n  if (g) {\n    h(i);\n  }\n}";
  assertEquals(lines(expand(source)).filter((line) => line.startsWith("h")), ["h(0u);", "h(1u);"]);
});

Deno.test("malformed loops name their line", () => {
  assertRefused("op/op.wgsl:2: //#unroll wants", "\n//#unroll\nwhile (true) {\n}");
  assertRefused("op/op.wgsl:1: //#unroll wants", "//#unroll");
  assertRefused(
    "op/op.wgsl:2: the loop is never closed",
    "//#unroll\nfor (var i = 0u; i < 2u; i++) {\n  f(i);",
  );
  assertRefused(
    "op/op.wgsl:4: the brace that ends",
    "//#unroll\nfor (var i = 0u; i < 2u; i++) {\n  f(i);\n} g();",
  );
  assertRefused('op/op.wgsl:2: M in "M" is no constant', "//#unroll\nfor (var i = 0u; i < M; i++) {\n}");
  assertRefused("is no constant", "const N = N;\n//#unroll\nfor (var i = 0u; i < N; i++) {\n}");
  assertRefused("is no constant", "const N = f(2);\n//#unroll\nfor (var i = 0u; i < N; i++) {\n}");
  assertRefused("lacks a parenthesis", "//#unroll\nfor (var i = 0u; i < (2u; i++) {\n}");
  assertRefused("the loop's step is 0", "//#unroll\nfor (var i = 0u; i < 2u; i += 0u) {\n}");
  const included = { "a.wgsl": "\n//#unroll\nfor (var i = 0u; i < M; i++) {\n}" };
  assertRefused("Cannot expand a.wgsl:3: M in", '//#include "a.wgsl"', {}, included);
});

// The files themselves.

const ROOT = new URL("../../../", import.meta.url).pathname;

/** Files below a folder, by path from the root. */
function* filesBelow(folder: string, ending: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(ROOT + folder)) {
    if (isDirectory) yield* filesBelow(`${folder}/${name}`, ending);
    else if (name.endsWith(ending)) yield `${folder}/${name}`;
  }
}

const read = (path: string) => Deno.readTextFileSync(ROOT + path);
const SHADERS = [...filesBelow("kernels", ".wgsl")];
/** Included under a name that stands for two files. */
const ALIASES: Record<string, string[]> = {
  "elements.wgsl": ["kernels/runtime/elements_vec4.wgsl", "kernels/runtime/elements_f32.wgsl"],
};

/** The sources of what a shader may include: its own folder's file first, then any of that name. */
function includesOf(path: string, choice: number): Record<string, string> {
  const folder = path.replace(/[^/]*$/, "");
  const named = SHADERS.toSorted((a, b) => Number(a.startsWith(folder)) - Number(b.startsWith(folder)))
    .map((file) => [file.replace(/^.*\//, ""), read(file)]);
  const aliases = Object.entries(ALIASES).map(([name, files]) => [name, read(files[choice])]);
  return Object.fromEntries([...named, ...aliases]);
}

const BINDINGS = [
  "//#texture",
  "@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M] of x[i]",
  "//#texture",
  "@group(0) @binding(1) var<storage, read> at: array<f32>; // [M]",
  "//#texture",
  "@group(0) @binding(2) var<storage, read> e: array<Element>; // [M]",
  "@group(0) @binding(3) var<storage, read> plain: array<f32>; // [M]",
];

/** The lines of bodies, with BINDINGS read from textures. */
function asTextures(element: string, ...body: string[]): string[] {
  const source = [`alias Element = ${element};`, ...BINDINGS, ...body].join("\n");
  return expandShader({ file: "op/op.wgsl", source }, {}, true).split("\n");
}

Deno.test("marked bindings are textures where that is asked for", () => {
  const declared = (element: string) => asTextures(element).filter((line) => /^@group/.test(line));
  assertEquals(declared("vec4<f32>"), [
    "@group(0) @binding(0) var x: texture_storage_2d<rgba32float, read>; // [M] of x[i]",
    "@group(0) @binding(1) var at: texture_storage_2d<r32float, read>; // [M]",
    "@group(0) @binding(2) var e: texture_storage_2d<rgba32float, read>; // [M]",
    BINDINGS[6],
  ]);
  assertEquals(
    declared("f32")[2],
    "@group(0) @binding(2) var e: texture_storage_2d<r32float, read>; // [M]",
  );
  assertEquals(expand(BINDINGS.join("\n")), BINDINGS.join("\n"));
});

Deno.test("what is read of a texture, within an index too, but not members, other names and comments", () => {
  const last = (body: string) => asTextures("f32", body).at(-1);
  assertEquals(
    last("  let v = x[i + 1u].y * x[2u * j];"),
    "  let v = textureLoad(x, texel4(i + 1u)).y * textureLoad(x, texel4(2u * j));",
  );
  assertEquals(last("f(x[u32(at[i])]);"), "f(textureLoad(x, texel4(u32(textureLoad(at, texel1(i)).x))));");
  assertEquals(last("f(e[rows[i]], plain[i]);"), "f(textureLoad(e, texel1(rows[i])).x, plain[i]);");
  for (const line of ["f(v.x[i], max_x[i]); // x[i]", "// x[i]"]) assertEquals(last(line), line);
});

Deno.test("what is written stays a buffer, and what is read of it is of before", () => {
  const written = [
    ...BINDINGS,
    "//#texture",
    "@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [M]",
    "//#texture",
    "@group(0) @binding(5) var<storage, read_write> z: array<f32>; // [M]",
    "@group(0) @binding(6) var<uniform> u: Uniforms;",
  ];
  const source = (...body: string[]) => ({ file: "op/op.wgsl", source: [...written, ...body].join("\n") });
  const lines = expandShader(
    source("y[i] = y[i] + x[i];", "z[u32(z[i])] = z[i + 1u]; // z[i]", "let same = y[i].x == z[i];"),
    {},
    true,
  ).split("\n");
  assertEquals(lines.filter((line) => /^@group.*\by|^@group.*\bz/.test(line)), [
    written[8],
    "@group(0) @binding(7) var y_before: texture_storage_2d<rgba32float, read>;",
    written[10],
    "@group(0) @binding(8) var z_before: texture_storage_2d<r32float, read>;",
  ]);
  assertEquals(lines.slice(-3), [
    "y[i] = textureLoad(y_before, texel4(i)) + textureLoad(x, texel4(i));",
    "z[u32(textureLoad(z_before, texel1(i)).x)] = textureLoad(z_before, texel1(i + 1u)).x; // z[i]",
    "let same = textureLoad(y_before, texel4(i)).x == textureLoad(z_before, texel1(i)).x;",
  ]);
  for (const assignment of ["y[i] += x[i];", "y[i].x = 1.0;", "y[i][0] = 1.0;", "z[i] <<= 1.0;"]) {
    assertThrows(
      () => expandShader(source(assignment), {}, true),
      SyntaxError,
      `op/op.wgsl:13: ${assignment[0]} is read from a texture: it wants to be assigned to by \`=\``,
    );
  }
});

Deno.test("malformed textures name their line", () => {
  const textures = (...lines: string[]) => () =>
    expandShader({ file: "op/op.wgsl", source: lines.join("\n") }, {}, true);
  assertThrows(
    textures("//#texture", "@group(0) @binding(0) var<storage, read_write> y: array<u32>; // [M]"),
    SyntaxError,
    "op/op.wgsl:2: //#texture wants a `var<storage, read> x: array<..>;` of floats, or a `read_write` one, next",
  );
  assertThrows(
    textures(...BINDINGS, "let v = x[", "  i];"),
    SyntaxError,
    "op/op.wgsl:8: the index of x wants to end on its line",
  );
});

Deno.test("there are shaders", () => assert(SHADERS.length > 10));

Deno.test("every .wgsl file compiles with its loops and constants as they stand, and unrolled", async () => {
  await initializeDevice();
  const { device } = backendInternals();
  for (const path of SHADERS) {
    const source = read(path);
    const choices = source.includes('"elements.wgsl"') ? [0, 1] : [0];
    for (const choice of choices) {
      const shader = { file: path, includes: includesOf(path, choice) };
      const plain = expandShader({ ...shader, source: source.replaceAll("//#unroll", "// ") });
      const unrolled = expandShader({ ...shader, source });
      // The lane of a broadcast must be a constant, which it is only once the loop is unrolled.
      for (const code of source.includes("subgroupBroadcast(") ? [unrolled] : [plain, unrolled]) {
        device.pushErrorScope("validation");
        const module = device.createShaderModule({ code, label: path });
        const error = await device.popErrorScope();
        const { messages } = await module.getCompilationInfo();
        assertEquals([error?.message, ...messages.map(({ message }) => message)], [undefined], path);
      }
    }
  }
});

Deno.test("every binding ends in a comment with its shape; heads are short; no template in WGSL", () => {
  for (const path of SHADERS) {
    const source = read(path);
    assert(!source.includes("${"), path);
    const head = source.split("\n").findIndex((line) => !line.startsWith("//") || line.startsWith("//#"));
    assert(head >= 1 && head <= 15, `${path} begins with ${head} lines of comment; expected 1 to 15`);
    for (
      const line of source.split("\n").filter((line) => /@binding/.test(line) && !/: \w*Uniforms;/.test(line))
    ) {
      assert(/;\s*\/\/ .*\[.*\]/.test(line), `${path}: no shape behind ${line}`);
    }
  }
});

Deno.test("no shader in TypeScript", () => {
  const marker = "@" + "compute";
  for (const folder of ["kernels", "models", "tasks", "data", "tests"]) {
    for (const path of filesBelow(folder, ".ts")) assertNotEquals(read(path).includes(marker), true, path);
  }
});

Deno.test("a function's own constants are neither set nor a loop's bound", () => {
  const source =
    "const N = 2u;\nfn f() {\n  const M = 3u;\n//#unroll\n  for (var i = 0u; i < N; i++) {\n    g(i);\n  }\n}";
  assertStringIncludes(expandShader({ file: "a.wgsl", source }), "g(1u)");
  assertThrows(
    () => expandShader({ file: "a.wgsl", source }, { M: 1 }),
    SyntaxError,
    "there is no const M to set",
  );
  assertThrows(
    () => expandShader({ file: "a.wgsl", source: source.replace("i < N", "i < M") }),
    SyntaxError,
    'Cannot expand a.wgsl:5: M in "M" is no constant',
  );
});

Deno.test("a constant in hexadecimal keeps its type", () => {
  const set = (literal: string, value: number) =>
    expandShader({ file: "a.wgsl", source: `const MASK = ${literal};` }, { MASK: value });
  assertEquals(set("0x1f", 3), "const MASK = 3;");
  assertEquals(set("0x1fu", 3), "const MASK = 3u;");
  assertEquals(set("1f", 3), "const MASK = 3.0f;");
});

Deno.test("unrolled: a jump of the loop itself is refused, one of a loop within is not", () => {
  const unrolled = (body: string) =>
    expandShader({
      file: "a.wgsl",
      source: `//#unroll\nfor (var i = 0u; i < 2u; i++) {\n${body}\n}`,
    });
  for (const jump of ["break", "continue"]) {
    const message = `Cannot expand a.wgsl:3: a loop that is unrolled has no ${jump} of its own`;
    assertThrows(() => unrolled(`if (a) { ${jump}; }`), SyntaxError, message);
    assertThrows(() => unrolled(`for (;;) { break; } ${jump};`), SyntaxError, message);
    assertStringIncludes(unrolled(`for (;;) {\nif (a) {\n${jump};\n}\n}`), jump);
    assertStringIncludes(unrolled(`while (a) { ${jump}; } // break`), jump);
  }
});

Deno.test("marked bindings: what is indexed by their name in a function has no other meaning", () => {
  const binding = "//#texture\n@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [n]\n";
  const expanded = (code: string) => expandShader({ file: "a.wgsl", source: binding + code }, {}, true);
  const message = "x is read from a texture: what is indexed wants another name";
  for (
    const code of ["fn f(x: vec4<f32>) -> f32 {\n  return x[0];\n}", "fn f() {\n  let x = y;\n  g(x[0]);\n}"]
  ) {
    assertThrows(() => expanded(code), SyntaxError, message);
  }
  const scalar = "fn f(x: f32) -> f32 {\n  return x * x;\n}\nfn g() {\n  h(x[0]);\n}";
  assertStringIncludes(expanded(scalar), "textureLoad(x, texel4(0))");
});
