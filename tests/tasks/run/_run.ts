/** The smallest run, in this process: its device and its shaders serve all tests of a file. */
import type { Context } from "../../../tasks/run/cli.ts";
import { type ExecuteResult, executeRun, type ExistingRun } from "../../../tasks/run/execute.ts";
import { resolveRun } from "../../../tasks/run/run_file.ts";

/** A folder for tests, removed after them. */
export async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A context that keeps the lines; Ctrl-C comes with the first one that matches. */
export function contextFor(stopAt?: RegExp): Context & { readonly lines: string[] } {
  const controller = new AbortController();
  const lines: string[] = [];
  return {
    lines,
    signal: controller.signal,
    progress: () => ({ update() {}, finish() {} }) as unknown as ReturnType<Context["progress"]>,
    log(line) {
      lines.push(line);
      if (stopAt?.test(line)) controller.abort();
    },
    lastWords() {},
  };
}

/** A run file's content of networks of width 4; the data is drawn beside the runs. */
export function smallest(folder: string, networks: readonly string[] = ["cnn"]): Record<string, unknown> {
  return {
    name: "smallest",
    preset: "tiny",
    data: { root: `${folder}/data`, synthetic: { tracks: 6, frames: 12, size: 48, balanced: true } },
    models: Object.fromEntries(networks.map((name) => [name, { architecture: { width: 4, size: 32 } }])),
    recipe: { epochs: 1, batchSize: 8 },
    loader: { workers: 0 },
  };
}

/** Runs it. */
export async function execute(
  content: Record<string, unknown>,
  out: string,
  existing: ExistingRun = "refuse",
  { overrides = [], context = contextFor() }: { overrides?: string[]; context?: Context } = {},
): Promise<ExecuteResult> {
  return await executeRun(resolveRun(content, "the test", overrides), { out, existing }, context);
}

/** Whether there is a file. */
export async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
