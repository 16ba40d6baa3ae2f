/**
 * What the tuner tries for a GRU's steps: every candidate on the shape classes of the recurrent heads. The products
 * before and after the steps are the matrix product's.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { randomTensor } from "../runtime/bench.ts";
import { currentTraits, release } from "../runtime/program.ts";
import { onePerClass, type TuneCase, type TuneRun } from "../runtime/tuner.ts";
import type { GruDirectionWeights } from "./gru.ts";
import { stockProjection, stockSteps } from "./gru_bench.ts";
import { toleranceOf } from "./gru_cases.ts";
import { GRU_SHADERS, gruLayerBackwardSteps, gruLayerForward } from "./gru_layer.ts";
import {
  GRU_OPS,
  gruCandidates,
  type GruGeometry,
  type GruPass,
  type GruVariant,
  sizesOf,
  tileOf,
} from "./gru_tiles.ts";

/** Weights of each direction, as small as a network's. */
function drawWeights({ depth, hidden, directions }: GruGeometry): GruDirectionWeights[] {
  const draw = <R extends tf.Rank>(shape: number[]) =>
    tf.tidy(() => randomTensor<R>(shape).div<tf.Tensor<R>>(Math.sqrt(hidden)));
  return Array.from({ length: directions }, () => ({
    inputWeight: draw<tf.Rank.R2>([depth, 3 * hidden]),
    hiddenWeight: draw<tf.Rank.R2>([hidden, 3 * hidden]),
    inputBias: draw<tf.Rank.R1>([3 * hidden]),
    hiddenBias: draw<tf.Rank.R1>([3 * hidden]),
  }));
}

/** projected [B, T, directions * 3G] -> states [B, T, directions * G] by plain tfjs; the second direction runs backwards. */
function stockStates(projected: tf.Tensor3D, weights: readonly GruDirectionWeights[]): tf.Tensor3D {
  if (weights.length === 1) return stockSteps(projected, weights[0]); // tfjs cannot differentiate a split in one
  const [forwards, backwards] = tf.split<tf.Tensor3D>(projected, 2, 2);
  const states = [
    stockSteps(forwards, weights[0]),
    stockSteps(backwards.reverse<tf.Tensor3D>(1), weights[1]).reverse<tf.Tensor3D>(1),
  ];
  return tf.concat(states, 2);
}

function setup(pass: GruPass, geometry: GruGeometry): TuneRun<GruVariant> {
  const { clips, frames, depth, hidden, directions } = geometry;
  const x = randomTensor<tf.Rank.R3>([clips, frames, depth]);
  const dy = randomTensor<tf.Rank.R3>([clips, frames, directions * hidden]);
  const weights = drawWeights(geometry);
  const forward = (variant?: GruVariant) => {
    const tile = variant && tileOf("forward", variant, geometry);
    return gruLayerForward(x, weights, undefined, geometry, tile);
  };
  const saved = forward();
  const projected = () => tf.concat(weights.map((direction) => stockProjection(x, direction)), 2);
  const runs = {
    forward(variant: GruVariant) {
      const { y, ...others } = forward(variant);
      Object.values(others).forEach(release);
      return y;
    },
    backward(variant: GruVariant) {
      const tile = tileOf("backward", variant, geometry);
      const { dProjected, dRecurrent } = gruLayerBackwardSteps(dy, saved, geometry, false, tile);
      release(dRecurrent); // the gradients at earlier steps depend on it
      return dProjected;
    },
  };
  return {
    run: runs[pass],
    expected: () =>
      pass === "forward"
        ? stockStates(projected(), weights)
        : tf.grad((given) => stockStates(given as tf.Tensor3D, weights))(projected(), dy),
    tolerance: 2 * toleranceOf(geometry), // two float32 results, each with its own error
    dispose() {
      Object.values(saved).forEach(release);
      tf.dispose([x, dy, ...weights.flatMap((direction) => Object.values(direction))]);
    },
  };
}

/** Every candidate of a pass on a layer. */
export function gruTuneCase(pass: GruPass, geometry: GruGeometry): TuneCase<GruVariant> {
  return {
    op: GRU_OPS[pass],
    sizes: sizesOf(geometry),
    shaders: GRU_SHADERS[pass],
    candidates: () => gruCandidates(pass, geometry, currentTraits()),
    setup: () => setup(pass, geometry),
  };
}

/** The recurrent heads, the demo's and the paper's, at their batches. D is small: the input's product is not theirs. */
const LAYERS: readonly GruGeometry[] = [
  { clips: 32, frames: 9, depth: 4, hidden: 48, directions: 2 },
  { clips: 8, frames: 9, depth: 4, hidden: 64, directions: 1 },
  { clips: 32, frames: 9, depth: 4, hidden: 128, directions: 2 },
  { clips: 96, frames: 9, depth: 4, hidden: 256, directions: 2 },
  { clips: 96, frames: 9, depth: 4, hidden: 768, directions: 1 },
];

/** One case a class. */
export const GRU_TUNE_CASES: readonly TuneCase<GruVariant>[] = onePerClass(
  (["forward", "backward"] as const).flatMap((pass) => LAYERS.map((layer) => gruTuneCase(pass, layer))),
);
