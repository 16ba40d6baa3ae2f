import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { TablesFile } from "../../tasks/run/report/tables_report.ts";
import { chromiumVersion, type PageNode, visit } from "./_browser.ts";
import { lastLine, messageOf, task } from "./_task.ts";

const version = await chromiumVersion();
if (version === undefined) {
  console.error("SKIPPED: there is no chromium on this machine, so that no report is opened in a browser");
}
const ignore = version === undefined;

const texts = (page: PageNode, selector: string) =>
  [...page.querySelectorAll(selector)].map(({ textContent }) => textContent);

/** Opens a page: it is silent, asks for nothing and has these headings and at least so many charts. */
async function assertPage(path: string, headings: readonly string[], charts: number): Promise<void> {
  const { document, said, requests } = await visit(path);
  assertEquals({ said, requests }, { said: [], requests: [] }, path);
  assertEquals(texts(document, "h2"), headings, path);
  assertEquals(texts(document, "h1"), texts(document, "title"));
  const drawn = [...document.querySelectorAll("svg[aria-label], figure[aria-label]")];
  assert(drawn.length >= charts, `${path} has ${drawn.length} charts; expected at least ${charts}`);
  const html = (await Deno.readTextFile(path)).replace(/data:image[^"]*/g, "");
  const broken = html.match(/.{0,80}(NaN|Infinity|undefined|\u26a0).{0,80}/);
  assertEquals(broken, null, `${path}: ${broken?.[0]}`); // a chart of Plot's with a warning bears a sign
}

Deno.test({ name: "a browser sees what a page says and asks for", ignore }, async () => {
  const folder = await Deno.makeTempDir();
  try {
    const page = async (name: string, head: string, body: string) => {
      const path = `${folder}/${name}.html`;
      await Deno.writeTextFile(path, `<!DOCTYPE html><html><head>${head}</head><body>${body}</body></html>`);
      return path;
    };
    const icon = `<link rel="icon" href="data:,">`;
    const image = `<img src="http://127.0.0.1:9/x.png">`;
    const loud = await visit(
      await page("loud", icon, `<h1>x</h1>${image}<script>throw Error("so")</script>`),
    );
    assertEquals(loud.requests, ["http://127.0.0.1:9/x.png"]);
    assert(loud.said.some((line) => line.includes("Uncaught Error: so")), loud.said.join("\n"));
    const policy = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'">`;
    const refused = await visit(await page("refused", icon + policy, image));
    assertEquals(refused.requests, []);
    assert(refused.said.some((line) => line.includes("Content Security Policy")), refused.said.join("\n"));
    const quiet = await visit(await page("quiet", icon, "<h1>quiet</h1>"));
    assertEquals([quiet.said, quiet.requests, texts(quiet.document, "h1")], [[], [], ["quiet"]]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Runs a body in a folder of its own. */
async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs `report` and opens the page. */
async function reportOpens(
  file: string,
  kind: string,
  headings: readonly string[],
  charts: number,
): Promise<void> {
  const { report, kind: found } = lastLine(await task("report", file, "--out", `${file}.html`));
  assertEquals(found, kind);
  await assertPage(report, headings, charts);
}

const FRAMES = [
  "Tracks over time",
  "The most confident mistakes",
  "A sample of frames",
  "What the refinements bring",
  "How far the probabilities can be trusted",
  "The data: frames of each class",
];

Deno.test({ name: "reports of a run and of an evaluation open", ignore }, () =>
  inFolder(async (folder) => {
    const [out, data, file] = [`${folder}/out`, `${folder}/data`, `${folder}/run.json`];
    const sizes = { architecture: { width: 4, size: 32 } };
    const content = {
      name: "smallest",
      preset: "tiny",
      data: { root: data, synthetic: { tracks: 6, frames: 12, size: 48, balanced: true } },
      models: { cnn: sizes, rnn: sizes, transformer: sizes },
      recipe: { epochs: 1, batchSize: 8 },
    };
    await Deno.writeTextFile(file, JSON.stringify(content));
    lastLine(await task("train", "--run", file, "--out", out));
    await assertPage(`${out}/report.html`, [
      "Results (the paper's Table 1)",
      "Learning curves",
      "The ensemble's weights",
      "Confusion matrix of the ensemble",
      "F1 of each expression",
      ...FRAMES,
      "Configuration",
      "What ran, and on what",
    ], 14);
    const page = `${folder}/evaluation.html`;
    const weights = ["--weights", `${out}/rnn.safetensors`];
    lastLine(await task("evaluate", ...weights, "--data", data, "--report", page));
    await assertPage(page, [
      "Scores",
      "Confusion matrix of CNN-RNN",
      "F1 of each expression",
      ...FRAMES,
      "How it was trained",
      "What ran, and on what",
    ], 8);
  }));

Deno.test({ name: "the report of reproduced tables opens", ignore }, () =>
  inFolder(async (folder) => {
    const spread = (mean: number) => ({ mean, deviation: 0.01 });
    const row = (name: string, mean: number, paper: number | null) => ({
      name,
      seeds: 2,
      f1: spread(mean),
      accuracy: spread(mean),
      score: spread(mean),
      paper: paper === null ? null : { f1: paper, accuracy: paper, score: paper },
    });
    const tables: TablesFile = {
      format: "fervid-tables",
      preset: "tiny",
      data: "synthetic",
      seeds: [1, 2],
      table_1: [row("ResNet50", 0.6, 0.44), row("CNN+CNN-RNN", 0.7, 0.48), row("ours alone", 0.5, null)],
      table_2: [row("ResNet50", 0.5, 0.4)],
      majority_score: 0.1,
      uniform_score: 0.14,
      facts: [["adapter", "<any>"]],
      reports: ["seed_1/report.html"],
    };
    await Deno.writeTextFile(`${folder}/tables.json`, JSON.stringify(tables));
    await reportOpens(`${folder}/tables.json`, "tables", [
      "Table 1: seven expressions",
      "Table 2: twelve action units",
      "The runs",
      "What ran, and on what",
    ], 2);
  }));

Deno.test(
  { name: "reports of a bench and of a profile open; one kernel's profile has none", ignore },
  () =>
    inFolder(async (folder) => {
      const [bench, again, profile] = ["bench", "again", "profile"].map((name) => `${folder}/${name}.json`);
      const flags = ["--ops", "gelu,dropout", "--filter", "of the demo", "--time", "0.01"];
      lastLine(await task("bench", ...flags, "--json", bench));
      lastLine(await task("bench", ...flags, "--json", again, "--compare", bench));
      const headings = ["How many times faster", "All cases", "What ran, and on what"];
      await reportOpens(bench, "bench", headings, 2);
      await reportOpens(again, "bench", ["Since an earlier run", ...headings], 2);

      lastLine(await task("profile", "--model", "rnn", "--batch", "2", "--steps", "2", "--json", profile));
      await reportOpens(profile, "profile", [
        "The parts of a step",
        "Share by kernel",
        "Share by layer",
        "All kernels",
        "All layers",
        "What ran, and on what",
      ], 3);
      const kernel = ["--kernel", "gelu", "--shape", "8,8", "--time", "0.01"];
      lastLine(await task("profile", ...kernel, "--json", profile));
      const refused = messageOf(await task("report", profile));
      assertStringIncludes(
        refused,
        `Cannot report ${profile}: it is the profile of one kernel, which has no `,
      );
    }),
);

Deno.test("a file that lacks what its report shows: one message that names the file and the place", () =>
  inFolder(async (folder) => {
    const path = `${folder}/file.json`;
    const results = [{
      op: "gelu",
      case: "small",
      ours_ms: 1,
      stock_ms: 2,
      ratio: 2,
      gflops: null,
      percent_of_roofline: null,
      dispatches: { ours: 1, stock: 2 },
      samples: { ours: [1, 1], stock: [2, 2] },
    }];
    const bench = { adapter: { description: "any" }, peak_gflops: 1, bandwidth_gbs: 1, results };
    const without = (key: string) =>
      Object.fromEntries(Object.entries(results[0]).filter(([k]) => k !== key));
    const uneven = { ours: [1], stock: [1, 2] };
    const wrong: [string, unknown][] = [
      ["adapter: ", { ...bench, adapter: undefined }],
      ["results.0.samples: ", { ...bench, results: [without("samples")] }],
      ["results.0.dispatches: ", { ...bench, results: [without("dispatches")] }],
      ["results.0.samples: ours and stock differ", {
        ...bench,
        results: [{ ...results[0], samples: uneven }],
      }],
      ["results: ", { ...bench, results: [] }],
      ["it says of itself nothing that is known; expected a record", { ...bench, bandwidth_gbs: undefined }],
      ["it is the profile of one kernel", { ...bench, op: "gelu", edited_ms: 1 }],
      ["preset: ", { format: "fervid-tables" }],
      ["adapter: ", { parts: {}, kernels: [], layers: [] }],
      ["(reproduce), the JSON of bench, or ", []],
    ];
    const refused = async (content: unknown, ...flags: string[]) => {
      await Deno.writeTextFile(path, JSON.stringify(content));
      return messageOf(await task("report", path, ...flags));
    };
    for (const [place, content] of wrong) {
      const message = await refused(content);
      assertStringIncludes(message, `Cannot report ${path}: `);
      assertStringIncludes(message, place);
    }
    const markdown = await refused({ ...bench, adapter: {} }, "--out", `${folder}/x.md`);
    assertStringIncludes(markdown, `Cannot report ${path}: adapter.description: `);
    await Deno.writeTextFile(path, JSON.stringify(bench)); // of an earlier version
    assertEquals(lastLine(await task("report", path, "--out", `${folder}/x.html`)).kind, "bench");
    assertStringIncludes(messageOf(await task("report", `${folder}/none.json`)), "there is no such file");
  }));
