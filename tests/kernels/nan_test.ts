/**
 * NaN in what an op is given shows in what it makes, in every variant: a broken run must not look like a sound one. What
 * max, min and comparisons make of NaN differs by adapter (kernels/runtime/nan.wgsl), so these tests say most on a GPU.
 */
import * as tf from "@tensorflow/tfjs";
import { assertEquals } from "@std/assert";
import {
  batchNormBackward,
  batchNormForward,
  batchNormInferenceForward,
} from "../../kernels/batch_norm/batch_norm.ts";
import { TILES as BATCH_NORM_TILES } from "../../kernels/batch_norm/plan.ts";
import {
  candidates as conv2dCandidates,
  conv2dBackwardFilter,
  conv2dBackwardInput,
  conv2dForward,
  type Conv2dPass,
} from "../../kernels/conv2d/conv2d.ts";
import { biasReluBackward } from "../../kernels/conv2d/conv2d_bias_relu.ts";
import { geometryOf } from "../../kernels/conv2d/conv2d_geometry.ts";
import { dropoutMaskRef } from "../../kernels/dropout/dropout_ref.ts";
import { gruLayerBackwardSteps, gruLayerForward } from "../../kernels/gru/gru_layer.ts";
import { type GruGeometry, subgroupTile, workgroupTile } from "../../kernels/gru/gru_tiles.ts";
import { layerNormBackward, layerNormForward } from "../../kernels/layer_norm/layer_norm.ts";
import { linearBackwardSums } from "../../kernels/linear/linear.ts";
import type { Activation } from "../../kernels/matmul/activation.ts";
import { candidates as matmulCandidates, matmul } from "../../kernels/matmul/matmul.ts";
import { matmulShape } from "../../kernels/matmul/shape.ts";
import { dropout, gelu, globalAveragePool, MomentumSgd, register, relu } from "../../kernels/mod.ts";
import { maxPoolBackward, maxPoolForward, maxPoolGeometry } from "../../kernels/pool/max_pool.ts";
import nanSource from "../../kernels/runtime/nan.wgsl" with { type: "text" };
import { currentTraits, release, run } from "../../kernels/runtime/program.ts";
import { TILES as SGD_TILES } from "../../kernels/sgd/sgd.ts";
import {
  sigmoidCrossEntropyBackward,
  sigmoidCrossEntropyForward,
} from "../../kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.ts";
import { softmaxCrossEntropyForward } from "../../kernels/softmax_cross_entropy/softmax_cross_entropy.ts";
import { LANES, read, requireNan, setNan, values } from "./_nan.ts";
import resultsSource from "./nan.wgsl" with { type: "text" };

register();

/** The first variant of each kind, of both kinds of adapters. */
function oneOfEach<T extends { kind: string }>(candidates: (adapter: typeof ADAPTERS[number]) => T[]): T[] {
  const all = ADAPTERS.flatMap(candidates);
  return all.filter(({ kind }, i) => all.findIndex((other) => other.kind === kind) === i);
}
const ADAPTERS = [true, false].map((software) => ({ ...currentTraits(), software }));

Deno.test("NaN: by its bits, of either sign; ReLU takes -0 and all below to 0, and leaves NaN", async () => {
  const given = [NaN, NaN, 1, -1, 0, -0, Infinity, -Infinity, 3e38, -3e38, 1e-30, -1e-30];
  const x = tf.tensor1d(setNan(Float32Array.from(given), 0, 1));
  const [results] = run({
    shader: { file: "tests/kernels/nan.wgsl", source: resultsSource, includes: { "nan.wgsl": nanSource } },
    inputs: [x],
    outputs: [{ shape: [3, given.length] }],
    workgroups: [given.length / 4],
  });
  assertEquals(Array.from(await read(results)), [
    ...given.map((v) => Number.isNaN(v) ? 1 : 0),
    ...given.map((v) => Number.isNaN(v) ? v : v > 0 ? Math.fround(v) : 0),
    ...given.map((v) => v <= 0 ? 0 : 2),
  ]);
  x.dispose();
});

