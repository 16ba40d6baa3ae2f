/**
 * The kernels on a second Vulkan driver, where it is installed: SwiftShader, which comes with Chromium. It differs from
 * lavapipe in what the kernels depend on: subgroups of 4, no shader-f16, workgroups of 256, bindings at multiples of 256.
 * With VK_DRIVER_FILES set to its file all tests of this folder run on it; here is one case of each op, since it compiles
 * slowly.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../../", import.meta.url).pathname;
const FOLDERS = [
  "/usr/lib/chromium",
  "/usr/lib/chromium-browser",
  "/usr/lib64/chromium-browser",
  "/opt/google/chrome",
  "/usr/share/vulkan/icd.d",
];
const OPS = [
  "attention",
  "batch_norm",
  "conv2d",
  "dropout",
  "gelu",
  "gru",
  "layer_norm",
  "linear",
  "matmul",
  "pool",
  "relu",
  "sgd",
  "sigmoid_cross_entropy",
  "softmax_cross_entropy",
];
const CASES = "/primes|several inputs|more than 65535|lanes that/";

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const driver = FOLDERS.map((folder) => `${folder}/vk_swiftshader_icd.json`).find(isFile);
if (driver === undefined) {
  console.warn(
    `SKIPPED: the kernels on SwiftShader: it is in none of ${FOLDERS.join(", ")}; Chromium brings it`,
  );
}

/** Runs Deno where SwiftShader is the only driver; the loader's second name is what older ones know. */
async function deno(...args: string[]) {
  const env = {
    DENO_WEBGPU_BACKEND: "vulkan",
    VK_DRIVER_FILES: driver!,
    VK_ICD_FILENAMES: driver!,
    NO_COLOR: "1",
  };
  const command = new Deno.Command("deno", { args, cwd: ROOT, env, stdout: "piped", stderr: "piped" });
  const { code, stdout, stderr } = await command.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
}

Deno.test({
  name: "SwiftShader: a case of each op is right there too",
  ignore: driver === undefined,
  async fn() {
    const found = await deno("run", "--no-check", "--allow-env=DEBUG", "tests/kernels/_adapter.ts");
    assertEquals(found.code, 0, found.err);
    const { description, software, features, subgroupSize } = JSON.parse(found.out);
    assertMatch(description, /SwiftShader/);
    assertEquals([software, subgroupSize], [true, 4]);
    assert(features.includes("timestamp-query") && !features.includes("shader-f16"), features.join());

    const files = ["runtime/program", ...OPS].map((name) => `tests/kernels/${name}_test.ts`);
    const { code, out, err } = await deno(
      "test",
      "--no-check",
      "--allow-read",
      "--allow-env=npm_package_config_libvips,MALLOC_ARENA_MAX,DEBUG",
      "--filter",
      CASES,
      ...files,
    );
    assertEquals(code, 0, `${out}\n${err}`);
    for (const file of files) assertMatch(out, new RegExp(`running [1-9]\\d* tests? from ./${file}`));
  },
});
