/**
 * Uniforms by name: the struct in the WGSL file is the one list of names and types; the bytes follow from it.
 *
 * Pure text and bytes: nothing here knows of a device.
 *
 * @module
 */

/** A number that each launch of captured commands reads anew (capture.ts); a dispatch reads it once. */
export class LaunchValue {
  constructor(public value: number) {}
}

/** The number as it is now. */
export function numberOf(value: number | LaunchValue): number {
  return value instanceof LaunchValue ? value.value : value;
}

/** A value of the uniform struct; its type is the struct's. `{ f32 }` says that it is meant as a float. */
export type UniformValue = number | { readonly f32: number } | LaunchValue;

/** A member of the uniform struct. */
export interface UniformMember {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
}

/**
 * The members of the struct that `var<uniform> name: Struct;` declares; empty if the shader has none.
 *
 * @throws {SyntaxError} naming the file, for members that are no u32, i32 or f32
 */
export function uniformMembers(file: string, source: string): readonly UniformMember[] {
  const code = source.replace(/\/\/.*$/gm, "");
  for (const [, struct] of code.matchAll(/var<uniform>\s*\w+\s*:\s*(\w+)\s*;/g)) {
    const body = new RegExp(`\\bstruct\\s+${struct}\\s*\\{([^}]*)\\}`).exec(code)?.[1];
    if (body === undefined) continue;
    return body.split(",").map((member) => member.trim()).filter((member) => member !== "").map((member) => {
      const match = /^(\w+)\s*:\s*(u32|i32|f32)$/.exec(member);
      if (match === null) {
        throw new SyntaxError(
          `Cannot read the uniforms of ${file}: ${struct} has "${member}"; expected u32, i32 or f32 members`,
        );
      }
      return { name: match[1], type: match[2] as UniformMember["type"] };
    });
  }
  return [];
}

const RANGES = { u32: [0, 2 ** 32 - 1], i32: [-(2 ** 31), 2 ** 31 - 1] } as const;

/**
 * The struct's bytes, padded to 16.
 *
 * @throws {TypeError} for a name that is missing or that the struct lacks, and for an integer given as `{ f32 }`;
 * {RangeError} for a value that its type cannot hold
 */
export function packUniforms(
  file: string,
  members: readonly UniformMember[],
  values: Readonly<Record<string, UniformValue>>,
): ArrayBuffer {
  const wrong = (name: string, given: string, wanted: string) =>
    `Cannot run ${file}: uniform ${name} is ${given}; expected ${wanted}`;
  for (const name of Object.keys(values)) {
    if (members.some((member) => member.name === name)) continue;
    const known = members.map((member) => member.name).join(", ") || "none";
    throw new TypeError(`Cannot run ${file}: there is no uniform ${name}; the struct has ${known}`);
  }
  const bytes = new ArrayBuffer(Math.ceil(members.length / 4) * 16);
  const view = new DataView(bytes);
  members.forEach(({ name, type }, i) => {
    const value = values[name];
    const given = value instanceof LaunchValue ? value.value : value;
    const wanted = type === "u32" ? "a u32" : `an ${type}`;
    if (given === undefined) throw new TypeError(wrong(name, "missing", wanted));
    if (type === "f32") {
      view.setFloat32(4 * i, typeof given === "number" ? given : given.f32, true);
      return;
    }
    if (typeof given !== "number") throw new TypeError(wrong(name, `the f32 ${given.f32}`, wanted));
    const [min, max] = RANGES[type];
    if (!Number.isInteger(given) || given < min || given > max) {
      throw new RangeError(wrong(name, String(given), wanted));
    }
    view.setUint32(4 * i, given, true); // the low 32 bits are the same for both types
  });
  return bytes;
}
