/**
 * What `DEBUG` asks to be told, on stderr. 1: the adapter, the variant of each op, each pipeline; 2: every dispatch as
 * well; 3: the final source of every shader as well. Without permission to read `DEBUG` nobody has asked.
 *
 * @module
 */
import type { Dispatch } from "./dispatch.ts";

const MOST = 3;

function read(): number {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "DEBUG" });
  const text = state === "granted" ? Deno.env.get("DEBUG") ?? "" : "";
  return /^\d+$/.test(text) ? Math.min(MOST, Number(text)) : 0;
}

/** Read once: a dispatch pays for one comparison. */
const LEVEL = read();

/** True if so much is to be told. */
export function debugging(level: 1 | 2 | 3): boolean {
  return LEVEL >= level;
}

/** Tells something, if it was asked for. */
export function debug(level: 1 | 2 | 3, text: () => string): void {
  if (LEVEL >= level) console.error(`debug: ${text()}`);
}

function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

/** A dispatch in a line: name, constants, shapes of inputs and outputs, workgroups. */
export function dispatchText({ shader, constants = {}, inputs, outputs, workgroups }: Dispatch): string {
  const given = inputs.map((input) => shapeText("tensor" in input ? input.tensor.shape : input.shape));
  const made = outputs.map((output) =>
    "inPlace" in output ? `${shapeText(output.inPlace.shape)} in place` : shapeText(output.shape)
  );
  const values = Object.entries(constants).map(([name, value]) => `${name}=${value}`).join(" ");
  return `dispatch ${shader.file} (${values}) ${given.join(", ")} -> ${made.join(", ")}, workgroups ${
    shapeText(workgroups.map((count) => count ?? 1))
  }`;
}

/** What is told of tfjs's own programs. */
interface StockProgram {
  readonly outputShape: readonly number[];
  readonly dispatch: readonly number[];
}

/** What runs tfjs's own programs; private in its types. */
interface StockBackend {
  runWebGPUProgram(
    program: StockProgram,
    inputs: readonly { shape: number[] }[],
    ...rest: unknown[]
  ): unknown;
}

/** Tells of the dispatches of tfjs's own programs as well, if dispatches are to be told. */
export function debugStock(backend: object): void {
  if (!debugging(2)) return;
  const own = backend as StockBackend;
  const run = own.runWebGPUProgram;
  own.runWebGPUProgram = (program, inputs, ...rest) => {
    const given = inputs.map(({ shape }) => shapeText(shape)).join(", ");
    const result = run.call(own, program, inputs, ...rest);
    debug(
      2,
      () =>
        `dispatch tfjs ${program.constructor.name} ${given} -> ${
          shapeText(program.outputShape)
        }, workgroups ${shapeText(program.dispatch)}`,
    );
    return result;
  };
}
