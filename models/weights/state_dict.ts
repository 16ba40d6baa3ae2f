/**
 * A pickled object's tensors by name: dicts and lists within it join their keys by dots.
 *
 * @module
 */
import type { WeightsContent } from "./file.ts";
import type { StoredTensor } from "./tensor.ts";

const MAX_DEPTH = 32;
const MAX_ITEMS = 1_000_000;

/**
 * Collects the tensors.
 *
 * @param asTensor gives the tensor that a value stands for, if it stands for one
 * @throws {Error} (through `fail`) if the object contains itself, is too deep or too large, or gives a name twice
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

  function visit(value: unknown, name: string): void {
    if (++items > MAX_ITEMS) fail(`has more than ${MAX_ITEMS} items`);
    const tensor = asTensor(value);
    if (tensor !== undefined) {
      if (tensors.has(name)) fail(`names two tensors ${name}`);
      tensors.set(name, tensor);
      return;
    }
    if (!(value instanceof Map || Array.isArray(value))) return; // epochs, losses, settings
    if (path.has(value)) fail(`contains itself at ${name || "its root"}`);
    if (path.size >= MAX_DEPTH) fail(`is nested more than ${MAX_DEPTH} deep`);
    path.add(value);
    const before = tensors.size;
    for (const [key, child] of value.entries()) {
      visit(child, name === "" ? String(key) : `${name}.${String(key)}`);
    }
    if (name !== "" && tensors.size > before) groups.push(`${name}.`);
    path.delete(value);
  }

  visit(root, "");
  return { tensors, groups };
}
