/**
 * `deno task runs`: the records under a folder as a table; `runs compare A B`: what differs between two.
 *
 * @module
 */
import { defineCommand, runTask, UserError } from "./run/cli.ts";
import { differingKeys, readRecord, type RunRecord } from "./run/record.ts";
import { textTable } from "./run/table.ts";

const command = defineCommand({
  task: "runs",
  summary: "Lists the records under --out, or compares two of them.",
  positionals: [
    { name: "action", description: "list (default), or compare A B", choices: ["list", "compare"] },
    { name: "records", description: "for compare: two runs' folders or record.json files", variadic: true },
  ],
  flags: {
    out: {
      type: "string",
      placeholder: "DIR",
      default: "out",
      description: "the folder that holds the runs",
    },
  },
  examples: ["deno task runs", "deno task runs compare out/a out/b"],
});

/** The records in a folder and in the folders of it, as deep as reproduce writes, by path; what cannot be read is said. */
async function findRecords(root: string, warn: (line: string) => void): Promise<Map<string, RunRecord>> {
  const records = new Map<string, RunRecord>();
  const visit = async (folder: string, depth: number) => {
    const entries = Array.from(Deno.readDirSync(folder)).sort((a, b) => a.name < b.name ? -1 : 1);
    for (const { name, isFile, isDirectory } of entries) {
      const path = `${folder}/${name}`;
      if (isFile && name === "record.json") {
        try {
          records.set(path, await readRecord(path));
        } catch (error) {
          warn((error as Error).message);
        }
      } else if (isDirectory && depth < 3) await visit(path, depth + 1);
    }
  };
  try {
    await visit(root, 0);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return records;
}

function nameOf(record: RunRecord): string {
  return (record.run as { name: string }).name;
}

/** The score to show: the ensemble's last row, or the last network's. */
function bestRow(record: RunRecord): { name: string; f1?: number; accuracy?: number; score?: number } {
  const ensemble = record.ensemble.at(-1);
  if (ensemble !== undefined) return ensemble;
  const last = Object.entries(record.networks).at(-1);
  return last === undefined ? { name: "-" } : { name: last[0], ...last[1].scores };
}

function listLines(records: ReadonlyMap<string, RunRecord>): string[] {
  const fixed = (value: number | undefined) => value === undefined ? "-" : value.toFixed(4);
  const rows = [...records].map(([path, record]) => {
    const { name, f1, accuracy, score } = bestRow(record);
    const { commit, dirty } = record.versions;
    const { root } = (record.run as { data: { root: string } }).data;
    const when = record.updatedAt.slice(0, 16).replace("T", " ");
    const source = commit === null ? "-" : commit.slice(0, 7) + (dirty ? "+" : "");
    const folder = path.replace(/\/record\.json$/, "");
    return [
      folder,
      nameOf(record),
      root,
      record.status,
      name,
      fixed(f1),
      fixed(accuracy),
      fixed(score),
      when,
      source,
    ];
  });
  return textTable(
    ["run", "name", "data", "status", "network", "F1", "accuracy", "score", "when", "commit"],
    rows,
  );
}

/** The value at a path of keys. */
function valueAt(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>(
    (inner, key) => (inner as Record<string, unknown> | undefined)?.[key],
    value,
  );
}

function compareLines(a: RunRecord, b: RunRecord): { lines: string[]; differences: string[] } {
  const differences = ["run", "data", "versions", "variants"].flatMap((part) =>
    differingKeys(a, b, "")
      .filter((key) => key === part || key.startsWith(`${part}.`))
  );
  const rows = [...differences, "adapter.description"].map((
    key,
  ) => [key, ...[a, b].map((record) => JSON.stringify(valueAt(record, key)) ?? "-")]);
  const networks = [...new Set([...Object.keys(a.networks), ...Object.keys(b.networks)])];
  for (const network of networks) {
    for (const key of ["f1", "accuracy", "score"]) {
      const path = `networks.${network}.scores.${key}`;
      rows.push([
        `${network} ${key}`,
        ...[a, b].map((record) => (valueAt(record, path) as number)?.toFixed(4) ?? "-"),
      ]);
    }
    const hashes = [a, b].map((record) =>
      String(valueAt(record, `networks.${network}.weightsSha256`)).slice(0, 12)
    );
    rows.push([`${network} weights`, ...hashes]);
  }
  return { lines: textTable(["", "A", "B"], rows), differences };
}

await runTask(command, Deno.args, async (options, context) => {
  const [action = "list", ...paths] = options.arguments;
  context.log(JSON.stringify({ action, out: options.out, records: paths }));
  if (options.dryRun) return { dryRun: true };
  if (action === "compare") {
    if (paths.length !== 2) {
      throw new UserError(`Cannot run runs compare: ${paths.length} records are given; expected two`);
    }
    const [a, b] = await Promise.all(
      paths.map((path) =>
        readRecord(path.endsWith(".json") ? path : `${path.replace(/\/$/, "")}/record.json`)
      ),
    );
    const { lines, differences } = compareLines(a, b);
    lines.forEach((line) => context.log(line));
    return { action, differences };
  }
  if (paths.length > 0) {
    throw new UserError(
      `Cannot run runs list: it is given ${paths.join(", ")}; expected --out DIR, or runs compare A B`,
    );
  }
  const records = await findRecords(options.out, (line) => context.log(line));
  if (records.size === 0) context.log(`there is no record under ${options.out}; deno task train writes them`);
  else listLines(records).forEach((line) => context.log(line));
  return { action, runs: records.size };
});
