/**
 * The gated recurrent unit in PyTorch's form: layers, directions, initial and final state, many to many.
 *
 * K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014, with the reset gate applied after
 * the recurrent product and two biases, as cuDNN and PyTorch compute it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { release, submit } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import {
  gruLayerBackwardInput,
  gruLayerBackwardSteps,
  gruLayerBackwardWeights,
  gruLayerForward,
} from "./gru_layer.ts";
import { cut, GRU_PARTS_KERNELS, join, partSizes } from "./gru_parts.ts";
import { checkGru } from "./gru_shapes.ts";
import type { GruGeometry } from "./gru_tiles.ts";
import type { DirectionWeights } from "./gru_weights.ts";

const LAYER = "FervidGru";

/** The weights of one direction of one layer, gates r, z, n along 3G. */
export interface GruDirectionWeights {
  /** [D, 3G]; D is directions * G above the first layer */
  readonly inputWeight: tf.Tensor2D;
  /** [G, 3G] */
  readonly hiddenWeight: tf.Tensor2D;
  /** [3G] */
  readonly inputBias: tf.Tensor1D;
  /** [3G] */
  readonly hiddenBias: tf.Tensor1D;
}

/** See {@link gru}. */
export interface GruOptions {
  /** [layers * directions, B, G], layer 0 forwards, layer 0 backwards, layer 1 ...; zeros by default */
  readonly initialState?: tf.Tensor3D;
  /**
   * most clips that are computed at a time; by default what the adapter can bind. It bounds what is on the device besides
   * x and the results; not where gradients are taken, which need what every part has saved
   */
  readonly clipsAtOnce?: number;
}

/** The inputs of the layer's kernel: x, four weights a direction, and the initial state if there is one. */
function readInputs(inputs: readonly TensorInfo[]) {
  const directions = inputs.length >= 9 ? 2 : 1;
  const [x, ...rest] = inputs;
  const weights = Array.from({ length: directions }, (_, i): DirectionWeights => {
    const [inputWeight, hiddenWeight, inputBias, hiddenBias] = rest.slice(4 * i, 4 * i + 4);
    return { inputWeight, hiddenWeight, inputBias, hiddenBias };
  });
  const initialState: TensorInfo | undefined = rest[4 * directions];
  return { x, weights, initialState };
}

function geometryOf(x: TensorInfo, hidden: number, directions: number): GruGeometry {
  const [clips, frames, depth] = x.shape;
  return { clips, frames, depth, hidden, directions: directions as 1 | 2 };
}

function layerForward(inputs: readonly TensorInfo[]): TensorInfo[] {
  const { x, weights, initialState } = readInputs(inputs);
  const geometry = geometryOf(x, weights[0].hiddenWeight.shape[0], weights.length);
  const { y, gates, previous, inputWeight, hiddenWeight } = gruLayerForward(
    x,
    weights,
    initialState,
    geometry,
  );
  return [y, gates, previous, inputWeight, hiddenWeight];
}

/** @returns dProjected, the gradients of the weights in their order, and that of the initial state if there is one */
function layerBackward(
  { x, dy, gates, previous, hiddenWeight }: Record<string, TensorInfo>,
  hasInitialState: boolean,
): TensorInfo[] {
  const [directions, hidden] = hiddenWeight.shape;
  const geometry = geometryOf(x, hidden, directions);
  const saved = { gates, previous, hiddenWeight };
  const gradients = gruLayerBackwardSteps(dy, saved, geometry, hasInitialState);
  const weights = gruLayerBackwardWeights(x, previous, gradients, geometry);
  release(gradients.dRecurrent);
  return [
    gradients.dProjected,
    ...weights.flatMap((w) => [w.inputWeight, w.hiddenWeight, w.inputBias, w.hiddenBias]),
    ...(gradients.dInitialState ? [gradients.dInitialState] : []),
  ];
}

function runKernel(name: string, inputs: unknown, attributes: tf.NamedAttrMap = {}): tf.Tensor[] {
  return tf.engine().runKernel(name, inputs as tf.NamedTensorMap, attributes) as tf.Tensor[];
}