Deno.test("NaN in a row of a shows in this row of the product, under every activation", async () => {
  const activations = "linear relu relu6 elu sigmoid tanh gelu leakyrelu prelu".split(" ") as Activation[];
  const [a, b, bias] = [values([5, 12], 2 * 12 + 7, 3 * 12), values([12, 8]), values([8])];
  const variants = oneOfEach((adapter) => matmulCandidates(matmulShape(a.shape, b.shape), adapter));
  for (const [i, variant] of variants.entries()) {
    for (const activation of i === 0 ? activations : activations.slice(0, 3)) {
      const slopes = activation === "prelu" ? bias : undefined;
      const y = matmul(a, b, { bias, activation, slopes, variant });
      await requireNan(`${variant.kind}, ${activation}: y`, y, (row) => row === 2 || row === 3);
    }
  }
  tf.dispose([a, b, bias]);
});

Deno.test("NaN in a convolution shows in what its window reaches", async () => {
  const near = (h: number, w: number) => Math.abs(h - 2) <= 1 && Math.abs(w - 3) <= 1;
  const geometry = geometryOf([1, 6, 6, 8], [3, 3, 8, 8], { strides: 1, pad: 1 });
  const [x, dy, filter] = [values([1, 6, 6, 8]), values([1, 6, 6, 8]), values([3, 3, 8, 8])];
  const broken = values([1, 6, 6, 8], (2 * 6 + 3) * 8 + 5);
  const each = (pass: Conv2dPass) => oneOfEach((adapter) => conv2dCandidates(pass, geometry, adapter));
  for (const variant of each("forward")) {
    for (const activation of ["linear", "relu"] as const) {
      const y = conv2dForward(broken, filter, geometry, { activation }, { variant });
      await requireNan(`${variant.kind}, ${activation}: y`, y, (_, h, w) => near(h, w));
    }
  }
  for (const variant of each("backwardInput")) {
    const dx = conv2dBackwardInput(broken, filter, geometry, { variant });
    await requireNan(`${variant.kind}: dx`, dx, (_, h, w) => near(h, w));
  }
  for (const variant of each("backwardFilter")) {
    const options = { variant };
    await requireNan(
      `${variant.kind}: dFilter of NaN in dy`,
      conv2dBackwardFilter(x, broken, geometry, options),
      (_r, _s, _c, k) => k === 5,
    );
    await requireNan(
      `${variant.kind}: dFilter of NaN in x`,
      conv2dBackwardFilter(broken, dy, geometry, options),
      (_r, _s, c) => c === 5,
    );
  }
  tf.dispose([x, dy, filter, broken]);
});

Deno.test("NaN passes the masks of ReLUs, in y and in dy", async () => {
  for (const channels of [8, 5]) {
    const shape = [6, channels];
    const [place, column] = [3 * channels + 2, 2];
    for (
      const [dy, y, isBroken] of [[values(shape, place), values(shape), true], [
        values(shape),
        values(shape, place),
        false,
      ]] as const
    ) {
      const made = {
        conv2d: biasReluBackward(dy, y),
        linear: linearBackwardSums({ dy, y }, { activation: "relu" }),
      };
      for (const [name, [db, dz]] of Object.entries(made)) {
        await requireNan(`${name}: db`, db, (c) => isBroken && c === column);
        const [wanted, actual] = [await dy.data(), await read(dz)];
        assertEquals(actual[place], wanted[place], `${name}: dz`);
      }
      tf.dispose([dy, y]);
    }
  }
});

Deno.test("NaN in a channel shows in all of it behind a batch normalisation, and in its gradients", async () => {
  const tiles = { ...BATCH_NORM_TILES, apart: { ...BATCH_NORM_TILES.software, aloneRows: 0 } };
  for (const channels of [64, 5]) {
    for (const [name, tile] of Object.entries(tiles)) {
      for (const residual of [false, true]) {
        const shape = [11, channels];
        const channel = () => values([channels]) as tf.Tensor1D;
        const tensors = {
          x: values(shape, 4 * channels + 3),
          residual: residual ? values(shape) : undefined,
          gamma: channel(),
          beta: channel(),
          runningMean: tf.variable(channel(), false),
          runningVariance: tf.variable(channel(), false),
        };
        const settings = { epsilon: 1e-5, momentum: 0.1, relu: true };
        const what = `${name}, C ${channels}, residual ${residual}`;
        const inference = batchNormInferenceForward(tensors, settings, tile);
        await requireNan(`${what}: inference`, inference, (m, c) => m === 4 && c === 3);
        const [y, saved] = batchNormForward(tensors, settings, tile);
        const dy = values(shape);
        const gradients = batchNormBackward({ x: tensors.x, y, dy, saved }, {
          relu: true,
          residual,
          frozen: false,
        }, tile);
        const [dx, dgamma, dbeta, dresidual] = gradients;
        await requireNan(`${what}: y`, y, (_, c) => c === 3);
        await requireNan(`${what}: dx`, dx, (_, c) => c === 3);
        await requireNan(`${what}: dgamma`, dgamma, (c) => c === 3);
        await requireNan(`${what}: running mean`, tensors.runningMean.clone(), (c) => c === 3);
        await requireNan(`${what}: running variance`, tensors.runningVariance.clone(), (c) => c === 3);
        [saved, dbeta, ...(dresidual ? [dresidual] : [])].forEach(release);
        tf.dispose([tensors, dy]);
      }
    }
  }
});

