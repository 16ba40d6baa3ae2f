import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import {
  batchNorm,
  batchNormBackward,
  batchNormForked,
  batchNormForward,
  batchNormInference,
  batchNormInferenceForward,
} from "../../kernels/batch_norm/batch_norm.ts";
import {
  type BatchNormCase,
  EDGE_CASES,
  RESNET50_CASES,
  resnet50Case,
  toleranceOf,
} from "../../kernels/batch_norm/batch_norm_cases.ts";
import {
  batchNormBackwardRef,
  batchNormForwardRef,
  batchNormRunningRef,
  batchNormStatisticsRef,
} from "../../kernels/batch_norm/batch_norm_ref.ts";
import { type BatchNormTile, TILES } from "../../kernels/batch_norm/plan.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { watchConstants } from "./_constants.ts";
import { watchLeaks } from "./_leaks.ts";
import { variable } from "./_variable.ts";

await initializeDevice();
const requireVaried = watchConstants("batch_norm");
register();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "batch_norm");

function uniform(length: number, low: number, high: number): Float32Array {
  return Float32Array.from({ length }, () => random.uniform(low, high));
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

function sizeOf({ shape }: BatchNormCase) {
  const channels = shape[shape.length - 1];
  return { rows: shape.reduce((product, n) => product * n, 1) / channels, channels };
}

/** Values where no output is so near the ReLU's kink that float32 may fall on the other side of it. */
function draw(test: BatchNormCase, frozen = false) {
  const { rows, channels } = sizeOf(test);
  const { mean, deviation, relu, residual } = test;
  const length = rows * channels;
  const drawn = {
    x: uniform(length, mean - deviation, mean + deviation),
    dy: uniform(length, -1, 1),
    gamma: uniform(channels, 0.5, 1.5),
    beta: uniform(channels, -0.5, 0.5),
    residual: residual ? uniform(length, -1, 1) : undefined,
    running: {
      mean: uniform(channels, mean, mean + deviation),
      variance: uniform(channels, 0.5 * deviation ** 2, deviation ** 2),
    },
  };
  for (let c = 0; c < channels; c++) drawn.x[c] += test.outlier;
  const statistics = () => frozen ? drawn.running : batchNormStatisticsRef(drawn.x, sizeOf(test));
  const margin = 4 * toleranceOf(test);
  for (let tries = 0; relu; tries++) {
    assert(tries < 100, `${test.name}: no values away from the ReLU's kink (seed ${seed})`);
    const y = batchNormForwardRef(drawn.x, drawn, statistics(), sizeOf(test), { ...test, relu: false });
    const near = y.reduce<number[]>((list, value, i) => Math.abs(value) < margin ? [...list, i] : list, []);
    if (near.length === 0) break;
    for (const i of near) drawn.x[i] = uniform(1, mean - deviation, mean + deviation)[0];
  }
  return { ...drawn, statistics: statistics() };
}

type Drawn = ReturnType<typeof draw>;

function tensorsOf({ shape }: BatchNormCase, drawn: Drawn) {
  const full = [...shape];
  return {
    x: tf.tensor(drawn.x, full),
    dy: tf.tensor(drawn.dy, full),
    gamma: tf.tensor1d(drawn.gamma),
    beta: tf.tensor1d(drawn.beta),
    residual: drawn.residual && tf.tensor(drawn.residual, full),
    runningMean: variable(tf.tensor1d(drawn.running.mean), false),
    runningVariance: variable(tf.tensor1d(drawn.running.variance), false),
  };
}

function reference(test: BatchNormCase, drawn: Drawn, frozen: boolean) {
  const size = sizeOf(test);
  const y = batchNormForwardRef(drawn.x, drawn, drawn.statistics, size, test);
  return { y, ...batchNormBackwardRef({ ...drawn, y }, drawn.statistics, size, { ...test, frozen }) };
}

/** @param forked the gradient comes in two parts */
async function check(test: BatchNormCase, tile?: BatchNormTile, forked = false) {
  const drawn = draw(test);
  const { name, relu, residual } = test;
  const requireNoLeak = watchLeaks();
  const t = tensorsOf(test, drawn);
  const rest = forked ? uniform(drawn.dy.length, -1, 1) : undefined;
  const more = rest && tf.tensor(rest, [...test.shape]);
  const [y, saved, dx, dgamma, dbeta, dresidual] = withPoisonedOutputs(() => {
    const [y, saved] = batchNormForward(t, test, tile);
    const dy = t.dy;
    return [
      y,
      saved,
      ...batchNormBackward({ x: t.x, y, dy, saved, more }, { relu, residual, frozen: false }, tile),
    ];
  });
  const dy = rest ? drawn.dy.map((value, i) => value + rest[i]) : drawn.dy;
  const wanted = reference(test, { ...drawn, dy }, false);
  const label = `${name}${tile ? `, ${JSON.stringify(tile)}` : ""} (seed ${seed})`;
  const tolerance = toleranceOf(test);
  compare(`batchNorm y ${label}`, await read(y), wanted.y, tolerance);
  compare(`batchNorm dx ${label}`, await read(dx), wanted.dx, tolerance);
  // A sum of terms of both signs may be near 0; its error is that of a sum of its usual size.
  const ofSum = (sums: Float64Array) =>
    tolerance * Math.max(1, Math.sqrt(sizeOf(test).rows) / Math.max(...sums.map(Math.abs)));
  compare(`batchNorm dgamma ${label}`, await read(dgamma), wanted.dgamma, ofSum(wanted.dgamma));
  compare(`batchNorm dbeta ${label}`, await read(dbeta), wanted.dbeta, ofSum(wanted.dbeta));
  assertEquals(dresidual !== undefined, relu && residual);
  if (dresidual) compare(`batchNorm dresidual ${label}`, await read(dresidual), wanted.dresidual, tolerance);
  const running = batchNormRunningRef(drawn.running, drawn.statistics, sizeOf(test), test.momentum);
  compare(`batchNorm running mean ${label}`, await t.runningMean.data(), running.mean, tolerance);
  compare(`batchNorm running variance ${label}`, await t.runningVariance.data(), running.variance, tolerance);
  tf.dispose([t, more ?? [], tf.engine().makeTensorFromTensorInfo(saved)]);
  requireNoLeak();
}

for (const test of [...EDGE_CASES, ...RESNET50_CASES]) {
  Deno.test(`batch norm: ${test.name}`, () => check(test));
}

const TILE: BatchNormTile = {
  lanes: 8,
  lanesC: 4,
  workgroups: 16,
  maxChunks: 16,
  chunkRows: 4,
  wide: 1,
  blockRows: 8,
  aloneRows: 0,
  aloneLanesM: 1,
  aloneGroups: 4,
  merge: true,
};

Deno.test("batch norm: every tile constant", async () => {
  const variants: Partial<BatchNormTile>[] = [
    {},
    { lanes: 1 },
    { lanes: 64, lanesC: 16 },
    { lanesC: 1 },
    { lanesC: 8 },
    { workgroups: 1 },
    { maxChunks: 3 },
    { chunkRows: 1 },
    { lanes: 4, wide: 2 },
    { lanes: 2, wide: 4 },
    { blockRows: 1 },
    { merge: false },
    { aloneRows: 1000 },
    { aloneRows: 1000, aloneGroups: 0 },
    { aloneRows: 1000, lanes: 2, wide: 4, aloneGroups: 1 },
    { aloneRows: 1000, lanes: 2, wide: 4, aloneGroups: 2 },
    { aloneRows: 96, aloneGroups: 0 },
    { aloneRows: 1000, aloneLanesM: 4, aloneGroups: 0 },
    { aloneRows: 1000, lanes: 64, aloneLanesM: 64, aloneGroups: 0, wide: 4 },
  ];
  const [plain, residual] = EDGE_CASES.filter(({ name }) => name.startsWith("primes"));
  for (const variant of variants) {
    await check(plain, { ...TILE, ...variant });
    await check({ ...residual, shape: [97, 32] }, { ...TILE, ...variant });
    await check({ ...residual, shape: [97, 32] }, { ...TILE, ...variant }, true);
  }
  for (const aloneRows of [0, 1000]) await check({ ...plain, relu: false }, { ...TILE, aloneRows });
});

Deno.test("batch norm: the gradient with running statistics, of both divisions", async () => {
  for (const [relu, residual] of [[true, false], [true, true], [false, false]]) {
    const test = { ...EDGE_CASES[3], relu, residual };
    const drawn = draw(test, true);
    const { x, dy, gamma, beta, residual: added, runningMean, runningVariance } = tensorsOf(test, drawn);
    const inverse = runningVariance.add(test.epsilon).rsqrt();
    const saved = tf.stack([runningMean, inverse, gamma.mul(inverse), beta]);
    const wanted = reference(test, drawn, true);
    const y = tf.tensor(Float32Array.from(wanted.y), x.shape);
    for (const [aloneRows, aloneLanesM] of [[0, 1], [1000, 1], [1000, 2]]) {
      const tile = { ...TILE, aloneRows, aloneLanesM, aloneGroups: 0 };
      const gradients = withPoisonedOutputs(() =>
        batchNormBackward({ x, y, dy, saved }, { relu, residual, frozen: true }, tile)
      );
      const [dx, dgamma, dbeta] = await Promise.all(gradients.map((gradient) => gradient && read(gradient)));
      const label = `relu ${relu}, residual ${residual}, alone ${aloneRows} ${aloneLanesM} (seed ${seed})`;
      for (const [name, actual] of Object.entries({ dx, dgamma, dbeta })) {
        compare(`frozen ${name}, ${label}`, actual, wanted[name as keyof typeof wanted], toleranceOf(test));
      }
    }
    tf.dispose([
      x,
      dy,
      gamma,
      beta,
      ...(added ? [added] : []),
      runningMean,
      runningVariance,
      inverse,
      saved,
      y,
    ]);
  }
});

Deno.test("batch norm: the tile of a GPU", async () => {
  const layers = ["conv2 increase", "conv3 projection", "conv4 increase"].map(resnet50Case);
  for (const test of [...layers, EDGE_CASES[3]]) await check(test, TILES.gpu);
  await check({ ...EDGE_CASES[3], shape: [700, 13] }, TILES.gpu);
});

Deno.test("batch norm: more than 65535 workgroups", async () => {
  const large = { ...EDGE_CASES[0], name: "65536 rows", shape: [65536, 3], relu: true };
  const tile = { ...TILE, lanes: 2, lanesC: 1, workgroups: 1e6, maxChunks: 1e6, chunkRows: 1, blockRows: 1 };
  await check(large, tile);
});

Deno.test("batch norm: more rows than a loop of Mesa's software driver takes", async () => {
  const long = { ...EDGE_CASES[0], name: "70000 rows", shape: [70000, 1], relu: true };
  await check(long, { ...TILE, lanes: 1, maxChunks: 1 });
});

Deno.test("batch norm: the reference's gradient against central differences", () => {
  for (const frozen of [false, true]) {
    for (const relu of [false, true]) {
      const test = { ...EDGE_CASES[3], shape: [7, 3], relu, residual: true, deviation: 1 };
      const size = sizeOf(test);
      let drawn = draw(test, frozen);
      const pre = () => batchNormForwardRef(drawn.x, drawn, drawn.statistics, size, { ...test, relu: false });
      while (pre().some((value) => Math.abs(value) < 5e-3)) drawn = draw(test, frozen);
      const loss = (changed: Partial<Record<"x" | "gamma" | "beta" | "residual", Float64Array>>) => {
        const given = { ...drawn, ...changed };
        const statistics = frozen ? drawn.running : batchNormStatisticsRef(given.x, size);
        return batchNormForwardRef(given.x, given, statistics, size, test)
          .reduce((sum, value, i) => sum + value * drawn.dy[i], 0);
      };
      const gradients = reference(test, drawn, frozen);
      for (const name of ["x", "gamma", "beta", "residual"] as const) {
        const values = Float64Array.from(drawn[name]!);
        const what = `${name}, frozen ${frozen}, relu ${relu} (seed ${seed})`;
        gradcheck(what, (at) => loss({ [name]: at }), values, gradients[`d${name}`]);
      }
    }
  }
});

Deno.test("batch norm: tfjs's tape gives every gradient, in training and with running statistics", async () => {
  for (const frozen of [false, true]) {
    for (const [relu, residual] of [[true, false], [true, true], [false, true]]) {
      const test = { ...EDGE_CASES[3], shape: [2, 3, 3, residual ? 64 : 8], relu, residual };
      const drawn = draw(test, frozen);
      const t = tensorsOf(test, drawn);
      const requireNoLeak = watchLeaks();
      const f = (x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, given?: tf.Tensor) => {
        const tensors = { ...t, gamma: gamma as tf.Tensor1D, beta: beta as tf.Tensor1D, residual: given };
        return frozen ? batchNormInference(x, tensors, test) : batchNorm(x, tensors, test);
      };
      const inputs = [t.x, t.gamma, t.beta, ...(t.residual ? [t.residual] : [])];
      const gradients = tf.grads(f as (...xs: tf.Tensor[]) => tf.Tensor)(inputs, t.dy);
      const wanted = reference(test, drawn, frozen);
      const names = ["dx", "dgamma", "dbeta", "dresidual"] as const;
      for (const [i, gradient] of gradients.entries()) {
        const what = `tape ${names[i]}, frozen ${frozen}, relu ${relu}, residual ${residual} (seed ${seed})`;
        compare(what, await gradient.data(), wanted[names[i]], toleranceOf(test));
      }
      tf.dispose(gradients);
      requireNoLeak();
      tf.dispose(t);
    }
  }
});

Deno.test("batch norm: of a result that goes two ways the gradients add up, and nothing leaks", async () => {
  const test = { ...EDGE_CASES[3], shape: [2, 3, 3, 64], relu: true, residual: true };
  const drawn = draw(test);
  const t = tensorsOf(test, drawn);
  const other = uniform(drawn.dy.length, -1, 1);
  const more = tf.tensor(other, [...test.shape]);
  const requireNoLeak = watchLeaks();
  const gradients = tf.grads((x, gamma, beta, residual) => {
    const tensors = { ...t, gamma: gamma as tf.Tensor1D, beta: beta as tf.Tensor1D, residual };
    const [y, aside] = batchNormForked(x, tensors, test);
    return y.mul(t.dy).add(aside.mul(more));
  })([t.x, t.gamma, t.beta, t.residual!]);
  const wanted = reference(test, { ...drawn, dy: drawn.dy.map((value, i) => value + other[i]) }, false);
  for (const [i, name] of (["dx", "dgamma", "dbeta", "dresidual"] as const).entries()) {
    compare(`forked ${name} (seed ${seed})`, await gradients[i].data(), wanted[name], toleranceOf(test));
  }
  tf.dispose(gradients);
  requireNoLeak();
  tf.dispose(batchNormForked(t.x, t, test));
  requireNoLeak();
  const refused = { ...t, residual: undefined };
  assertThrows(() => batchNormForked(t.x, refused, test), RangeError, "it has no residual and a ReLU");
  assertThrows(() => batchNormForked(t.x, t, { ...test, relu: false }), RangeError, "a residual and no ReLU");
  tf.dispose([t, more]);
});

Deno.test("batch norm: inference with running statistics, which stay as they are", async () => {
  for (const [i, test] of EDGE_CASES.entries()) {
    const drawn = draw(test, true);
    const t = tensorsOf(test, drawn);
    const tile = { ...TILE, lanes: [1, 8, 64][i % 3] };
    const y = withPoisonedOutputs(() => batchNormInferenceForward(t, test, tile));
    compare(
      `inference ${test.name} (seed ${seed})`,
      await read(y),
      reference(test, drawn, true).y,
      toleranceOf(test),
    );
    assertEquals(await t.runningMean.data(), drawn.running.mean);
    assertEquals(await t.runningVariance.data(), drawn.running.variance);
    tf.dispose(t);
  }
});

Deno.test("batch norm: a call outside of a gradient leaks nothing, and repeats to the bit", async () => {
  const test = resnet50Case("conv3 projection");
  const drawn = draw(test);
  const t = tensorsOf(test, drawn);
  const requireNoLeak = watchLeaks();
  const first = batchNorm(t.x, t, test);
  const second = batchNorm(t.x, t, test);
  requireNoLeak(2);
  assertEquals(await first.data(), await second.data());
  tf.dispose([first, second, t]);
});

Deno.test("batch norm: NaN in a channel shows in all of it, and in no other", async () => {
  const drawn = draw(EDGE_CASES[3]);
  drawn.x[13 * 4 + 2] = NaN; // channel 2
  const t = tensorsOf(EDGE_CASES[3], drawn);
  const y = batchNorm(t.x, t, EDGE_CASES[3]);
  (await y.data()).forEach((value, i) => assertEquals(Number.isNaN(value), i % 13 === 2, `at ${i}`));
  tf.dispose([t, y]);
});

Deno.test("batch norm: what does not fit is refused", () => {
  const channel = (n: number) => tf.variable(tf.ones<tf.Rank.R1>([n]), false) as unknown as tf.Tensor1D;
  const tensors = {
    gamma: channel(4),
    beta: channel(4),
    runningMean: channel(4),
    runningVariance: channel(4),
  };
  const settings = { epsilon: 1e-5, momentum: 0.1, relu: true };
  const x = tf.ones([2, 4]);
  const refused: [() => unknown, string][] = [
    [() => batchNorm(tf.ones([0, 4]), tensors, settings), "x has shape [0,4]"],
    [() => batchNorm(tf.ones([4]), tensors, settings), "x has shape [4]"],
    [() => batchNorm(x, { ...tensors, gamma: channel(3) }, settings), "gamma has shape [3]; expected [4]"],
    [() => batchNorm(x, { ...tensors, runningVariance: channel(1) }, settings), "runningVariance has shape"],
    [() => batchNormInference(x, { ...tensors, residual: tf.ones([1, 4]) }, settings), "residual has shape"],
  ];
  for (const [call, message] of refused) assertThrows(() => tf.tidy(() => void call()), RangeError, message);
  assertThrows(() => batchNorm(tf.ones([2, 4], "int32"), tensors, settings), TypeError, "x is int32");
  tf.dispose([x, tensors as unknown as tf.TensorContainer]);
});

Deno.test("batch norm: the tests above vary every constant of the shaders", () => requireVaried());
