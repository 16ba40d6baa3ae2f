/** That the tests of an op vary every constant of its shaders. */
import { assertEquals } from "@std/assert";
import { backendInternals } from "../../kernels/runtime/program.ts";

const KERNELS = new URL("../../kernels/", import.meta.url);
/** A constant that stands in a file: what the loader can set, not what follows from others. */
const DECLARATION = /^const (\w+) = (\d+|true|false)u?;/gm;

/** Constants with the values that they have had, by shader file. */
type Values = Map<string, Map<string, Set<string>>>;

function add(values: Values, file: string, name: string, value: string): void {
  const names = values.get(file) ?? new Map<string, Set<string>>();
  values.set(file, names);
  names.set(name, (names.get(name) ?? new Set()).add(value));
}

/**
 * Watches what is compiled from here on: to be called where an op's tests begin.
 *
 * @returns to be called in the last test: fails for a constant, of the files or that the op sets in an include, that has
 * had one value only; `fixed` are those that are no choice, as FILE NAME
 */
export function watchConstants(folder: string): (...fixed: string[]) => Promise<void> {
  const { device } = backendInternals();
  const create = device.createComputePipeline.bind(device);
  const labels = new Set<string>();
  device.createComputePipeline = (descriptor) => {
    labels.add(descriptor.label ?? "");
    return create(descriptor);
  };
  return async (...fixed) => {
    const values: Values = new Map();
    const compiled = [...labels].filter((label) => label.startsWith(`${folder}/`)).map((label) => {
      const [, file, constants] = /^[^/]+\/(\w+)\.wgsl[^?]*\?(.*)$/.exec(label)!;
      return {
        file,
        constants: new Map(constants.split("&").map((one) => one.split("=") as [string, string])),
      };
    });
    for (const { file, constants } of compiled) {
      const source = await Deno.readTextFile(new URL(`${folder}/${file}.wgsl`, KERNELS));
      const declared = [...source.matchAll(DECLARATION)].map(([, name, value]) => [name, value]);
      for (const [name, value] of new Map([...declared as [string, string][], ...constants])) {
        if (name !== "") add(values, file, name, value);
      }
    }
    const once = [...values].flatMap(([file, names]) =>
      [...names].filter(([, found]) => found.size === 1).map(([name]) => `${file} ${name}`)
    );
    assertEquals(
      once.sort(),
      [...fixed].sort(),
      `constants of ${folder} that no test varies, and those known`,
    );
  };
}
