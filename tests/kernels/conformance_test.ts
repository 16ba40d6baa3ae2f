import { assertGreater } from "@std/assert";
import conv1d from "@tensorflow/tfjs-core/dist/ops/conv1d_test.js" with { type: "text" };
import conv2d from "@tensorflow/tfjs-core/dist/ops/conv2d_test.js" with { type: "text" };
import conv2dTranspose from "@tensorflow/tfjs-core/dist/ops/conv2d_transpose_test.js" with { type: "text" };
import fusedConv2d from "@tensorflow/tfjs-core/dist/ops/fused/fused_conv2d_test.js" with { type: "text" };
import fusedMatMul from "@tensorflow/tfjs-core/dist/ops/fused/fused_mat_mul_test.js" with { type: "text" };
import matMul from "@tensorflow/tfjs-core/dist/ops/mat_mul_test.js" with { type: "text" };
import { register, unregister } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { hookCommands } from "../../kernels/runtime/program.ts";
import { collectSpecs, type Spec } from "./_jasmine.ts";

await initializeDevice();
register();

/** tfjs's own specs of the ops that are replaced, and the folders whose kernels they must reach. */
const FILES: Readonly<Record<string, { source: string; kernels: string }>> = {
  "matMul and dot": { source: matMul, kernels: "matmul/" },
  "fused matMul": { source: fusedMatMul, kernels: "matmul/" },
  "conv2d": { source: conv2d, kernels: "conv2d/" },
  "fused conv2d": { source: fusedConv2d, kernels: "conv2d/" },
  "conv2dTranspose": { source: conv2dTranspose, kernels: "conv2d/" },
  "conv1d": { source: conv1d, kernels: "conv2d/" },
};

/** What a spec fails with; undefined if it passes. */
async function failureOf(spec: Spec): Promise<unknown> {
  try {
    await spec.run();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Fails as the spec does with our kernels, unless it fails with tfjs's own on this adapter, too. */
async function check(spec: Spec): Promise<void> {
  const failure = await failureOf(spec);
  if (failure === undefined) return;
  unregister();
  try {
    const stock = await failureOf(spec);
    if (stock === undefined) throw failure;
    console.log(`  skipped, since tfjs's own kernels fail: ${(stock as Error).message.split("\n")[0]}`);
  } finally {
    register();
  }
}

for (const [name, { source, kernels }] of Object.entries(FILES)) {
  Deno.test(`tfjs's own specs pass on our kernels: ${name}`, async (test) => {
    const specs = collectSpecs(source);
    assertGreater(specs.length, 15, "specs found");
    let ours = 0;
    const unhook = hookCommands({
      onDispatch(file, dispatch, record) {
        if (dispatch !== undefined && file.startsWith(kernels)) ours++;
        record();
      },
      onCopy: (_bytes, record) => record(),
    });
    try {
      for (const spec of specs) await test.step(spec.name, () => check(spec));
    } finally {
      unhook();
    }
    assertGreater(ours, specs.length / 2, `dispatches of kernels in ${kernels}`);
  });
}
