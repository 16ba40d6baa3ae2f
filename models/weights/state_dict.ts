/**
 * A pickled object's tensors by name: dicts and lists within it join their keys by dots.
 *
 * @module
 */
import type { WeightsContent } from "./file.ts";
import type { StoredTensor } from "./tensor.ts";

const MAX_DEPTH = 32;
const MAX_ITEMS = 1_000_000;
const MAX_NAME_LENGTH = 1000;

/** A key as a part of a name; undefined for what is none: a tuple's text can be longer than any memory. */
function keyText(key: unknown): string | undefined {
  return ["string", "number", "bigint", "boolean"].includes(typeof key) ? String(key) : undefined;
}

/**
 * Collects the tensors.
 *
 * @param asTensor gives the tensor that a value stands for, if it stands for one
 * @throws {Error} (through `fail`) if the object contains itself, is too deep or too large, gives a name twice, or
 * has a tensor under a key that is neither a text nor a number
 */
export function collectTensors(
  root: unknown,
  asTensor: (value: unknown) => StoredTensor | undefined,
  fail: (reason: string) => never,
): WeightsContent {
  const tensors = new Map<string, StoredTensor>();
  const groups: string[] = [];
  const path = new Set<unknown>();
  let items = 0;

  function visit(value: unknown, name: string | undefined): void {
    if (++items > MAX_ITEMS) fail(`has more than ${MAX_ITEMS} items`);
    const tensor = asTensor(value);
    if (tensor !== undefined) {
      if (name === undefined) fail("has a tensor under a key that is neither a text nor a number");
      if (name.length > MAX_NAME_LENGTH) fail(`has a tensor with a name of ${name.length} characters`);
      if (tensors.has(name)) fail(`names two tensors ${name}`);
      tensors.set(name, tensor);
      return;
    }
    if (!(value instanceof Map || Array.isArray(value))) return; // epochs, losses, settings
    if (path.has(value)) {
      fail(`contains itself at ${(name ?? "some key").slice(0, MAX_NAME_LENGTH) || "its root"}`);
    }
    if (path.size >= MAX_DEPTH) fail(`is nested more than ${MAX_DEPTH} deep`);
    path.add(value);
    const before = tensors.size;
    for (const [key, child] of value.entries()) {
      const text = keyText(key);
      if (name === undefined || text === undefined) visit(child, undefined);
      else visit(child, name === "" ? text : `${name}.${text}`);
    }
    if (name !== undefined && name !== "" && tensors.size > before) groups.push(`${name}.`);
    path.delete(value);
  }

  visit(root, "");
  return { tensors, groups };
}
