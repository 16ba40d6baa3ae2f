/** Running a task's command line as deno.json has it, with its permissions. */
import { assert, assertEquals } from "@std/assert";

/** deno.json. */
export const CONFIG = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
const ROOT = new URL("../../", import.meta.url).pathname;

/** How a task ended. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command of a task. */
export function taskCommand(name: string, ...args: string[]): Deno.Command {
  const [program, ...words] = (CONFIG.tasks[name].command as string).split(" ");
  assertEquals(program, "deno");
  return new Deno.Command("deno", { args: [...words, ...args], cwd: ROOT, stdout: "piped", stderr: "piped" });
}

/** Runs a task to its end. */
export async function task(name: string, ...args: string[]): Promise<Outcome> {
  const { code, stdout, stderr } = await taskCommand(name, ...args).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** The JSON of a task's last line; the task must have succeeded. */
// deno-lint-ignore no-explicit-any
export function lastLine(outcome: Outcome): any {
  assertEquals(outcome.code, 0, outcome.stderr);
  return JSON.parse(outcome.stdout.trim().split("\n").at(-1)!);
}

/** The one message of a failed task. */
export function messageOf({ code, stderr }: Outcome): string {
  assertEquals(code, 1, stderr);
  const errors = stderr.split("\n").filter((line) =>
    line.startsWith("error: ") && !line.includes("XDG_RUNTIME_DIR")
  );
  assertEquals(errors.length, 1, stderr);
  assert(!/^\s+at /m.test(stderr), `there is a stack in ${stderr}`);
  return errors[0];
}
