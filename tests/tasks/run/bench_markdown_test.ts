import { assertEquals, assertStringIncludes } from "@std/assert";
import { renderBenchMarkdown } from "../../../tasks/run/report/bench_markdown.ts";
import type { BenchFile } from "../../../tasks/bench/file.ts";

const RESULT = {
  op: "matmul",
  case: "seven classes NN [288, 96, 7]",
  ours_ms: 0.25,
  stock_ms: 1,
  ratio: 4,
  gflops: 1.548,
  percent_of_roofline: null,
  dispatches: { ours: 1, stock: 2 },
  samples: { ours: [0.25, 0.25, 0.3], stock: [1, 1, 1.1] },
};
const BENCH = {
  adapter: { description: "llvmpipe", software: true },
  versions: { deno: "2.9.6", tfjs: "4.22.0" },
  peak_gflops: 45.21,
  bandwidth_gbs: 5.5,
  results: [RESULT, { ...RESULT, op: "sgd", gflops: null, percent_of_roofline: 12.34 }],
} as unknown as BenchFile;

Deno.test("a bench as Markdown: every case a row, as deno fmt has it", async () => {
  const text = renderBenchMarkdown(BENCH);
  assertStringIncludes(
    text,
    "- adapter: llvmpipe (software: no GPU)\n- Deno 2.9.6, TensorFlow.js 4.22.0\n- peak: 45.2 GFLOP/s",
  );
  const cells = text.split("\n").filter((line) => line.startsWith("| ")).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  assertEquals(cells.length, 4);
  assertEquals(cells[2], ["matmul", RESULT.case, "0.250", "1.00", "4.00x", "1.55", "–", "1 / 2", "3"]);
  assertEquals(cells[3].slice(5, 7), ["–", "12.3"]);
  const formatter = new Deno.Command("deno", {
    args: ["fmt", "--check", "--ext", "md", "--line-width", "110", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = formatter.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { code, stdout, stderr } = await formatter.output();
  const decoder = new TextDecoder();
  assertEquals(code, 0, `${decoder.decode(stdout)}${decoder.decode(stderr)}`);
});
