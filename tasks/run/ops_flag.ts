/**
 * The flag `--ops A,B` of `bench` and `tune`.
 *
 * @module
 */
import { nearest, UserError } from "./cli.ts";

/**
 * The ops that it names; all where it is not given.
 *
 * @throws {UserError} for an empty list and an op that is not known
 */
export function parseOps(
  task: string,
  text: string | undefined,
  known: readonly string[],
): readonly string[] {
  if (text === undefined) return known;
  const wanted = text.split(",").map((op) => op.trim()).filter((op) => op !== "");
  const refuse = (why: string, hint = "") =>
    new UserError(`Cannot run ${task}: --ops ${why}; expected some of ${known.join(", ")}${hint}`);
  if (wanted.length === 0) throw refuse(`is ${JSON.stringify(text)} and names none`);
  for (const op of wanted) {
    if (known.includes(op)) continue;
    const meant = nearest(op, known);
    throw refuse(`has ${JSON.stringify(op)}`, meant === undefined ? "" : `; did you mean ${meant}?`);
  }
  return wanted;
}
