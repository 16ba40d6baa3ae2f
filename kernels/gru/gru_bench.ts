/**
 * The gated recurrent unit side by side with its graph of tfjs ops: two layers, forward and every gradient.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type BenchCase, type BenchRun, randomTensor } from "../runtime/bench.ts";
import { gru, type GruDirectionWeights } from "./gru.ts";

/** Sizes of a network of two layers, one direction. */
interface Sizes {
  /** B */
  readonly clips: number;
  /** T */
  readonly frames: number;
  /** D of the first layer */
  readonly depth: number;
  /** G */
  readonly hidden: number;
}

const LAYERS = 2;

/** projected = x w + b [B, T, 3G] -> states [B, T, G] by tfjs's ops, a dozen a step. */
export function stockSteps(
  projected: tf.Tensor3D,
  { hiddenWeight, hiddenBias }: Pick<GruDirectionWeights, "hiddenWeight" | "hiddenBias">,
): tf.Tensor3D {
  const [clips, frames] = projected.shape;
  const hidden = hiddenWeight.shape[0];
  const states: tf.Tensor2D[] = [];
  let state = tf.zeros<tf.Rank.R2>([clips, hidden]);
  for (let t = 0; t < frames; t++) {
    const input = projected.slice([0, t, 0], [clips, 1, 3 * hidden]).reshape([clips, 3 * hidden]); // [B, 3G]
    const [xr, xz, xn] = tf.split(input, 3, 1);
    const [hr, hz, hn] = tf.split(state.matMul(hiddenWeight).add(hiddenBias), 3, 1);
    const update = xz.add(hz).sigmoid();
    const candidate = xn.add(xr.add(hr).sigmoid().mul(hn)).tanh();
    state = candidate.add(update.mul(state.sub(candidate))) as tf.Tensor2D;
    states.push(state);
  }
  return tf.stack(states, 1) as tf.Tensor3D; // [B, T, G]
}

/** x [B, T, D] -> x w + b [B, T, 3G] by tfjs's ops. */
export function stockProjection(
  x: tf.Tensor3D,
  { inputWeight, inputBias }: Pick<GruDirectionWeights, "inputWeight" | "inputBias">,
): tf.Tensor3D {
  const [clips, frames, depth] = x.shape;
  return x.reshape([clips * frames, depth]).matMul(inputWeight).add(inputBias)
    .reshape([clips, frames, inputBias.shape[0]]); // [B, T, 3G]
}

/** x [B, T, D] -> y [B, T, G] by tfjs's ops: a layer's input product at once, then the steps. */
function stockLayer(x: tf.Tensor3D, weights: GruDirectionWeights): tf.Tensor3D {
  return stockSteps(stockProjection(x, weights), weights);
}

function setup({ clips, frames, depth, hidden }: Sizes): BenchRun {
  const small = (shape: number[]) => {
    const values = randomTensor(shape);
    const scaled = values.div(Math.sqrt(hidden));
    values.dispose();
    return scaled;
  };
  const inputs: tf.Tensor[] = [randomTensor([clips, frames, depth])];
  for (let layer = 0; layer < LAYERS; layer++) {
    const columns = 3 * hidden;
    const shapes = [[layer === 0 ? depth : hidden, columns], [hidden, columns], [columns], [columns]];
    inputs.push(...shapes.map(small));
  }
  const dy = randomTensor([clips, frames, hidden]);
  const layersOf = (tensors: tf.Tensor[]) =>
    Array.from({ length: LAYERS }, (_, i) => {
      const [inputWeight, hiddenWeight, inputBias, hiddenBias] = tensors.slice(1 + 4 * i, 5 + 4 * i);
      return { inputWeight, hiddenWeight, inputBias, hiddenBias } as GruDirectionWeights;
    });
  const x = (tensors: tf.Tensor[]) => tensors[0] as tf.Tensor3D;
  const ours = (...tensors: tf.Tensor[]) => gru(x(tensors), layersOf(tensors).map((weights) => [weights]));
  const stock = (...tensors: tf.Tensor[]) => layersOf(tensors).reduce(stockLayer, x(tensors));
  const run = (f: (...tensors: tf.Tensor[]) => tf.Tensor) => {
    const { value, grads } = tf.valueAndGrads(f)(inputs, dy);
    return [value, ...grads];
  };
  return {
    ours: () => run(ours),
    stock: () => run(stock),
    tolerance: 1e-3, // two layers of float32 sums over B T rows, on both sides
    dispose: () => tf.dispose([...inputs, dy]),
  };
}

function toCase(name: string, sizes: Sizes): BenchCase {
  const { clips, frames, depth, hidden } = sizes;
  // A product takes twice its size forward and four times that backward; the first step has no recurrent product.
  const products = frames * (depth + hidden) + 2 * (frames - 1) * hidden;
  return { op: "gru", name, flops: 6 * clips * products * 3 * hidden, setup: () => setup(sizes) };
}

/** The two goals of goals.md. */
export const GRU_BENCHES: readonly BenchCase[] = [
  toCase("2 layers, T 9, G 64, B 8", { clips: 8, frames: 9, depth: 64, hidden: 64 }),
  toCase("2 layers, T 9, G 768, B 96", { clips: 96, frames: 9, depth: 768, hidden: 768 }),
];
