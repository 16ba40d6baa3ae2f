/** `deno task profile --kernel`, as a command line. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { lastLine, messageOf, task } from "../_task.ts";

/** In two parts: a shader in TypeScript is looked for by this mark. */
const ENTRY = "@" + "compute";
const SHAPE = ["--shape", "2,6,6,4,3,3,8", "--time", "0.01"];
const profile = (...flags: string[]) => task("profile", ...flags);

Deno.test("profile refuses the flags of its other mode, and a wrong shape, before there is a device", async () => {
  const gelu = ["--kernel", "gelu", "--shape", "8,8"];
  const conv = ["--kernel", "conv2d_fwd", "--shape"];
  const refused: [string, string[]][] = [
    ["--trace goes without --kernel", [...gelu, "--trace", "t.json"]],
    ["--model goes without --kernel", [...gelu, "--model", "rnn"]],
    ["--steps goes without --kernel", [...gelu, "--steps", "3"]],
    ["--mode goes without --kernel", [...gelu, "--mode", "train"]],
    ["--rows goes without --kernel", [...gelu, "--rows", "25"]],
    ["--set goes without --kernel", [...gelu, "--set", "a=1"]],
    ["--stride goes with --kernel", ["--stride", "1"]],
    ["--time goes with --kernel", ["--time", "3"]],
    ["--pad goes with --kernel", ["--pad", "0"]],
    ["gelu: --stride is 1, and it moves no filter", [...gelu, "--stride", "1"]],
    ["gelu: --pad is 0, and it moves no filter", [...gelu, "--pad", "0"]],
    ['gelu: --shape is "bogus"; expected 2 sizes', ["--kernel", "gelu", "--shape", "bogus"]],
    ["--shape is missing; gelu wants --shape M,D", ["--kernel", "gelu"]],
    ["a filter of 3x3 does not fit into 1x1 with --pad 0; expected", [
      ...conv,
      "1,1,1,1,3,3,1",
      "--pad",
      "0",
    ]],
    ["a filter of 2x2 does not fit into 1x1 with --pad 0; expected", [...conv, "1,1,1,1,2,2,1"]],
    ["K is 1; expected at least 2", ["--kernel", "softmax_cross_entropy", "--shape", "1,1"]],
    ["A of 3 does not divide D of 8", ["--kernel", "attention", "--shape", "1,1,8,3"]],
    ["its image is 1x3; expected at least 2x2", ["--kernel", "max_pool", "--shape", "1,1,3,1"]],
  ];
  for (const [message, flags] of refused) {
    assertStringIncludes(messageOf(await profile(...flags, "--dry-run")), message);
  }
  for (
    const flags of [gelu, [...conv, "1,1,1,1,3,3,1"], [
      ...conv,
      "1,3,3,1,3,3,1",
      "--pad",
      "0",
      "--stride",
      "2",
    ]]
  ) {
    assertEquals(lastLine(await profile(...flags, "--dry-run")).dryRun, true);
  }
});

Deno.test("--variant: by text and number, of the passes that have it; none is refused with the list", async () => {
  const pixels = await profile("--kernel", "conv2d", ...SHAPE, "--variant", "pixels");
  const { conv2d_bwd_filter: chosen, ...others } = lastLine(pixels);
  assertMatch(chosen.fastest, /^\d+ \{"kind":"subgroup_pixels"/);
  assertEquals(Object.keys(others).filter((key) => key.startsWith("conv2d_")), []);
  assertStringIncludes(pixels.stdout, 'left out: conv2d_fwd has no variant "pixels"');
  const second = await profile("--kernel", "conv2d_fwd", ...SHAPE, "--variant", "2");
  assertMatch(lastLine(second).conv2d_fwd.fastest, /^2 /);
  assert(!/^1 \{/m.test(second.stdout), second.stdout);
  const { code, stderr } = await profile("--kernel", "conv2d", ...SHAPE, "--variant", "nowhere");
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /error: Cannot profile conv2d_fwd, .*: no variant is or contains "nowhere"; expected one of$/m,
  );
  assertMatch(stderr, /^ {2}conv2d_bwd_filter 1 \{"kind"/m);
});

Deno.test("--show prints what the compiler gets; --wgsl holds an edited copy against the right result", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const name = "conv2d_bwd_filter_pixels.wgsl";
    const pass = ["--kernel", "conv2d", ...SHAPE, "--variant", "pixels"];
    const shown = await profile(...pass, "--show", "wgsl");
    assertMatch(shown.stdout, /^\/\/ conv2d\/conv2d_bwd_filter_pixels\.wgsl.* \{.*\}$/m);
    assertStringIncludes(shown.stdout, ENTRY);
    assert(!shown.stdout.includes("#include"), "an #include is left in the source");
    lastLine(shown);

    const source = await Deno.readTextFile(new URL(`../../../kernels/conv2d/${name}`, import.meta.url));
    const edited = `${folder}/${name}`;
    await Deno.writeTextFile(edited, source);
    const { op, speedup, difference } = lastLine(await profile(...pass, "--wgsl", edited));
    assertEquals([op, speedup > 0, difference < 1e-3], ["conv2d_bwd_filter", true, true]);

    await Deno.writeTextFile(edited, source.replace("fma(vec4<f32>(a.x), b", "fma(vec4<f32>(a.y), b"));
    assertMatch(messageOf(await profile(...pass, "--wgsl", edited)), /conv2d_bwd_filter .* is wrong by /);
    await Deno.writeTextFile(edited, source.replaceAll(`\n${ENTRY}`, `\n${ENTRY} nonsense`));
    const broken = messageOf(await profile(...pass, "--wgsl", edited));
    assertStringIncludes(broken, `Cannot time ${edited}: `);
    const other = `${folder}/other.wgsl`;
    await Deno.writeTextFile(other, source);
    const astray = messageOf(await profile(...pass, "--wgsl", other));
    assertStringIncludes(
      astray,
      `conv2d with --variant pixels runs no file of that name; expected a copy of `,
    );
    assertStringIncludes(astray, name);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
