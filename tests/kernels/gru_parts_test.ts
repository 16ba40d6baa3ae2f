import * as tf from "@tensorflow/tfjs";
import { assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import { gru, type GruDirectionWeights, type GruOptions, gruWithFinalState } from "../../kernels/gru/gru.ts";
import { chooseGruTile, dispatchableClips, type GruGeometry } from "../../kernels/gru/gru_tiles.ts";
import { capture } from "../../kernels/mod.ts";
import { backendInternals, submit } from "../../kernels/runtime/program.ts";
import { mostOperandBytes } from "../../kernels/runtime/textures.ts";
import { compare } from "../_compare.ts";
import { draw, drawLayer, type Drawn, type DrawnLayer, NAMES, seed, toTensor } from "./_gru.ts";
import { withLimits } from "./_limits.ts";

Deno.test("gru: clips in parts give the same final states, also where the steps are captured", async () => {
  const geometry: GruGeometry = { clips: 7, frames: 3, depth: 4, hidden: 6, directions: 2 };
  const layers = [4, 12].map((depth) =>
    drawLayer({ name: "", geometry: { ...geometry, depth }, initialState: false })
  );
  const weights = layers.map((layer) =>
    layer.weights.map((w) =>
      Object.fromEntries(NAMES.map((name) => [name, toTensor(w[name])])) as unknown as GruDirectionWeights
    )
  );
  const x = toTensor<tf.Tensor3D>(layers[0].x);
  const initialState = toTensor<tf.Tensor3D>(draw([4, 7, 6]));
  const results = async (options: GruOptions) => {
    const { y, finalState } = gruWithFinalState(x, weights, { ...options, initialState });
    assertEquals([y.shape, finalState.shape], [[7, 3, 12], [4, 7, 6]]);
    const values = [await y.data(), await finalState.data()];
    tf.dispose([y, finalState]);
    return values;
  };
  const [y, finalState] = await results({});
  for (const clipsAtOnce of [1, 3, 6]) {
    const parts = await results({ clipsAtOnce });
    compare(`gru in parts of ${clipsAtOnce}, y (seed ${seed})`, parts[0], y, 1e-6);
    compare(`gru in parts of ${clipsAtOnce}, final state (seed ${seed})`, parts[1], finalState, 1e-6);
  }
  const graph = capture(() => gru(x, weights, { initialState, clipsAtOnce: 3 }));
  graph.launch();
  const launched = graph.output();
  compare(`gru in parts, launched (seed ${seed})`, await launched.data(), y, 1e-6);
  graph.dispose();
  tf.dispose([launched, x, initialState, ...weights.flat().flatMap((w) => Object.values(w))]);
});

Deno.test("gru: parts leave the device before the next one is computed", () => {
  const geometry: GruGeometry = { clips: 64, frames: 8, depth: 4, hidden: 64, directions: 1 };
  const { x, weights: [drawn] } = drawLayer({ name: "", geometry, initialState: false });
  const inputs = [x, ...NAMES.map((name) => drawn[name])].map(toTensor);
  const weights = Object.fromEntries(NAMES.map((name, n) => [name, inputs[1 + n]]));
  const layers = [[weights as unknown as GruDirectionWeights]];
  const run = (clipsAtOnce: number) => gru(inputs[0] as tf.Tensor3D, layers, { clipsAtOnce }).dispose();
  run(64); // brings the inputs to the device
  const { bufferManager } = backendInternals();
  const peakOf = (clipsAtOnce: number) => {
    submit();
    const before = bufferManager.numBytesUsed;
    const acquire = bufferManager.acquireBuffer;
    let peak = 0;
    bufferManager.acquireBuffer = (...given) => {
      const buffer = acquire.apply(bufferManager, given);
      peak = Math.max(peak, bufferManager.numBytesUsed - before);
      return buffer;
    };
    run(clipsAtOnce);
    bufferManager.acquireBuffer = acquire;
    return peak;
  };
  const y = 4 * 64 * 8 * 64;
  const [whole, parts] = [peakOf(64), peakOf(4)];
  // y twice, x, and a part's: projected 3, y, gates 4, states 1
  assertLessOrEqual(parts, 2 * y + 4 * inputs[0].size + 4 / 64 * 12 * y);
  assertLessOrEqual(2.5 * parts, whole);
  tf.dispose(inputs);
});

/** Runs clips that are all alike, both ways: what they give is what one of them gives alone. */
async function checkAlike([clips, frames, depth]: readonly number[], hidden: number, backward = true) {
  const geometry: GruGeometry = { clips: 1, frames, depth, hidden, directions: 1 };
  const one = drawLayer({ name: "", geometry, initialState: false });
  const repeated = ({ values, shape }: Drawn): Drawn => {
    const all = new Float32Array(clips * values.length);
    for (let i = 0; i < clips; i++) all.set(values, i * values.length);
    return { values: all, shape: [clips, ...shape.slice(1)] };
  };
  const run = async (drawn: DrawnLayer) => {
    const inputs = [drawn.x, ...NAMES.map((name) => drawn.weights[0][name])].map(toTensor);
    const dy = toTensor(drawn.dy);
    const layer = (x: tf.Tensor, ...rest: tf.Tensor[]) => {
      const weights = Object.fromEntries(NAMES.map((name, n) => [name, rest[n]]));
      return gru(x as tf.Tensor3D, [[weights as unknown as GruDirectionWeights]]);
    };
    const results = [layer(inputs[0], ...inputs.slice(1)), ...(backward ? tf.grads(layer)(inputs, dy) : [])];
    const values: Float32Array[] = [];
    for (const result of results) values.push(await result.data<"float32">());
    tf.dispose([results, inputs, dy]);
    return values;
  };
  const expected = await run(one);
  const actual = await run({ ...one, x: repeated(one.x), dy: repeated(one.dy) });
  for (const [i, name] of ["y", "dx", ...NAMES].slice(0, expected.length).entries()) {
    const label = `gru [${[clips, frames, depth]}], G ${hidden}, ${name} (seed ${seed})`;
    const { length } = expected[i];
    if (i < 2) {
      for (const clip of [0, clips >> 1, clips - 1]) {
        const values = actual[i].subarray(clip * length, (clip + 1) * length);
        compare(`${label} of clip ${clip}`, values, expected[i], 1e-4);
      }
    } else {
      const mean = actual[i].map((value) => value / clips);
      compare(label, [...mean, 0.1], [...expected[i], 0.1], 1e-3); // long sums, what cancels in them
    }
  }
}

Deno.test("gru: x and y larger than what the adapter binds, x larger once its rows are padded", async () => {
  const shapes = [[37, 3, 32, 4], [40, 3, 5, 22], [41, 3, 33, 4], [1, 8, 4, 4], [33, 9, 29, 4]];
  for (const [clips, frames, depth, hidden] of shapes) {
    for (const maxStorageBufferBindingSize of [8192, 32 * 1024]) {
      const run = () => checkAlike([clips, frames, depth], hidden);
      await withLimits({ maxStorageBufferBindingSize }, run);
    }
  }
  const long = () => checkAlike([2, 129, 4], 4);
  const limited = () => withLimits({ maxStorageBufferBindingSize: 8192 }, long);
  await assertRejects(
    limited,
    RangeError,
    "a clip of 129 frames; expected at most 128, which take the 8192 bytes",
  );
});

Deno.test("gru: more clips than one dimension's workgroups take", async () => {
  // Forward: the matrix products of backward are in the way of so low a limit.
  await withLimits({ maxComputeWorkgroupsPerDimension: 10 }, () => checkAlike([401, 2, 1], 4, false));
});

Deno.test({
  name: "gru: x larger than what this adapter binds",
  ignore: mostOperandBytes(backendInternals().device) > 2 ** 28, // gigabytes
  fn: () => checkAlike([3700, 9, 1024], 4, false),
});

Deno.test("gru: clips at once keep the limit of workgroups", () => {
  const geometry: GruGeometry = { clips: 1000, frames: 1, depth: 4, hidden: 256, directions: 1 };
  for (const most of [1, 3, 10, 1000]) {
    const clips = dispatchableClips(geometry, most);
    for (const pass of ["forward", "backward"] as const) {
      const tile = chooseGruTile(pass, { ...geometry, clips });
      assertLessOrEqual(Math.ceil(clips / tile.clips), most);
      assertLessOrEqual(Math.min(1000, most * 8), clips);
    }
  }
});
