/** Running an exported model by ONNX Runtime, in a process of its own. */
import { assertEquals } from "@std/assert";

/** What a model is given: float32 values and their dimensions. */
export interface OnnxTensor {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** The model's only output for `images`, which must have the given name. */
export async function runOnnx(
  model: Uint8Array | string,
  images: OnnxTensor,
  output: string,
): Promise<{ shape: number[]; data: Float32Array }> {
  const folder = await Deno.makeTempDir();
  try {
    const path = typeof model === "string" ? model : `${folder}/model.onnx`;
    if (typeof model !== "string") await Deno.writeFile(path, model);
    await Deno.writeFile(`${folder}/in`, new Uint8Array(images.data.buffer));
    const runner = new URL("./onnx_runtime/run.js", import.meta.url).pathname;
    const { code, stdout, stderr } = await new Deno.Command("deno", {
      args: [
        "run",
        "--quiet",
        "--no-config",
        "--no-lock",
        "--allow-read",
        `--allow-write=${folder}`,
        "--allow-ffi",
        "--allow-env",
        "--allow-sys",
        runner,
        path,
        `${folder}/in`,
        `${folder}/out`,
        images.dims.join(),
      ],
    }).output();
    const decoder = new TextDecoder();
    assertEquals(code, 0, decoder.decode(stderr));
    const { names, dims } = JSON.parse(decoder.decode(stdout));
    assertEquals(names, [output]);
    return { shape: dims, data: new Float32Array((await Deno.readFile(`${folder}/out`)).buffer) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
