import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals } from "@std/assert";
import { type GruDirectionWeights, gruWithFinalState } from "../../kernels/gru/gru.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { readSafetensors } from "../../models/weights/safetensors.ts";
import { compare } from "../_compare.ts";

await initializeDevice();
register();

const path = new URL("../golden/gru.safetensors", import.meta.url).pathname;
const { tensors: golden, metadata } = await readSafetensors(path);
assertEquals(metadata.version, "1");

/** PyTorch's names of a layer's and direction's weights, in the order of ours. */
const weightNames = (layer: number, suffix: string) =>
  ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map((name) => `${name}_l${layer}${suffix}`);
const WEIGHTS = [0, 1].flatMap((layer) => ["", "_reverse"].flatMap((suffix) => weightNames(layer, suffix)));
/** Of float32 against float64, over two layers and a handful of frames. */
const TOLERANCE = 2e-6;

function network(x: tf.Tensor, weights: tf.Tensor[], initialState: tf.Tensor | undefined) {
  const directions = [0, 1, 2, 3].map((i): GruDirectionWeights => {
    const [inputWeight, hiddenWeight, inputBias, hiddenBias] = weights.slice(4 * i, 4 * i + 4) as [
      tf.Tensor2D,
      tf.Tensor2D,
      tf.Tensor1D,
      tf.Tensor1D,
    ];
    return { inputWeight, hiddenWeight, inputBias, hiddenBias };
  });
  const layers = [directions.slice(0, 2), directions.slice(2)];
  return gruWithFinalState(x as tf.Tensor3D, layers, { initialState: initialState as tf.Tensor3D });
}

for (const name of ["padded", "whole"]) {
  Deno.test(`gru: two layers, both directions, against PyTorch: ${name}`, async () => {
    const values = (key: string) => {
      const tensor = golden.get(`${name}/${key}`);
      assert(tensor !== undefined, `${name}/${key} is missing`);
      return { shape: tensor.shape, data: Float32Array.from(tensor.data as Float64Array) };
    };
    const load = (key: string) => tf.tensor(values(key).data, values(key).shape);
    const hasState = golden.has(`${name}/h0`);
    const keys = ["x", ...WEIGHTS, ...(hasState ? ["h0"] : [])];
    const inputs = keys.map(load);
    const [dy, dhn] = [load("dy"), load("dhn")];
    const before = tf.memory().numTensors;
    const run = (tensors: tf.Tensor[]) =>
      network(tensors[0], tensors.slice(1, 1 + WEIGHTS.length), hasState ? tensors.at(-1) : undefined);
    const { y, finalState } = run(inputs);
    const gradients = tf.grads((...tensors: tf.Tensor[]) => {
      const result = run(tensors);
      return result.y.mul(dy).sum().add(result.finalState.mul(dhn).sum()) as tf.Scalar;
    })(inputs);
    assertEquals(tf.memory().numTensors, before + 2 + gradients.length);
    const results = { y, hn: finalState } as Record<string, tf.Tensor>;
    keys.forEach((key, i) => results[`grad.${key}`] = gradients[i]);
    for (const [key, tensor] of Object.entries(results)) {
      assertEquals(tensor.shape, values(key).shape, key);
      compare(`gru ${name} ${key}`, await tensor.data<"float32">(), values(key).data, TOLERANCE);
    }
    tf.dispose([...inputs, ...Object.values(results), dy, dhn]);
  });
}
