/** What the tests of the gated recurrent unit share: inputs. */
import * as tf from "@tensorflow/tfjs";
import { RandomStream } from "../../data/random.ts";
import type { GruCase } from "../../kernels/gru/gru_cases.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";

await initializeDevice();
register();

export const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "gru");
export const NAMES = ["inputWeight", "hiddenWeight", "inputBias", "hiddenBias"] as const;

export interface Drawn {
  readonly values: Float32Array;
  readonly shape: number[];
}

export function draw(shape: number[], bound = 1): Drawn {
  const size = shape.reduce((product, n) => product * n, 1);
  return { values: Float32Array.from({ length: size }, () => random.uniform(-bound, bound)), shape };
}

export const toTensor = <T extends tf.Tensor>({ values, shape }: Drawn) => tf.tensor(values, shape) as T;

/** Inputs of a layer, with weights as small as a network's, or `scale` times that. */
export function drawLayer({ geometry, initialState }: GruCase, scale = 1) {
  const { clips, frames, depth, hidden, directions } = geometry;
  const bound = scale / Math.sqrt(hidden);
  const weights = Array.from({ length: directions }, () => ({
    inputWeight: draw([depth, 3 * hidden], scale / Math.sqrt(depth)),
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

export type DrawnLayer = ReturnType<typeof drawLayer>;
