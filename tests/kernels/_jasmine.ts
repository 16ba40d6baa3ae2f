/** The part of Jasmine that tfjs's own specs use, so that they run as steps of a Deno test. */
import { assert, assertEquals } from "@std/assert";
import * as tf from "@tensorflow/tfjs";

/** One `it` of a file. */
export interface Spec {
  readonly name: string;
  run(): Promise<void>;
}

type Body = () => void | Promise<void>;

/** What `expect(actual)` offers. */
function expect(actual?: unknown) {
  return {
    toBe: (expected: unknown) => assert(Object.is(actual, expected), `${actual} is not ${expected}`),
    toEqual: (expected: unknown) => assertEquals(actual, expected),
    toThrowError(message?: string | RegExp) {
      let error: unknown;
      try {
        (actual as () => unknown)();
      } catch (thrown) {
        error = thrown;
      }
      assert(error instanceof Error, "expected it to throw an Error");
      if (typeof message === "string") assertEquals(error.message, message);
      else if (message !== undefined) assert(message.test(error.message), `${error.message} !~ ${message}`);
    },
  };
}

/**
 * The specs of one of tfjs's files, without running any.
 *
 * @param source its text: an ES module whose imports are tfjs, and tfjs's helpers for tests
 */
export function collectSpecs(source: string): Spec[] {
  const specs: Spec[] = [];
  const path: string[] = [];
  let before: Body[] = [];
  const describe = (name: string, tests: () => void) => {
    const outer = before;
    before = [...outer];
    path.push(name);
    tests();
    path.pop();
    before = outer;
  };
  const scope = {
    tf,
    ALL_ENVS: {},
    describe,
    describeWithFlags: (name: string, _constraints: unknown, tests: () => void) => describe(name, tests),
    beforeEach: (body: Body) => before.push(body),
    it(name: string, body: Body) {
      const bodies = [...before, body];
      const run = async () => {
        tf.engine().startScope();
        try {
          for (const each of bodies) await each();
        } finally {
          tf.engine().endScope();
          tf.disposeVariables();
        }
      };
      specs.push({ name: [...path, name].join(" "), run });
    },
    expect,
    expectArraysClose: tf.test_util.expectArraysClose,
    expectArraysEqual: tf.test_util.expectArraysEqual,
  };
  const script = source.replace(/^import .*;$/gm, "").replace(/^export /gm, "").replace(
    /^\/\/# source.*$/gm,
    "",
  );
  new Function(...Object.keys(scope), `"use strict";\n${script}`)(...Object.values(scope));
  return specs;
}