/** The kernels with their gradient, for tfjs's registry. */
export const GRU_KERNELS: readonly NewKernel[] = [
  {
    name: LAYER,
    run: (inputs) => layerForward(inputs as unknown as TensorInfo[]),
    gradient: {
      saveAllInputs: true,
      outputsToSave: [false, true, true, true, true],
      gradFunc(dys, tensors) {
        const dy = (dys as tf.Tensor[])[0];
        const [gates, previous, inputWeight, hiddenWeight] = tensors.slice(-4);
        const { x, weights, initialState } = readInputs(tensors.slice(0, -4));
        const [dProjected, ...gradients] = runKernel(
          `${LAYER}Grad`,
          { x, dy, gates, previous, hiddenWeight },
          { hasInitialState: initialState !== undefined },
        );
        const [clips, frames, depth] = x.shape;
        const dx = () =>
          runKernel(`${LAYER}GradInput`, { dProjected, inputWeight }, { clips, frames, depth }) as unknown;
        const count = 4 * weights.length + (initialState ? 1 : 0);
        return Object.fromEntries([
          ["0", dx],
          ...Array.from({ length: count }, (_, i) => [String(i + 1), () => gradients[i]]),
        ]);
      },
    },
  },
  {
    name: `${LAYER}Grad`,
    run: (inputs, { hasInitialState }) => layerBackward(inputs, hasInitialState as boolean),
  },
  {
    name: `${LAYER}GradInput`,
    run({ dProjected, inputWeight }, attributes) {
      const sizes = attributes as { clips: number; frames: number; depth: number };
      return gruLayerBackwardInput(dProjected, inputWeight, sizes);
    },
  },
  ...GRU_PARTS_KERNELS,
];

/** Filled up with zeros to these sizes; the same tensor if it has them. */
function padTo(tensor: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const missing = shape.map((size, axis): [number, number] => [0, size - tensor.shape[axis]]);
  return missing.every(([, count]) => count === 0) ? tensor : tensor.pad(missing);
}

/**
 * Weights for `padded` units instead of G. A unit whose weights and biases are all 0 keeps the state 0 and touches no
 * other, so the result is the same.
 *
 * @param inputGroups directions of the layer below, whose units are padded too; 0 at the first layer
 */
function padWeights(weights: GruDirectionWeights, padded: number, inputGroups: number): GruDirectionWeights {
  const hidden = weights.hiddenWeight.shape[0];
  if (hidden === padded) return weights;
  // [groups * rows, 3G] -> [groups * to, 3 padded], rows and columns by one op: each is a dispatch, and one backwards
  const matrix = (tensor: tf.Tensor2D, groups: number, to: number) =>
    padTo(tensor.reshape([groups, tensor.shape[0] / groups, 3, hidden]), [groups, to, 3, padded])
      .reshape<tf.Tensor2D>([groups * to, 3 * padded]);
  const bias = (tensor: tf.Tensor1D) =>
    padTo(tensor.reshape([3, hidden]), [3, padded]).reshape<tf.Tensor1D>([3 * padded]);
  const { inputWeight, hiddenWeight, inputBias, hiddenBias } = weights;
  return {
    inputWeight: inputGroups === 0
      ? matrix(inputWeight, 1, inputWeight.shape[0])
      : matrix(inputWeight, inputGroups, padded),
    hiddenWeight: matrix(hiddenWeight, 1, padded),
    inputBias: bias(inputBias),
    hiddenBias: bias(hiddenBias),
  };
}

/** y [B, T, directions * G] of every layer, for clips that fit at once and G a multiple of 4 */
function runLayers(
  x: tf.Tensor3D,
  weights: readonly (readonly GruDirectionWeights[])[],
  initialState: tf.Tensor3D | undefined,
): tf.Tensor3D[] {
  let input = x;
  return weights.map((layer, l) => {
    const tensors = layer.flatMap((w) => [w.inputWeight, w.hiddenWeight, w.inputBias, w.hiddenBias]);
    const state = initialState?.slice(l * layer.length, layer.length); // [directions, B, G]
    return input = runKernel(LAYER, [input, ...tensors, ...(state ? [state] : [])])[0] as tf.Tensor3D;
  });
}

