/**
 * Offline stand-in for the part of `jsr:@std/assert` that Fervid uses.
 *
 * @module
 */
import nodeAssert from "node:assert";

/** Throws an `Error` unless the expression is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new Error(msg);
}

/** Throws unless both values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  nodeAssert.deepStrictEqual(actual, expected, msg);
}
