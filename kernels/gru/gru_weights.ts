/**
 * The weights of a layer of a gated recurrent unit as its kernels read them: both directions' in one.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, reshapeInfo, run } from "../runtime/program.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import joinSource from "./gru_join.wgsl" with { type: "text" };
import splitSource from "./gru_split.wgsl" with { type: "text" };
import { type GruGeometry, LANES } from "./gru_tiles.ts";

const JOIN: ShaderFile = { file: "gru/gru_join.wgsl", source: joinSource };
const SPLIT: ShaderFile = { file: "gru/gru_split.wgsl", source: splitSource };

/** The weights of one direction, gates r, z, n along 3G; G is a multiple of 4. */
export interface DirectionWeights {
  /** [D, 3G] */
  readonly inputWeight: TensorInfo;
  /** [G, 3G] */
  readonly hiddenWeight: TensorInfo;
  /** [3G] */
  readonly inputBias: TensorInfo;
  /** [3G] */
  readonly hiddenBias: TensorInfo;
}

/** first, second [rows, columns] -> [rows, 2 columns]; biases [n] -> [2n] */
function join(
  [first, second]: TensorInfo[],
  [firstBias, secondBias]: TensorInfo[],
  rows: number,
  shape: number[],
): [TensorInfo, TensorInfo] {
  const columns = first.shape[0] * first.shape[1] / (4 * rows);
  const biasColumns = firstBias.shape[0] / 4;
  const workgroups = foldWorkgroups(Math.ceil(2 * Math.max(rows * columns, biasColumns) / LANES));
  const [joined, joinedBias] = run({
    shader: JOIN,
    inputs: [first, second, firstBias, secondBias],
    outputs: [{ shape }, { shape: [8 * biasColumns] }],
    uniforms: { rows, columns, bias_columns: biasColumns, grid_row: workgroups[0] * LANES },
    workgroups,
  });
  return [joined, joinedBias];
}

/** The weights as the kernels read them, both directions' together; all that is made is put into `made`. */
export function prepareWeights(
  weights: readonly DirectionWeights[],
  { depth, hidden }: GruGeometry,
  made: TensorInfo[],
) {
  if (weights.length === 1) {
    const [{ inputWeight, hiddenWeight, inputBias, hiddenBias }] = weights;
    const prepared = {
      inputWeight: reshapeInfo(inputWeight, inputWeight.shape),
      hiddenWeight: reshapeInfo(hiddenWeight, [1, hidden, 3 * hidden]),
      inputBias: reshapeInfo(inputBias, inputBias.shape),
      hiddenBias: reshapeInfo(hiddenBias, hiddenBias.shape),
    };
    made.push(...Object.values(prepared));
    return prepared;
  }
  const pick = (name: keyof DirectionWeights) => weights.map((direction) => direction[name]);
  const [inputWeight, inputBias] = join(pick("inputWeight"), pick("inputBias"), depth, [depth, 6 * hidden]);
  made.push(inputWeight, inputBias);
  const [hiddenWeight, hiddenBias] = join(pick("hiddenWeight"), pick("hiddenBias"), 1, [
    2,
    hidden,
    3 * hidden,
  ]);
  made.push(hiddenWeight, hiddenBias);
  return { inputWeight, inputBias, hiddenWeight, hiddenBias };
}

/** [D, 2 * 3G], [2, G, 3G] -> per direction [D, 3G], [G, 3G] */
export function splitGradients(
  dInput: TensorInfo,
  dHidden: TensorInfo,
  { depth, hidden }: GruGeometry,
): TensorInfo[][] {
  const columns = 3 * hidden / 4;
  const workgroups = foldWorkgroups(Math.ceil(Math.max(depth, hidden) * columns / LANES));
  const [first, second, firstHidden, secondHidden] = run({
    shader: SPLIT,
    inputs: [dInput, dHidden],
    outputs: [
      { shape: [depth, 3 * hidden] },
      { shape: [depth, 3 * hidden] },
      { shape: [hidden, 3 * hidden] },
      { shape: [hidden, 3 * hidden] },
    ],
    uniforms: { rows: depth, columns, hidden_size: hidden * columns, grid_row: workgroups[0] * LANES },
    workgroups,
  });
  return [[first, firstHidden], [second, secondHidden]];
}
