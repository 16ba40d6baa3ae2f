/**
 * Offline stand-in for the part of `jsr:@std/assert` that Fervid uses, over `node:assert`. Delete the `links` line in
 * `deno.json` to use the published package.
 *
 * @module
 */
import nodeAssert from "node:assert";
import { inspect } from "node:util";

/** A failed assertion. */
export class AssertionError extends Error {
  override name = "AssertionError";
}

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = abstract new (...args: any[]) => E;

function failWith(reason: string, msg?: string): never {
  throw new AssertionError(msg === undefined ? reason : `${reason}: ${msg}`);
}

function check(test: () => void, msg?: string): void {
  try {
    test();
  } catch (error) {
    failWith((error as Error).message, msg);
  }
}

/** Throws unless the expression is truthy. */
export function assert(expr: unknown, msg = ""): asserts expr {
  if (!expr) throw new AssertionError(msg);
}

/** Throws always. */
export function fail(msg?: string): never {
  failWith("Failed assertion", msg);
}

/** Throws unless both values are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void {
  check(() => nodeAssert.deepStrictEqual(actual, expected), msg);
}

/** Throws if both values are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void {
  check(() => nodeAssert.notDeepStrictEqual(actual, expected), msg);
}

/** Throws unless `actual` and `expected` differ by at most `tolerance`, by default 1e-7 of `expected`. */
export function assertAlmostEquals(actual: number, expected: number, tolerance?: number, msg?: string): void {
  if (Object.is(actual, expected)) return;
  const allowed = tolerance ?? (Number.isFinite(expected) ? Math.abs(expected) * 1e-7 : 1e-7);
  if (!(Math.abs(actual - expected) <= allowed)) {
    failWith(`Expected ${actual} to be within ${allowed} of ${expected}`, msg);
  }
}

/** Throws unless `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual > expected)) failWith(`Expected ${inspect(actual)} > ${inspect(expected)}`, msg);
}

/** Throws unless `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual >= expected)) failWith(`Expected ${inspect(actual)} >= ${inspect(expected)}`, msg);
}

/** Throws unless `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual < expected)) failWith(`Expected ${inspect(actual)} < ${inspect(expected)}`, msg);
}

/** Throws unless `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void {
  if (!(actual <= expected)) failWith(`Expected ${inspect(actual)} <= ${inspect(expected)}`, msg);
}

/** Throws unless the text contains the other. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void {
  if (!actual.includes(expected)) {
    failWith(`Expected ${inspect(actual)} to contain ${inspect(expected)}`, msg);
  }
}

/** Throws unless the text matches. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void {
  if (!expected.test(actual)) failWith(`Expected ${inspect(actual)} to match ${expected}`, msg);
}

/** Throws unless the value is an instance of the class. */
export function assertInstanceOf<E extends Error>(
  actual: unknown,
  expectedType: ErrorClass<E>,
  msg?: string,
): asserts actual is E {
  if (!(actual instanceof expectedType)) {
    failWith(`Expected an instance of ${expectedType.name} but got ${inspect(actual)}`, msg);
  }
}

function checkError<E extends Error>(
  error: unknown,
  ErrorType: ErrorClass<E>,
  msgIncludes: string | undefined,
  msg: string | undefined,
): E {
  assertInstanceOf(error, ErrorType, msg);
  if (msgIncludes !== undefined && !error.message.includes(msgIncludes)) {
    failWith(`Expected the error message ${inspect(error.message)} to include ${inspect(msgIncludes)}`, msg);
  }
  return error;
}

/** Throws unless the function throws such an error, which is returned. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorType: ErrorClass<E> = Error as unknown as ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): E {
  try {
    fn();
  } catch (error) {
    return checkError(error, ErrorType, msgIncludes, msg);
  }
  failWith("Expected the function to throw", msg);
}

/** Rejects unless the function rejects with such an error, which is returned. */
export async function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorType: ErrorClass<E> = Error as unknown as ErrorClass<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E> {
  let promise: PromiseLike<unknown>;
  try {
    promise = fn();
  } catch (error) {
    failWith(`Expected the function to reject but it threw ${inspect(error)}`, msg);
  }
  try {
    await promise;
  } catch (error) {
    return checkError(error, ErrorType, msgIncludes, msg);
  }
  failWith("Expected the function to reject", msg);
}
