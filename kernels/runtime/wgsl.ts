/**
 * From the WGSL files to the source that is compiled: constants are set, marked loops are unrolled, includes are
 * pasted. The files stay valid WGSL, because every directive is a comment:
 *
 * - `//#include "name.wgsl"` is replaced by that file, the first time that it is named;
 * - `const NAME = 4u;` takes its value from the constants object if that has `NAME`;
 * - `//#unroll` before `for (var i = 0u; i < NAME; i++) {` repeats the body with `i` replaced by 0u, 1u, ...
 *   (naga bounds every loop and guards every dynamic index, which costs 2 to 10 times on a software adapter);
 * - `//#texture` before a binding `var<storage, read> x: array<vec4<f32>>;` lets `x[i]` be read from a texture, where that
 *   is asked for (see textures.ts); an `array<f32>` or `array<Element>` too. Of a `read_write` binding, which stays as it is,
 *   what is read is then what was there before the dispatch.
 *
 * Pure text: nothing here knows of a device.
 *
 * @module
 */
import texelSource from "./texel.wgsl" with { type: "text" };

/** Values of `const` declarations; with the file's name they are the cache key. */
export type Constants = Readonly<Record<string, number | boolean>>;

/** A WGSL file. */
export interface ShaderFile {
  /** named in errors, e.g. `conv2d/conv2d_fwd.wgsl` */
  readonly file: string;
  readonly source: string;
  /** files that may be included, by name */
  readonly includes?: Readonly<Record<string, string>>;
}

class WgslError extends SyntaxError {
  constructor(file: string, line: number, message: string) {
    super(`Cannot expand ${file}:${line}: ${message}`);
    this.name = "WgslError";
  }
}

/** A name that two shaders share only if their expanded sources are equal. */
export function shaderKey({ file }: ShaderFile, constants: Constants): string {
  const values = Object.keys(constants).sort().map((name) => `${name}=${constants[name]}`);
  return `${file}?${values.join("&")}`;
}

/**
 * Expands a file.
 *
 * @param textures marked bindings are textures
 * @throws {SyntaxError} naming file and line, for an unknown include, an unknown constant, a malformed loop or binding
 */
export function expandShader(shader: ShaderFile, constants: Constants = {}, textures = false): string {
  return expandLines(shader, constants, textures).map(({ text }) => text).join("\n");
}

/** A line of an expanded shader, and where it comes from. */
export interface Line {
  text: string;
  readonly file: string;
  /** counted from 1 */
  readonly number: number;
}

/** As {@link expandShader}, with the origin of each line. */
export function expandLines(
  shader: ShaderFile,
  constants: Constants = {},
  textures = false,
): readonly Line[] {
  const lines = include(shader);
  const values = new Map<string, string>();
  const used = new Set<string>();
  for (const line of lines) {
    const match = /^(const\s+(\w+)\s*(?::\s*\w+\s*)?=\s*)([^;]+)(;.*)$/.exec(line.text); // a function's are its own
    if (match === null) continue;
    const [, head, name, initial, tail] = match;
    if (name in constants) {
      used.add(name);
      line.text = `${head}${literal(constants[name], initial.trim())}${tail}`;
    }
    values.set(name, name in constants ? String(Number(constants[name])) : initial.trim());
  }
  for (const name of Object.keys(constants)) {
    if (!used.has(name)) throw new WgslError(shader.file, 1, `there is no const ${name} to set`);
  }
  const unrolled = unroll(lines, values);
  return textures ? readTextures(unrolled) : unrolled;
}

function include({ file, source, includes = {} }: ShaderFile, seen = new Set<string>()): Line[] {
  return source.split("\n").flatMap((text, i): Line[] => {
    const name = /^\s*\/\/#include\s+"([^"]+)"/.exec(text)?.[1];
    if (name === undefined) return [{ text, file, number: i + 1 }];
    const included = includes[name];
    if (included === undefined) throw new WgslError(file, i + 1, `no file ${name} was given to include`);
    if (seen.has(name)) return [];
    seen.add(name);
    return include({ file: name, source: included, includes }, seen);
  });
}

/** A constant in the type of the literal that it replaces. */
function literal(value: number | boolean, initial: string): string {
  if (typeof value === "boolean" || initial === "true" || initial === "false") return String(Boolean(value));
  const suffix = (/^-?0x/i.test(initial) ? /[ui]$/ : /[uif]$/).exec(initial)?.[0] ?? "";
  const point = Number.isInteger(value) && (suffix === "f" || initial.includes(".")) ? ".0" : "";
  return `${value}${point}${suffix}`;
}