Deno.test("NaN in a window is its maximum, wherever it stands, and is in the mean", async () => {
  for (const channels of [1, 4]) {
    for (const [h, w] of [[0, 0], [1, 0], [2, 1], [2, 2]]) {
      const shape = [1, 3, 3, channels];
      const at = (h * 3 + w) * channels;
      const x = values(shape, at);
      const geometry = maxPoolGeometry(shape, { size: 3, strides: 3 });
      const [y, positions] = maxPoolForward(x, geometry);
      const dy = tf.ones([1, 1, 1, channels]);
      const dx = await read(maxPoolBackward(dy, positions, geometry));
      await requireNan("the maximum", y, (_n, _h, _w, c) => c === 0);
      assertEquals(dx[at], 1, "where the maximum was");
      await requireNan("the mean", globalAveragePool(x as tf.Tensor4D), (_, c) => c === 0);
      release(positions);
      tf.dispose([x, dy]);
    }
  }
});

Deno.test("NaN in a logit shows in the cross-entropies, at the label and beside it", async () => {
  const settings = [{}, { labelSmoothing: 0.2 }, { focalGamma: 2 }, { labelSmoothing: 0.2, focalGamma: 0.5 }];
  const tiles = [[1, 8, true], [4, 2, true], [8, 1, false]] as const;
  for (const classes of [8, 7]) {
    const labels = tf.tensor1d([2, 1, -1], "int32");
    const weights = values([classes]);
    for (const places of [[2], [6], [0], Array.from({ length: classes }, (_, k) => k)]) {
      // Row 1 is sound; row 2, which is ignored, is all NaN.
      const logits = values(
        [3, classes],
        ...places,
        ...Array.from({ length: classes }, (_, k) => 2 * classes + k),
      );
      for (const [i, setting] of settings.entries()) {
        for (const [ROW_LANES, ROWS, SUMMED] of tiles) {
          const tile = { ROW_LANES, ROWS, SUMMED, batches: 1, sumLanes: 4 };
          const what = `K ${classes}, NaN at ${places}, ${JSON.stringify({ ...setting, ...tile })}`;
          const given = i % 2 === 0 ? undefined : weights;
          const [loss, dlogits] = softmaxCrossEntropyForward(logits, labels, given, setting, tile);
          await requireNan(`${what}: the loss`, loss, () => true);
          await requireNan(`${what}: dlogits`, dlogits, (m) => m === 0);
        }
      }
      logits.dispose();
    }
    tf.dispose([labels, weights]);
  }
});

Deno.test("NaN in a logit shows in the sigmoid cross-entropy, under either label", async () => {
  for (const classes of [4, 3]) {
    const places = [0, 1]; // labels 1 and 0; the NaN whose label is -1 does not count
    const logits = values([2, classes], ...places, 2);
    const labels = tf.tensor2d([1, 0, -1, ...new Array(2 * classes - 3).fill(1)], [2, classes], "int32");
    for (const lanes of [1, 8]) {
      const [loss, inverse] = sigmoidCrossEntropyForward({ logits, labels }, lanes);
      const dloss = tf.scalar(1);
      const dlogits = sigmoidCrossEntropyBackward({ logits, labels }, inverse, dloss);
      await requireNan("the loss", loss, () => true);
      await requireNan("dlogits", dlogits, (m, k) => m === 0 && places.includes(k));
      release(inverse);
      dloss.dispose();
    }
    tf.dispose([logits, labels]);
  }
});

