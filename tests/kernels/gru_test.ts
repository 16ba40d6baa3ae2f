import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assert, assertEquals, assertLessOrEqual, assertThrows } from "@std/assert";
import { gru, type GruDirectionWeights, type GruOptions } from "../../kernels/gru/gru.ts";
import { EDGE_CASES, type GruCase, MODEL_CASES, toleranceOf } from "../../kernels/gru/gru_cases.ts";
import {
  gruLayerBackwardInput,
  gruLayerBackwardSteps,
  gruLayerBackwardWeights,
  gruLayerForward,
} from "../../kernels/gru/gru_layer.ts";
import { gruLayerBackwardRef, gruLayerRef, type GruRefWeights } from "../../kernels/gru/gru_ref.ts";
import {
  gruCandidates,
  type GruGeometry,
  type GruPass,
  type GruTile,
  LANES,
  subgroupTile,
  tileOf,
  workgroupTile,
} from "../../kernels/gru/gru_tiles.ts";
import { currentTraits, release, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { requireNothingLeft } from "./_failing.ts";
import { draw, drawLayer, type DrawnLayer, NAMES, seed, toTensor } from "./_gru.ts";
import { watchConstants } from "./_constants.ts";

const requireVaried = watchConstants("gru");

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

/** y and every gradient of the public function through tfjs's tape, by name; nothing may leak. */
async function throughTape({ x, weights, initial, dy }: DrawnLayer, options: GruOptions = {}) {
  const drawn = [x, ...weights.flatMap((w) => NAMES.map((name) => w[name])), ...(initial ? [initial] : [])];
  const names = [
    "x",
    ...weights.flatMap((_, i) => NAMES.map((name) => `${name} ${i}`)),
    ...(initial ? ["initialState"] : []),
  ];
  const inputs = drawn.map(toTensor);
  const dyTensor = toTensor(dy);
  const layer = (...tensors: tf.Tensor[]) => {
    const directions = weights.map((_, i) =>
      Object.fromEntries(NAMES.map((name, n) => [name, tensors[1 + 4 * i + n]]))
    ) as unknown as GruDirectionWeights[];
    const initialState = initial && tensors.at(-1) as tf.Tensor3D;
    return gru(tensors[0] as tf.Tensor3D, [directions], { ...options, initialState });
  };
  const before = tf.memory().numTensors;
  const results = withPoisonedOutputs(() => [layer(...inputs), ...tf.grads(layer)(inputs, dyTensor)]);
  assertEquals(tf.memory().numTensors, before + results.length);
  const values = await Promise.all(results.map((tensor) => tensor.data<"float32">()));
  tf.dispose([...results, ...inputs, dyTensor]);
  return Object.fromEntries(["y", ...names].map((name, i) => [name, values[i]]));
}

async function check(testCase: GruCase, options?: GruOptions) {
  const { name: caseName, geometry } = testCase;
  const drawn = drawLayer(testCase);
  const actual = await throughTape(drawn, options);
  const expected = reference(drawn, geometry);
  assertEquals(Object.keys(actual), Object.keys(expected));
  for (const [name, values] of Object.entries(expected)) {
    // The gates' parts of a gradient may cancel: the error is that of one of 0.1.
    compare(
      `gru ${caseName}, ${name} (seed ${seed})`,
      [...actual[name], 0.1],
      [...values, 0.1],
      toleranceOf(geometry),
    );
  }
}

for (const testCase of [...EDGE_CASES, ...MODEL_CASES]) {
  Deno.test(`gru: ${testCase.name}`, () => check(testCase));
}

Deno.test("gru: clips in parts give the same", async () => {
  const geometry: GruGeometry = { clips: 5, frames: 3, depth: 4, hidden: 6, directions: 2 };
  await check({ name: "in parts", geometry, initialState: true }, { clipsAtOnce: 2 });
});

Deno.test("gru: gates far into saturation stay finite", async () => {
  const geometry: GruGeometry = { clips: 4, frames: 3, depth: 4, hidden: 8, directions: 1 };
  const drawn = drawLayer({ name: "saturated", geometry, initialState: true }, 1000);
  const { y, ...gradients } = await throughTape(drawn);
  // Sums near 1000 are off by 1e-4, and so are the gates that happen to be open.
  compare(`gru saturated, y (seed ${seed})`, y, reference(drawn, geometry).y, 5e-3);
  for (const [name, values] of Object.entries(gradients)) {
    assert(values.every(Number.isFinite), `${name} is not finite (seed ${seed})`);
  }
});

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

/** Runs a layer's dispatches with a tile; the gradients of x and of the initial state depend on every step. */
async function checkTile(testCase: GruCase, tile: GruTile, biasTile: readonly [number, number]) {
  const { geometry } = testCase;
  const drawn = drawLayer(testCase);
  const [x, dy, initial] = [drawn.x, drawn.dy, drawn.initial!].map(toTensor);
  const weights = drawn.weights.map((w) =>
    Object.fromEntries(NAMES.map((name) => [name, toTensor(w[name])])) as unknown as GruDirectionWeights
  );
  const saved = withPoisonedOutputs(() => gruLayerForward(x, weights, initial, geometry, tile));
  const d = withPoisonedOutputs(() => gruLayerBackwardSteps(dy, saved, geometry, true, tile));
  const dx = gruLayerBackwardInput(d.dProjected, saved.inputWeight, geometry);
  const dWeights = withPoisonedOutputs(() =>
    gruLayerBackwardWeights(x, saved.previous, d, geometry, biasTile)
  );
  const named = dWeights.flatMap((direction, i) =>
    NAMES.map((name) => [`${name} ${i}`, direction[name]] as const)
  );
  const results = { y: saved.y, x: dx, initialState: d.dInitialState!, ...Object.fromEntries(named) };
  const expected = reference(drawn, geometry);
  for (const [name, info] of Object.entries(results)) {
    const label = `gru with ${tile.kind} ${JSON.stringify(tile.constants)}, ${name} (seed ${seed})`;
    compare(label, await read(info), expected[name], toleranceOf(geometry));
  }
  [saved.gates, saved.previous, saved.inputWeight, saved.hiddenWeight, d.dProjected, d.dRecurrent].forEach(
    release,
  );
  tf.dispose([x, dy, initial, ...weights.flatMap((w) => Object.values(w))]);
}

Deno.test("gru: every tile constant of both variants, steps apart and fused", async () => {
  const geometry: GruGeometry = { clips: 5, frames: 3, depth: 4, hidden: 20, directions: 2 };
  const testCase = { name: "tiles", geometry, initialState: true };
  const lanes = Math.min(LANES, currentTraits().subgroupSize);
  const tiles = [
    subgroupTile(1, 1, lanes),
    subgroupTile(3, 2, lanes),
    subgroupTile(9, 1, lanes / 2),
    subgroupTile(2, 1, lanes, 2),
    subgroupTile(2, 1, lanes, Math.ceil(5 / lanes), true),
    subgroupTile(1, 2, lanes, 2, true),
    workgroupTile(1, 1, 2, 1, 1),
    workgroupTile(2, 4, 1, 2, 3),
    workgroupTile(2, 8, 8, 4, 2),
    workgroupTile(3, 5, 2, 3, 2, true),
    workgroupTile(1, 8, 3, 1, 4, true),
  ];
  const biasTiles = [[1, 1], [8, 3], [64, 2], [16, 16]] as const;
  for (const [i, tile] of tiles.entries()) await checkTile(testCase, tile, biasTiles[i % biasTiles.length]);
});

Deno.test("gru: leaves nothing behind where a dispatch cannot run", () => {
  for (const directions of [1, 2] as const) {
    for (const initialState of [false, true]) {
      const geometry: GruGeometry = { clips: 4, frames: 3, depth: 4, hidden: 8, directions };
      const drawn = drawLayer({ name: "", geometry, initialState });
      const inputs = () =>
        [
          drawn.x,
          ...drawn.weights.flatMap((w) => NAMES.map((name) => w[name])),
          ...(drawn.initial ? [drawn.initial] : []),
        ].map(toTensor);
      const tile = workgroupTile(1, 2, 2, 1, 1); // a dispatch a step
      requireNothingLeft(inputs, ([x, ...rest]) => {
        const weights = Array.from({ length: directions }, (_, d) =>
          Object.fromEntries(
            NAMES.map((name, n) => [name, rest[4 * d + n]]),
          ) as unknown as GruDirectionWeights);
        return Object.values(gruLayerForward(x, weights, rest[4 * directions], geometry, tile));
      });
    }
  }
});

Deno.test("gru: fused steps want a workgroup that holds all units", () => {
  const geometry: GruGeometry = { clips: 1, frames: 2, depth: 4, hidden: 36, directions: 1 };
  const drawn = drawLayer({ name: "too many units", geometry, initialState: false });
  const x = toTensor(drawn.x);
  const weights = drawn.weights.map((w) =>
    Object.fromEntries(NAMES.map((name) => [name, toTensor(w[name])])) as unknown as GruDirectionWeights
  );
  const run = () => gruLayerForward(x, weights, undefined, geometry, subgroupTile(1, 1, 8, 1, true));
  assertThrows(run, RangeError, "expected all 9 to fuse steps");
  tf.dispose([x, ...weights.flatMap((w) => Object.values(w))]);
});

Deno.test("gru: every candidate fits every number of units and adapter, the default is the adapter's kind", () => {
  const passes: GruPass[] = ["forward", "backward"];
  for (const software of [true, false]) {
    for (const hidden of [4, 8, 48, 64, 128, 132, 768, 1024]) {
      const geometry: GruGeometry = { clips: 32, frames: 9, depth: 4, hidden, directions: 2 };
      for (const pass of passes) {
        const variants = gruCandidates(pass, geometry, { software, subgroupSize: software ? 8 : 32 });
        assertEquals(variants[0].kind, software ? "subgroup" : "workgroup");
        assertEquals(new Set(variants.map(({ kind }) => kind)).size, 2);
        for (const tile of variants.map((variant) => tileOf(pass, variant, geometry))) {
          if (tile.fused) assertLessOrEqual(hidden / 4, tile.units);
          const { TILE_M, UNITS, GROUPS, SLICES, DEPTH, LANES, SPAN } = tile.constants as Record<
            string,
            number
          >;
          // What WebGPU guarantees: 256 invocations and 16 KiB of workgroup memory.
          assertLessOrEqual(tile.kind === "subgroup" ? LANES * SPAN : UNITS * GROUPS * SLICES, 256);
          if (tile.kind === "subgroup") continue;
          const round = SLICES * DEPTH;
          const [rows, gates] = pass === "forward" ? [12 * round, 3] : [4 * (round + 1), 1];
          const sums = gates * TILE_M * UNITS * GROUPS;
          const vectors = GROUPS * TILE_M * round + Math.max(rows * UNITS, sums);
          assertLessOrEqual(16 * vectors, 16384);
        }
      }
    }
  }
});

Deno.test("gru: two layers of 9 frames take at most 60 dispatches both ways, 68 on a GPU where rows are padded, 94 where G is", () => {
  // With G 130 tfjs pads each of four weights a layer and direction, cuts their gradients, cuts y and pads its gradient.
  const [padded, bothPadded] = [46 + 2 * (2 * 4 + 1), 52 + 2 * (4 * 4 + 1)];
  const counts = [
    [4, 8, 1, 14],
    [4, 8, 2, 20],
    [4, 132, 1, 46],
    [4, 132, 2, 52],
    [3, 132, 2, 60],
    [4, 130, 1, padded],
    [4, 130, 2, bothPadded],
  ];
  for (const [clips, hidden, directions, onSoftware] of counts) {
    // A GPU may cut the sums of a layer's four products into parts, as that of dx over 3G, and add them in a dispatch
    // more; not where they are as short as at G 8.
    const most = currentTraits().software || hidden === 8 ? onSoftware : onSoftware + 2 * 4;
    const shapes = Array.from({ length: 2 * directions }, (_, i) => [
      [i < directions ? 8 : directions * hidden, 3 * hidden],
      [hidden, 3 * hidden],
      [3 * hidden],
      [3 * hidden],
    ]).flat();
    const inputs = [[clips, 9, 8], ...shapes].map((shape) => toTensor(draw(shape, 0.1)));
    const network = (...[x, ...tensors]: tf.Tensor[]) => {
      const weights = Array.from({ length: 2 * directions }, (_, i) =>
        Object.fromEntries(
          NAMES.map((name, n) => [name, tensors[4 * i + n]]),
        )) as unknown as GruDirectionWeights[];
      return gru(x as tf.Tensor3D, [weights.slice(0, directions), weights.slice(directions)]);
    };
    const dy = tf.ones([clips, 9, directions * hidden]);
    tf.dispose(tf.grads(network)(inputs, dy)); // brings the inputs to the device
    const { ours, stock, copies, value } = countDispatches(() => tf.grads(network)(inputs, dy));
    // with tfjs's own
    assertLessOrEqual(ours + stock + copies, most, `B ${clips}, G ${hidden}, ${directions} directions`);
    tf.dispose([...value, ...inputs, dy]);
  }
});

Deno.test("gru: the reference's gradients are those of central differences", () => {
  const geometry: GruGeometry = { clips: 2, frames: 3, depth: 3, hidden: 4, directions: 2 };
  const drawn = drawLayer({ name: "gradcheck", geometry, initialState: true });
  const expected = reference(drawn, geometry);
  const values: Record<string, Float64Array> = {
    x: Float64Array.from(drawn.x.values),
    initialState: Float64Array.from(drawn.initial!.values),
  };
  drawn.weights.forEach((w, i) =>
    NAMES.forEach((name) => values[`${name} ${i}`] = Float64Array.from(w[name].values))
  );
  const loss = (changed: Record<string, Float64Array>) => {
    const all = { ...values, ...changed };
    const weights = [0, 1].map((i) =>
      Object.fromEntries(NAMES.map((name) => [name, all[`${name} ${i}`]])) as unknown as GruRefWeights
    );
    const y = gruLayerRef(all.x, weights, all.initialState, geometry);
    return y.reduce((sum, value, i) => sum + value * drawn.dy.values[i], 0);
  };
  for (const [name, at] of Object.entries(values)) {
    gradcheck(`gru ${name} (seed ${seed})`, (changed) => loss({ [name]: changed }), at, expected[name]);
  }
});

Deno.test("gru: shapes and types that do not fit are refused by name", () => {
  const ones = (...shape: number[]) => tf.ones(shape);
  const weights = (depth: number, hidden: number, change: object = {}) => ({
    inputWeight: ones(depth, 3 * hidden),
    hiddenWeight: ones(hidden, 3 * hidden),
    inputBias: ones(3 * hidden),
    hiddenBias: ones(3 * hidden),
    ...change,
  } as GruDirectionWeights);
  const refuse = (x: tf.Tensor, w: GruDirectionWeights[][], options: GruOptions, part: string) =>
    assertThrows(() => gru(x as tf.Tensor3D, w, options), RangeError, part);
  tf.tidy(() => {
    const x = ones(2, 3, 5);
    const fit = weights(5, 4);
    refuse(ones(2, 3), [[fit]], {}, "Cannot run gru: x has shape [2, 3]; expected [B, T, D]");
    refuse(tf.zeros([2, 0, 5]), [[fit]], {}, "x has shape [2, 0, 5]");
    refuse(x, [], {}, "0 layers");
    refuse(x, [[fit, fit, fit]], {}, "3 directions");
    refuse(
      x,
      [[weights(6, 4)]],
      {},
      "inputWeight of layer 0, direction 0 has shape [6, 12]; expected [5, 12]",
    );
    refuse(x, [[fit], [fit]], {}, "inputWeight of layer 1, direction 0 has shape [5, 12]; expected [4, 12]");
    refuse(x, [[fit, fit], [weights(8, 4)]], {}, "layer 1 has 1 directions; expected 2");
    refuse(x, [[weights(5, 4, { hiddenWeight: ones(4, 8) })]], {}, "has shape [4, 8]; expected [4, 12]");
    refuse(
      x,
      [[weights(5, 4, { inputBias: ones(8) })]],
      {},
      "inputBias of layer 0, direction 0 has shape [8]",
    );
    refuse(x, [[weights(5, 4, { hiddenBias: ones(12, 1) })]], {}, "hiddenBias of layer 0");
    const initialState = ones(2, 2, 4) as tf.Tensor3D;
    refuse(x, [[fit]], { initialState }, "initialState has shape [2, 2, 4]; expected [1, 2, 4]");
    refuse(x, [[fit]], { clipsAtOnce: 0 }, "clipsAtOnce is 0");
    refuse(x, [[fit]], { clipsAtOnce: 1.5 }, "clipsAtOnce is 1.5");
    const integers = tf.ones([2, 3, 5], "int32") as tf.Tensor3D;
    assertThrows(() => gru(integers, [[fit]]), TypeError, "x is int32; expected float32");
  });
});

Deno.test("gru: the tests above vary every constant of the shaders", () => requireVaried());
