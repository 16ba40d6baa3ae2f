import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { parseHTML } from "linkedom";
import type { DispatchRecord } from "../../../kernels/runtime/timing.ts";
import { layerPoints, pointsOf, roofAt, rooflineSvg } from "../../../tasks/profile/roofline_chart.ts";
import type { ProfileRow } from "../../../tasks/profile/summary.ts";

const PEAKS = { gflops: 100, bandwidth: 10 }; // the roof bends at 10 FLOP / byte

function record(name: string, layer: string, flops: number, bytes: number, ns: number): DispatchRecord {
  const scope = { path: ["step 1", layer], backward: false };
  return {
    kind: "ours",
    name,
    shapes: [],
    variant: {},
    start: 0,
    ns,
    flops,
    bytes,
    allocated: 0,
    recorded: 0,
    scope,
  };
}

function row(name: string, gflops: number | null, gbs: number | null, total_ms = 1): ProfileRow {
  const none = { dispatches: 1, median_ms: 1, backward_ms: 0, share: 0.1, percent_of_roofline: null };
  return { name, gflops, gbs, total_ms, allocated_bytes: 0, ...none };
}

Deno.test("the roof is the slope of the bandwidth up to the peak", () => {
  assertEquals([0.1, 1, 10, 11, 1000].map((x) => roofAt(x, PEAKS)), [1, 10, 100, 100, 100]);
});

Deno.test("points: operations for each byte, speed, time of a step; what counts no operations is none", () => {
  const rows = [row("conv2d/a.wgsl", 20, 2, 4), row("copy", null, 3), row("tfjs Add", null, null)];
  assertEquals(pointsOf(rows), [{ name: "a", intensity: 10, gflops: 20, ms: 4 }]);
  const records = [
    record("conv2d/a.wgsl", "one", 6e6, 1e6, 1e6),
    record("conv2d/a.wgsl", "one", 2e6, 1e6, 1e6),
    record("conv2d/a.wgsl", "two", 5e6, 5e6, 1e6),
    record("b.wgsl", "two", 0, 5e6, 1e6),
  ];
  assertEquals(layerPoints(records, 2), [
    { name: "a", intensity: 4, gflops: 4, ms: 1 },
    { name: "a", intensity: 1, gflops: 5, ms: 0.5 },
  ]);
});

/** What is read of an svg's element. */
interface Element {
  readonly textContent: string;
  getAttribute(name: string): string | null;
  querySelectorAll(selector: string): Iterable<Element>;
}

const all = (element: Element, selector: string) => [...element.querySelectorAll(selector)];
const numberOf = (element: Element, name: string) => Number(element.getAttribute(name));

/** Pixels of a dot by Plot: its place is in `cx`, `cy`. */
const placeOf = (dot: Element) => ({ x: numberOf(dot, "cx"), y: numberOf(dot, "cy") });

Deno.test("the picture: dots on their side of the roof, every kernel named within the frame", () => {
  const kernels = [
    row("matmul/matmul_subgroup.wgsl", 50, 2.5, 9), // 20 FLOP / byte, half the peak
    row("gru/below_the_slope.wgsl", 5, 5, 4), // 1 FLOP / byte: the roof is 10
    row("gru/on_the_roof.wgsl", 100, 5, 1),
    row("pool/max_pool_fwd.wgsl, 4 at a time", null, 8),
  ];
  const records = [record("matmul/matmul_subgroup.wgsl", "one", 2e7, 1e6, 1e6)];
  const about = { adapter: "an <adapter>", title: "A & B", steps: 1 };
  const svg = rooflineSvg(kernels, records, PEAKS, about);
  const { document } = parseHTML(`<body>${svg}</body>`) as unknown as { document: Element };
  const [root] = all(document, "svg");
  const texts = all(root, "text");
  const shown = texts.map(({ textContent }) => textContent);
  for (
    const text of [
      "A & B",
      "an <adapter>; peak and bandwidth as measured in the same run",
      "compute peak 100.0 GFLOP/s",
      "memory 10.0 GB/s",
      "matmul_subgroup",
      "50.0 GFLOP/s, 50 % of the roof, 9.00 ms",
      "below_the_slope",
      "5.00 GFLOP/s, 50 % of the roof, 4.00 ms",
      "max_pool_fwd, 4 at a time",
    ]
  ) assert(shown.includes(text), `${text} in ${JSON.stringify(shown)}`);
  const width = numberOf(root, "width");
  for (const name of ["matmul_subgroup", "below_the_slope", "on_the_roof"]) {
    const label = texts.find(({ textContent }) => textContent === name)!;
    assertEquals(label.getAttribute("text-anchor"), "start");
    assert(numberOf(label, "x") + 8 * "50.0 GFLOP/s, 50 % of the roof, 9.00 ms".length < width, name);
  }

  // The roof's vertices, and the dots beside them: y grows downwards, and a decade is as long everywhere.
  const [left] = all(root, "svg");
  const roof = all(left, "path").map((path) => path.getAttribute("d")!).find((d) =>
    /^M[\d.,-]+L[\d.,-]+L[\d.,-]+$/.test(d)
  )!;
  const [start, bend, end] = roof.slice(1).split("L").map((pair) => pair.split(",").map(Number));
  assertAlmostEquals(bend[1], end[1], 1e-6);
  const circles = all(left, "circle").map(placeOf);
  assertEquals(circles.length, 1 + 3); // a layer's, and three kernels'
  const [subgroup, slope, on] = circles.slice(1); // the longest is drawn first
  const decade = { x: (subgroup.x - slope.x) / Math.log10(20), y: (slope.y - on.y) / Math.log10(20) };
  assert(decade.x > 50 && decade.y > 50, JSON.stringify(decade));
  assertAlmostEquals(bend[0], slope.x + decade.x, 0.1); // 10 FLOP / byte
  assertAlmostEquals(on.y, bend[1], 0.1);
  assertAlmostEquals(on.x, subgroup.x, 0.1);
  assertAlmostEquals(subgroup.y - bend[1], decade.y * Math.log10(2), 0.1);
  assertAlmostEquals((start[1] - bend[1]) / decade.y, (bend[0] - start[0]) / decade.x, 1e-3); // the slope is 1
  const roofThere = bend[1] + decade.y; // at 1 FLOP / byte: 10 GFLOP/s
  assertAlmostEquals(slope.y - roofThere, decade.y * Math.log10(2), 0.1);
});