/** The states after the frames that each direction reads last: y [B, T, directions, G] of every layer -> [.., B, G] */
function finalStates(layers: readonly tf.Tensor4D[], hidden: number): tf.Tensor3D {
  const [clips, frames, directions] = layers[0].shape;
  const last = (y: tf.Tensor4D, d: number) =>
    y.slice([0, d === 0 ? frames - 1 : 0, d, 0], [-1, 1, 1, hidden]).reshape([clips, hidden]);
  return tf.stack(
    layers.flatMap((y) => Array.from({ length: directions }, (_, d) => last(y, d))),
  ) as tf.Tensor3D;
}

/** y [B, T, directions * G] of the last layer, and if they are wanted the final states [layers * directions, B, G] */
function runParts(
  x: tf.Tensor3D,
  weights: readonly (readonly GruDirectionWeights[])[],
  { initialState, clipsAtOnce = Infinity }: GruOptions,
  wantsFinal: boolean,
): tf.Tensor3D[] {
  checkGru(x, weights, initialState, clipsAtOnce);
  const frames = x.shape[1];
  const directions = weights[0].length;
  const hidden = weights[0][0].hiddenWeight.shape[0];
  const padded = 4 * Math.ceil(hidden / 4);
  const sizes = partSizes(geometryOf(x, padded, directions), clipsAtOnce);
  const filled = weights.map((layer, l) => layer.map((w) => padWeights(w, padded, l === 0 ? 0 : directions)));
  const clips = cut(x, 0, sizes);
  const states = initialState && cut(initialState, 1, sizes);
  const parts = clips.map((part, i) => {
    const results = tf.tidy(() => {
      const state = states && padTo(states[i], [...states[i].shape.slice(0, 2), padded]) as tf.Tensor3D;
      const layers = runLayers(part, filled, state).map((y) =>
        y.reshape<tf.Tensor4D>([sizes[i], frames, directions, padded])
      );
      const last = layers.at(-1)!;
      const y = padded === hidden ? last : last.slice([0, 0, 0, 0], [-1, -1, -1, hidden]);
      return [
        y.reshape<tf.Tensor3D>([sizes[i], frames, directions * hidden]),
        ...(wantsFinal ? [finalStates(layers, hidden)] : []),
      ];
    });
    if (sizes.length > 1) {
      part.dispose();
      submit(); // only then the next part may have this one's buffers
    }
    return results;
  });
  return parts[0].map((_, n) => join(parts.map((part) => part[n]), n)); // clips are axis 0 of y, axis 1 of the states
}

/**
 * Runs a gated recurrent unit over clips, many to many:
 * r = sigmoid(W_r x + U_r h + b), z = sigmoid(W_z x + U_z h + b), n = tanh(W_n x + b_in + r (U_n h + b_hn)),
 * h' = (1 - z) n + z h.
 *
 * @param x float32 [B, T, D]
 * @param weights `weights[layer][direction]`; direction 1, where it is there, runs backwards in time; a layer reads the
 * states of all directions of the layer below
 * @returns the states of the last layer, [B, T, directions * G], forwards first
 * @throws {RangeError} for shapes that do not fit, empty ones, a single clip too long for the adapter's bindings, and
 * tensors beyond its largest buffer; what its bindings cannot take whole is computed in parts of clips
 * @throws {TypeError} for other types than float32
 */
export function gru(
  x: tf.Tensor3D,
  weights: readonly (readonly GruDirectionWeights[])[],
  options: GruOptions = {},
): tf.Tensor3D {
  return tf.tidy(() => runParts(x, weights, options, false)[0]);
}

/**
 * As {@link gru}, with the final state.
 *
 * @returns y [B, T, directions * G], and finalState [layers * directions, B, G] in the order of `initialState`: each
 * direction's state after the last frame that it read
 */
export function gruWithFinalState(
  x: tf.Tensor3D,
  weights: readonly (readonly GruDirectionWeights[])[],
  options: GruOptions = {},
): { y: tf.Tensor3D; finalState: tf.Tensor3D } {
  return tf.tidy(() => {
    const [y, finalState] = runParts(x, weights, options, true);
    return { y, finalState };
  });
}