/** The value of a constant expression of numbers, constants, + - * / and parentheses. */
function evaluate(expression: string, values: ReadonlyMap<string, string>, line: Line): number {
  let text = expression;
  for (let depth = 0; /[A-Za-z_]\w*/.test(text.replace(/\d+[uif]?/g, "")); depth++) {
    if (depth > 8) throw new WgslError(line.file, line.number, `"${expression}" is no constant`);
    text = text.replace(/\b[A-Za-z_]\w*\b/g, (name) => {
      const value = values.get(name);
      if (value === undefined) {
        throw new WgslError(line.file, line.number, `${name} in "${expression}" is no constant`);
      }
      return `(${value})`;
    });
  }
  const digits = text.replace(/(\d)[uif]/g, "$1");
  if (!/^[\d\s()+*/-]+$/.test(digits)) {
    throw new WgslError(line.file, line.number, `"${expression}" is no constant expression`);
  }
  return evaluateSum(digits.replace(/\s/g, ""), line);
}

/** Recursive descent over + - * / and parentheses, with integer division as in WGSL. */
function evaluateSum(text: string, line: Line): number {
  let at = 0;
  const atom = (): number => {
    if (text[at] === "(") {
      at++;
      const value = sum();
      if (text[at++] !== ")") throw new WgslError(line.file, line.number, `"${text}" lacks a parenthesis`);
      return value;
    }
    const match = /^-?\d+/.exec(text.slice(at));
    if (match === null) throw new WgslError(line.file, line.number, `"${text}" is no constant expression`);
    at += match[0].length;
    return Number(match[0]);
  };
  const product = (): number => {
    let value = atom();
    while (text[at] === "*" || text[at] === "/") {
      const operator = text[at++];
      const right = atom();
      value = operator === "*" ? value * right : Math.trunc(value / right);
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    while (text[at] === "+" || text[at] === "-") value += text[at++] === "+" ? product() : -product();
    return value;
  };
  const value = sum();
  if (at !== text.length) throw new WgslError(line.file, line.number, `"${text}" is no constant expression`);
  return value;
}

const LOOP =
  /^\s*for\s*\(\s*var\s+(\w+)\s*(?::\s*u32\s*)?=\s*([^;]+);\s*\1\s*<\s*([^;]+);\s*\1(?:\+\+|\s*\+=\s*([^)]+))\s*\)\s*\{\s*$/;

/** Expands the marked loops, outer ones first; a loop ends at the line whose brace closes it. */
function unroll(lines: readonly Line[], values: ReadonlyMap<string, string>): Line[] {
  const out: Line[] = [];
  for (let i = 0; i < lines.length; i++) {
    if (!/^\s*\/\/#unroll\b/.test(lines[i].text)) {
      out.push(lines[i]);
      continue;
    }
    const head = lines[i + 1];
    const match = head && LOOP.exec(head.text);
    if (!match) {
      throw new WgslError(
        lines[i].file,
        lines[i].number,
        "//#unroll wants `for (var i = 0u; i < N; i++) {` next",
      );
    }
    const [, name, from, to, by = "1u"] = match;
    const end = closingLine(lines, i + 1);
    const body = lines.slice(i + 2, end);
    requireNoJump(body);
    const variable = new RegExp(`(?<!\\.)\\b${name}\\b`, "g"); // not a member of that name
    const step = evaluate(by, values, head);
    if (step < 1) throw new WgslError(head.file, head.number, `the loop's step is ${step}`);
    for (let value = evaluate(from, values, head); value < evaluate(to, values, head); value += step) {
      const inner = new Map(values).set(name, String(value));
      const replaced = body.map((line) => ({
        ...line,
        text: line.text.replaceAll(variable, `${value}u`),
      }));
      out.push({ ...head, text: "{" }, ...unroll(replaced, inner), { ...head, text: "}" });
    }
    i = end;
  }
  return out;
}

/** @throws {SyntaxError} for a `break` or `continue` of the loop itself, which would act on the one around it */
function requireNoJump(body: readonly Line[]): void {
  const inner: boolean[] = []; // for each open brace, whether it is a loop's or a switch's
  for (const line of body) {
    const code = line.text.replace(/\/\/.*$/, "");
    let jumps = /\b(for|while|loop|switch)\b/.test(code);
    for (const [token] of code.matchAll(/[{}]|\b(?:break|continue)\b/g)) {
      if (token === "{") {
        inner.push(jumps);
        jumps = false;
      } else if (token === "}") inner.pop();
      else if (!inner.includes(true)) {
        throw new WgslError(line.file, line.number, `a loop that is unrolled has no ${token} of its own`);
      }
    }
  }
}

function closingLine(lines: readonly Line[], start: number): number {
  let depth = 0;
  for (let i = start; i < lines.length; i++) {
    const code = lines[i].text.replace(/\/\/.*$/, "");
    for (const character of code) {
      if (character === "{") depth++;
      else if (character === "}" && --depth === 0) {
        if (code.trim() === "}") return i;
        throw new WgslError(
          lines[i].file,
          lines[i].number,
          "the brace that ends the loop wants its own line",
        );
      }
    }
  }
  throw new WgslError(lines[start].file, lines[start].number, "the loop is never closed");
}

const BUFFER =
  /^(\s*@group\(0\) @binding\(\d+\) )var<storage, (read|read_write)> (\w+): array<(vec4<f32>|f32|Element)>;(.*)$/;

/** The texture with what a buffer held before the dispatch. */
export const BEFORE = "_before";

/** A texture, and the function that tells where a value lies. */
interface Read {
  readonly texture: string;
  readonly texel: "texel1" | "texel4";
}

/** Makes textures of the marked bindings. */
function readTextures(lines: readonly Line[]): readonly Line[] {
  const vec4s = lines.some(({ text }) => text === "alias Element = vec4<f32>;");
  const bindings = lines.map(({ text }) => Number(/^\s*@group\(0\) @binding\((\d+)\)/.exec(text)?.[1] ?? -1));
  let free = Math.max(...bindings) + 1;
  const names = new Map<string, Read>();
  const declared = lines.flatMap((line, i): Line[] => {
    if (!/^\s*\/\/#texture\b/.test(lines[i - 1]?.text ?? "")) return [line];
    const match = BUFFER.exec(line.text);
    if (match === null) {
      throw new WgslError(
        line.file,
        line.number,
        "//#texture wants a `var<storage, read> x: array<..>;` of floats, or a `read_write` one, next",
      );
    }
    const [, head, access, name, element, tail] = match;
    const four = element === "vec4<f32>" || element === "Element" && vec4s;
    const type = `texture_storage_2d<${four ? "rgba" : "r"}32float, read>`;
    const texture = access === "read" ? name : name + BEFORE;
    names.set(name, { texture, texel: four ? "texel4" : "texel1" });
    if (access === "read") return [{ ...line, text: `${head}var ${name}: ${type};${tail}` }];
    return [line, { ...line, text: `@group(0) @binding(${free++}) var ${texture}: ${type};` }];
  });
  if (names.size === 0) return lines;
  requireOneMeaning(declared, [...names.keys()]);
  const texel = include({ file: "runtime/texel.wgsl", source: texelSource });
  const read = new RegExp(`(?<![.\\w])(${[...names.keys()].join("|")})\\[`); // not a member of that name
  const readLine = (line: Line) => ({ ...line, text: readTexels(line.text, read, names, line) });
  return [...texel, ...declared.map(readLine)];
}

/** @throws {SyntaxError} for a function that indexes a parameter or variable with the name of a binding that is a texture */
function requireOneMeaning(lines: readonly Line[], names: readonly string[]): void {
  const declared = new RegExp(`(?:\\b(?:let|var|const)\\s+|[(,]\\s*)(${names.join("|")})\\s*[:=]`);
  lines.forEach((line, i) => {
    const name = /^\s*@group/.test(line.text) ? undefined : declared.exec(line.text.split("//", 1)[0])?.[1];
    if (name === undefined) return;
    const end = lines.findIndex(({ text }, at) => at > i && text.startsWith("}"));
    const indexed = lines.slice(i, end).find(({ text }) => new RegExp(`(?<![.\\w])${name}\\[`).test(text));
    if (indexed === undefined) return;
    throw new WgslError(
      indexed.file,
      indexed.number,
      `${name} is read from a texture: what is indexed wants another name`,
    );
  });
}

/** `textureLoad(x, texel4(i))` for `x[i]`, within i too; what is assigned to stays. */
function readTexels(text: string, read: RegExp, names: ReadonlyMap<string, Read>, line: Line): string {
  const [code] = text.split("//", 1);
  const match = read.exec(code);
  if (match === null) return text;
  const [, name] = match;
  const first = match.index + match[0].length;
  let depth = 1;
  let end = first;
  for (; end < code.length; end++) {
    if (code[end] === "[") depth++;
    else if (code[end] === "]" && --depth === 0) break;
  }
  if (depth > 0) {
    throw new WgslError(line.file, line.number, `the index of ${name} wants to end on its line`);
  }
  const index = readTexels(text.slice(first, end), read, names, line);
  const rest = readTexels(text.slice(end + 1), read, names, line);
  const { texture, texel } = names.get(name)!;
  const assigned = /^(\.\w+|\[\w+\])?\s*([-+*\/%&|^]|<<|>>)?=(?!=)/.exec(code.slice(end + 1));
  if (assigned !== null && assigned[0].trim() !== "=") {
    throw new WgslError(
      line.file,
      line.number,
      `${name} is read from a texture: it wants to be assigned to by \`=\``,
    );
  }
  const value = assigned === null
    ? `textureLoad(${texture}, ${texel}(${index}))${texel === "texel1" ? ".x" : ""}`
    : `${name}[${index}]`;
  return text.slice(0, match.index) + value + rest;
}
