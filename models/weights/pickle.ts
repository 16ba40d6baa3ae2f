/**
 * An unpickler that can execute nothing: Python's pickle machine (protocols 0 to 5, `pickletools`) over a whitelist of
 * globals that the caller gives. Whatever is not known is an error that names it, and a pickle can neither grow
 * without bound nor refer to bytes that the file has not.
 *
 * Python -> here: None null; bool, float boolean, number; int number, or bigint beyond 2^53; str string; bytes, and
 * str longer than 64 KiB, PickleBytes; tuple, list Array; dict, OrderedDict Map; set Set.
 *
 * @module
 */
import { handlerOf, type Machine } from "./pickle_opcodes.ts";
import type { PickleRules } from "./pickle_values.ts";
import { type Cursor, refuse } from "./source.ts";

/** Some 20,000 tensors; an opcode keeps some 150 bytes at most. */
const MAX_OPCODES = 1_000_000;
const STOP = 0x2e;

/**
 * Runs one pickle; the cursor stands behind it afterwards.
 *
 * @throws {Error} naming the global, the opcode, or the limit that is not allowed
 */
export function unpickle(cursor: Cursor, rules: PickleRules): unknown {
  const machine: Machine = {
    cursor,
    rules,
    stack: [],
    marks: [],
    memo: new Map(),
    fail: (reason) => refuse(cursor.source, `its pickle ${reason}`),
  };
  for (let count = 0; count < MAX_OPCODES; count++) {
    const opcode = cursor.u8();
    if (opcode === STOP) {
      if (machine.stack.length !== 1 || machine.marks.length !== 0) {
        machine.fail("ends with an unfinished object");
      }
      return machine.stack[0];
    }
    handlerOf(opcode, machine)(machine);
  }
  return machine.fail(`has more than ${MAX_OPCODES} opcodes`);
}
