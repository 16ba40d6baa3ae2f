import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { gru, type GruDirectionWeights, gruWithFinalState } from "../../kernels/gru/gru.ts";
import { EDGE_CASES, type GruCase, MODEL_CASES, toleranceOf } from "../../kernels/gru/gru_cases.ts";
import { type GruGeometry, gruLayerForward, type GruTile } from "../../kernels/gru/gru_layer.ts";
import {
  gruLayerBackwardInput,
  gruLayerBackwardSteps,
  subgroupTile,
  workgroupTile,
} from "../../kernels/gru/gru_layer.ts";
import { gruLayerBackwardRef, gruLayerRef, type GruRefWeights } from "../../kernels/gru/gru_ref.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { observeDispatches, release, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";

await initializeDevice();
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "gru");
const NAMES = ["inputWeight", "hiddenWeight", "inputBias", "hiddenBias"] as const;

interface Drawn {
  readonly values: Float32Array;
  readonly shape: number[];
}

function draw(shape: number[], bound = 1): Drawn {
  const size = shape.reduce((product, n) => product * n, 1);
  return { values: Float32Array.from({ length: size }, () => random.uniform(-bound, bound)), shape };
}

const toTensor = <T extends tf.Tensor>({ values, shape }: Drawn) => tf.tensor(values, shape) as T;

/** Inputs of a layer, with weights as small as a network's. */
function drawLayer({ geometry, initialState }: GruCase) {
  const { clips, frames, depth, hidden, directions } = geometry;
  const bound = 1 / Math.sqrt(hidden);
  const weights = Array.from({ length: directions }, () => ({
    inputWeight: draw([depth, 3 * hidden], 1 / Math.sqrt(depth)),
    hiddenWeight: draw([hidden, 3 * hidden], bound),
    inputBias: draw([3 * hidden], bound),
    hiddenBias: draw([3 * hidden], bound),
  }));
  return {
    x: draw([clips, frames, depth]),
    weights,
    initial: initialState ? draw([directions, clips, hidden]) : undefined,
    dy: draw([clips, frames, directions * hidden]),
  };
}

type DrawnLayer = ReturnType<typeof drawLayer>;

/** The reference's y and every gradient, by name. */
function reference({ x, weights, initial, dy }: DrawnLayer, geometry: GruGeometry) {
  const refWeights = weights.map((w) =>
    Object.fromEntries(NAMES.map((name) => [name, w[name].values])) as unknown as GruRefWeights
  );
  const y = gruLayerRef(x.values, refWeights, initial?.values, geometry);
  const gradients = gruLayerBackwardRef(x.values, refWeights, initial?.values, dy.values, geometry);
  const results: Record<string, Float64Array> = { y, x: gradients.dx };
  gradients.dWeights.forEach((d, i) => NAMES.forEach((name) => results[`${name} ${i}`] = d[name]));
  if (initial) results.initialState = gradients.dInitial;
  return results;
}

/** y and every gradient of the public function through tfjs's tape, by name. */
async function throughTape({ x, weights, initial, dy }: DrawnLayer) {
  const drawn = [x, ...weights.flatMap((w) => NAMES.map((name) => w[name])), ...(initial ? [initial] : [])];
  const names = [
    "x",
    ...weights.flatMap((_, i) => NAMES.map((name) => `${name} ${i}`)),
    ...(initial ? ["initialState"] : []),
  ];
  const inputs = drawn.map(toTensor);
  const dyTensor = toTensor(dy);
  const layer = (tensors: tf.Tensor[]) => {
    const directions = weights.map((_, i) =>
      Object.fromEntries(NAMES.map((name, n) => [name, tensors[1 + 4 * i + n]]))
    ) as unknown as GruDirectionWeights[];
    const state = initial && tensors.at(-1) as tf.Tensor3D;
    return gru(tensors[0] as tf.Tensor3D, [directions], { initialState: state });
  };
  const before = tf.memory().numTensors;
  const { y, gradients } = withPoisonedOutputs(() => ({
    y: layer(inputs),
    gradients: tf.grads((...tensors: tf.Tensor[]) => layer(tensors))(inputs, dyTensor),
  }));
  assertEquals(tf.memory().numTensors, before + 1 + gradients.length);
  const values = await Promise.all([y, ...gradients].map((tensor) => tensor.data<"float32">()));
  tf.dispose([y, ...gradients, ...inputs, dyTensor]);
  return Object.fromEntries(["y", ...names].map((name, i) => [name, values[i]]));
}

for (const testCase of [...EDGE_CASES, ...MODEL_CASES]) {
  Deno.test(`gru: ${testCase.name}`, async () => {
    const drawn = drawLayer(testCase);
    const actual = await throughTape(drawn);
    const expected = reference(drawn, testCase.geometry);
    assertEquals(Object.keys(actual), Object.keys(expected));
    for (const [name, values] of Object.entries(expected)) {
      compare(
        `gru ${testCase.name}, ${name} (seed ${seed})`,
        actual[name],
        values,
        toleranceOf(testCase.geometry),
      );
    }
  });
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

/** Runs a layer's dispatches with given tiles; the gradients of x and of the initial state depend on every step. */
async function checkTile(testCase: GruCase, tile: GruTile) {
  const { geometry } = testCase;
  const drawn = drawLayer(testCase);
  const tensors = (d: Drawn | undefined) => d && toTensor(d);
  const x = toTensor(drawn.x);
  const dy = toTensor(drawn.dy);
  const initial = tensors(drawn.initial);
  const weights = drawn.weights.map((w) =>
    Object.fromEntries(NAMES.map((name) => [name, toTensor(w[name])])) as unknown as GruDirectionWeights
  );
  const saved = withPoisonedOutputs(() => gruLayerForward(x, weights, initial, geometry, tile));
  const d = withPoisonedOutputs(() =>
    gruLayerBackwardSteps(dy, saved, geometry, initial !== undefined, tile)
  );
  const dx = gruLayerBackwardInput(d.dProjected, saved.inputWeight, geometry);
  const expected = reference(drawn, geometry);
  const results = { y: saved.y, x: dx, ...(d.dInitialState ? { initialState: d.dInitialState } : {}) };
  for (const [name, info] of Object.entries(results)) {
    const label = `gru ${testCase.name} with ${JSON.stringify(tile)}, ${name} (seed ${seed})`;
    compare(label, await read(info), expected[name], toleranceOf(geometry));
  }
  [saved.gates, saved.previous, saved.inputWeight, saved.hiddenWeight, d.dProjected, d.dRecurrent].forEach(
    release,
  );
  tf.dispose([x, dy, initial ?? [], weights as unknown as tf.TensorContainer]);
}

Deno.test("gru: every tile constant of both variants, steps apart and fused", async () => {
  const geometry: GruGeometry = { clips: 5, frames: 3, depth: 4, hidden: 20, directions: 2 };
  const testCase = { name: "tiles", geometry, initialState: true };
  const tiles = [
    ...[[1, 1], [3, 1], [1, 2], [9, 3]].map(([clips, units]) => subgroupTile(clips, units)),
    subgroupTile(2, 1, 8, 2),
    subgroupTile(3, 1, 8, 1, true),
    subgroupTile(8, 2, 8, 2, true),
    workgroupTile(1, 1, 2, 1),
    workgroupTile(2, 2, 1, 3),
    workgroupTile(1, 4, 3, 2),
    workgroupTile(3, 5, 2, 4, true),
    workgroupTile(1, 8, 3, 2, true),
  ];
  for (const tile of tiles) await checkTile(testCase, tile);
});
