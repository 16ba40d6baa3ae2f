/**
 * `deno task report FILE`: what a task left behind as one HTML page.
 *
 * @module
 */
import { defineCommand, runTask } from "./run/cli.ts";
import { requireWritable, writeTextAtomic } from "./run/files.ts";
import { renderFile, renderFileAsMarkdown } from "./run/report/mod.ts";

const command = defineCommand({
  task: "report",
  summary:
    "Renders a record.json, a tables.json or a bench's or profile's JSON as an HTML page that is whole by itself.",
  positionals: [{
    name: "file",
    description: "what train, demo, reproduce, bench or profile wrote",
    required: true,
  }],
  flags: {
    out: {
      type: "string",
      placeholder: "FILE.html",
      description:
        "the page (default: report.html beside a record or tables, else the file's name with .html); FILE.md: a bench's " +
        "table as Markdown",
    },
  },
  examples: [
    "deno task report out/demo/record.json",
    "deno task report out/bench.json --out kernels/MEASURED.md",
    "deno task report out/profile.json",
  ],
});

/** Where the page goes unless it is said. */
function defaultOut(file: string): string {
  return /(^|\/)(record|tables)\.json$/.test(file)
    ? file.replace(/[^/]*$/, "report.html")
    : `${file.replace(/\.json$/, "")}.html`;
}

async function renderPage(file: string) {
  const { kind, html } = await renderFile(file);
  return { kind, text: html };
}

await runTask(command, Deno.args, async (options, context) => {
  const [file] = options.arguments;
  const out = options.out ?? defaultOut(file);
  context.log(JSON.stringify({ file, out }));
  if (options.dryRun) return { dryRun: true };
  await requireWritable(out);
  const { kind, text } = out.endsWith(".md") ? await renderFileAsMarkdown(file) : await renderPage(file);
  await writeTextAtomic(out, text);
  return { kind, report: out, bytes: new TextEncoder().encode(text).length };
});
