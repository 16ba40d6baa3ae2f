import { assert, assertEquals, assertMatch } from "@std/assert";
import * as tf from "@tensorflow/tfjs";
import { register } from "../../../kernels/mod.ts";
import type { BenchCase, BenchRun } from "../../../kernels/runtime/bench.ts";
import { benchCase } from "../../../kernels/runtime/bench_case.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { withShaders } from "../../../kernels/runtime/pipeline.ts";
import type { ShaderFile } from "../../../kernels/runtime/wgsl.ts";
import { RESNET50_STEP } from "../../../tasks/bench/resnet50_step.ts";

await initializeDevice();
register();

const AGREED = new Error("both sides agree");

/** What ends a bench that would be stopped before it times anything. */
function endOf(item: BenchCase): Promise<unknown> {
  const budget = { time: 1, minRounds: 1, maxRounds: 1, signal: AbortSignal.abort(AGREED) };
  return benchCase(item, { gflops: 1, bandwidth: 1 }, budget).catch((error) => error);
}

/** The case with other shaders in ours. */
function withWrong(replace: (shader: ShaderFile) => ShaderFile): BenchCase {
  return {
    ...RESNET50_STEP,
    setup(): BenchRun {
      const run = RESNET50_STEP.setup();
      // Not a copy: the state is made when it is read.
      return Object.create(run, { ours: { value: () => withShaders(replace, () => run.ours()) } });
    },
  };
}

Deno.test("bench of a training step: ours and stock agree; a gradient of a filter that is wrong is seen", async () => {
  const before = tf.memory().numTensors;
  assertEquals(await endOf(RESNET50_STEP), AGREED);
  let edited = 0;
  const filter = withWrong((shader) => {
    if (!shader.file.startsWith("conv2d/conv2d_bwd_filter")) return shader;
    edited++;
    const source = shader.source.replaceAll("u.pixels", "min(u.pixels, 40u)");
    return { ...shader, file: `${shader.file} (wrong)`, source };
  });
  assertMatch(
    String(await endOf(filter)),
    /of ours differs from stock's by [01]\.\d+; expected at most 0\.1$/,
  );
  assert(edited > 0, "no shader was edited");
  // tfjs keeps a scalar of each of its momentum optimizers.
  assertEquals(tf.memory().numTensors - before, 2);
});