Deno.test("NaN in a gradient shows in every weight where their norm is clipped, else in its own", async () => {
  for (const [name, tile] of Object.entries(SGD_TILES)) {
    for (const clipNorm of [undefined, 0.5, 1e30]) {
      const weights = [[3], [300]].map((shape) => tf.variable(values(shape)));
      const parameters = weights.map(({ shape }) => ({ shape, weightDecay: 0.1 }));
      const sgd = new MomentumSgd(parameters, { momentum: 0.9, clipNorm }, tile);
      const gradients = [values([3]), values([300], 150)];
      sgd.update(weights, gradients, 0.1);
      for (const [i, weight] of weights.entries()) {
        const isBroken = (place: number) => clipNorm !== undefined || i === 1 && place === 150;
        await requireNan(`${name}, at most ${clipNorm}: weight ${i}`, weight.clone(), isBroken);
      }
      sgd.dispose();
      tf.dispose([weights, gradients]);
    }
  }
});

Deno.test("NaN shows behind layer normalisation, GELU, ReLU and dropout", async () => {
  for (const columns of [8, 7]) {
    const shape = [4, columns];
    const [x, dy, gamma] = [values(shape, columns + 3), values(shape), values([columns])];
    for (const tile of [{ ROW_LANES: 1, ROWS: 8, chunkRows: 4 }, { ROW_LANES: 4, ROWS: 2, chunkRows: 2 }]) {
      const [y, saved] = layerNormForward(x, gamma, gamma, 1e-5, tile);
      const [dx, dgamma, dbeta] = layerNormBackward(x, dy, gamma, saved, tile);
      await requireNan("layer norm: y", y, (m) => m === 1);
      await requireNan("layer norm: dx", dx, (m) => m === 1);
      await requireNan("layer norm: dgamma", dgamma, () => true);
      [saved, dbeta].forEach(release);
    }
    const isPlace = (m: number, d: number) => m === 1 && d === 3;
    await requireNan("GELU", gelu(x), isPlace);
    await requireNan("GELU's gradient", tf.grad(gelu)(x, dy), isPlace);
    await requireNan("ReLU", relu(x), isPlace);
    await requireNan("ReLU's gradient", tf.grad(relu)(dy, x), isPlace);
    tf.dispose([x, dy, gamma]);
    const key = { seed: 3, layer: 1, step: 2 };
    const mask = dropoutMaskRef(4 * columns, 0.5, key);
    const [kept, dropped] = [mask.findIndex((m) => m > 0), mask.findIndex((m) => m === 0)];
    const broken = values([4 * columns], kept, dropped);
    await requireNan("dropout", dropout(broken, 0.5, key), (i) => i === kept || i === dropped);
    broken.dispose();
  }
});

Deno.test("NaN in a frame shows in a GRU's states from there on, and in all gradients before", async () => {
  const geometry: GruGeometry = { clips: 3, frames: 4, depth: 4, hidden: 8, directions: 1 };
  const weights = [{
    inputWeight: values([4, 24]) as tf.Tensor2D,
    hiddenWeight: values([8, 24]) as tf.Tensor2D,
    inputBias: values([24]) as tf.Tensor1D,
    hiddenBias: values([24]) as tf.Tensor1D,
  }];
  const [x, dy] = [values([3, 4, 4], (1 * 4 + 2) * 4 + 1), values([3, 4, 8])]; // clip 1, frame 2
  for (const tile of [subgroupTile(2, 1, LANES), workgroupTile(1, 2, 2, 2, 1)]) {
    const saved = gruLayerForward(x, weights, undefined, geometry, tile);
    const gradients = gruLayerBackwardSteps(dy, saved, geometry, false, tile);
    await requireNan(`${tile.kind}: y`, saved.y, (b, t) => b === 1 && t >= 2);
    await requireNan(`${tile.kind}: dProjected`, gradients.dProjected, (row) => row >= 4 && row < 8);
    [saved.gates, saved.previous, saved.inputWeight, saved.hiddenWeight, gradients.dRecurrent].forEach(
      release,
    );
  }
  tf.dispose([x, dy, weights[0] as unknown as tf.TensorContainer]);
});
