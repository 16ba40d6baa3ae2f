/**
 * Layer normalisation: forward in one dispatch, backward in one, or two where many rows are summed in chunks.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { currentTraits, foldWorkgroups, release, reshapeInfo, run } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import { chooseRowTile, MAX_ITERATIONS, ROWS_INCLUDE, type RowTile } from "../runtime/rows.ts";
import backwardSource from "./layer_norm_bwd.wgsl" with { type: "text" };
import sumsSource from "./layer_norm_bwd_sums.wgsl" with { type: "text" };
import forwardSource from "./layer_norm_fwd.wgsl" with { type: "text" };

const includes = ROWS_INCLUDE;
const FORWARD = elementShader({ file: "layer_norm/layer_norm_fwd.wgsl", source: forwardSource, includes });
const BACKWARD = elementShader({ file: "layer_norm/layer_norm_bwd.wgsl", source: backwardSource, includes });
const SUMS = elementShader({ file: "layer_norm/layer_norm_bwd_sums.wgsl", source: sumsSource });

const NAME = "FervidLayerNorm";
const SUMS_GROUP = 64;
/** Rows of a chunk whose gradients of gamma and beta are summed apart, unless that makes too many chunks. */
const CHUNK_ROWS = { software: 512, gpu: 32 };
const MAX_CHUNKS = 64;

/** How the work is divided; see `rows.wgsl` and `layer_norm_bwd.wgsl`. */
export interface LayerNormTile extends RowTile {
  readonly chunkRows: number;
}

/** The tile for x [M, D], D counted in elements. */
function chooseTile(rows: number, columns: number): LayerNormTile {
  const least = currentTraits().software ? CHUNK_ROWS.software : CHUNK_ROWS.gpu;
  const chunkRows = Math.min(MAX_ITERATIONS, Math.max(least, Math.ceil(rows / MAX_CHUNKS)));
  return { ...chooseRowTile(columns), chunkRows };
}

function divide({ shape }: TensorInfo, elements: ReturnType<typeof elementShader>) {
  const size = shape[shape.length - 1];
  const { shader, width } = elements.forRow(size);
  const rows = shape.slice(0, -1).reduce((product, n) => product * n, 1);
  return { shader, rows, columns: size / width, size };
}

/** x [.., D], gamma [D], beta [D] -> y [.., D], and [M, 2]: mean and inverse deviation of every row */
export function layerNormForward(
  x: TensorInfo,
  gamma: TensorInfo,
  beta: TensorInfo,
  epsilon: number,
  tile?: LayerNormTile,
): [y: TensorInfo, saved: TensorInfo] {
  const { shader, rows, columns } = divide(x, FORWARD);
  const { ROW_LANES, ROWS } = tile ?? chooseTile(rows, columns);
  const workgroups = foldWorkgroups(Math.ceil(rows / ROWS));
  const [y, saved] = run({
    shader,
    constants: { ROW_LANES, ROWS },
    inputs: [x, gamma, beta],
    outputs: [{ shape: x.shape }, { shape: [rows, 2] }],
    uniforms: { rows, columns, epsilon: { f32: epsilon }, grid: workgroups[0] },
    workgroups,
  });
  return [y, saved];
}

/** x, dy [.., D], gamma [D], saved [M, 2] of forward -> dx [.., D], dgamma [D], dbeta [D] */
export function layerNormBackward(
  x: TensorInfo,
  dy: TensorInfo,
  gamma: TensorInfo,
  saved: TensorInfo,
  tile?: LayerNormTile,
): [dx: TensorInfo, dgamma: TensorInfo, dbeta: TensorInfo] {
  const { shader, rows, columns, size } = divide(x, BACKWARD);
  const { ROW_LANES, ROWS, chunkRows } = tile ?? chooseTile(rows, columns);
  const chunks = Math.ceil(rows / chunkRows);
  const rowGroups = Math.ceil(rows / ROWS);
  const columnGroups = Math.ceil(chunks * columns / (ROW_LANES * ROWS));
  const workgroups = foldWorkgroups(rowGroups + columnGroups);
  const [dx, ...partial] = run({
    shader,
    constants: { ROW_LANES, ROWS },
    inputs: [x, dy, gamma, saved],
    outputs: [{ shape: x.shape }, { shape: [chunks, size] }, { shape: [chunks, size] }],
    uniforms: {
      rows,
      columns,
      chunks,
      chunk_rows: chunkRows,
      row_groups: rowGroups,
      grid: workgroups[0],
    },
    workgroups,
  });
  const [dgamma, dbeta] = chunks === 1 ? partial.map((tensor) => reshapeInfo(tensor, [size])) : run({
    shader: SUMS.forRow(size).shader,
    inputs: partial,
    outputs: [{ shape: [size] }, { shape: [size] }],
    uniforms: { columns, chunks },
    workgroups: [Math.ceil(columns / SUMS_GROUP)],
  });
  partial.forEach(release);
  return [dx, dgamma, dbeta];
}

/** Layer normalisation with its gradient, for tfjs's registry. */
export const LAYER_NORM_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run: ({ x, gamma, beta }, { epsilon }) => layerNormForward(x, gamma, beta, epsilon as number),
    gradient: {
      inputsToSave: ["x", "gamma"],
      outputsToSave: [false, true],
      gradFunc(dys, [x, gamma, saved]) {
        const inputs = { x, dy: (dys as tf.Tensor[])[0], gamma, saved };
        const [dx, dgamma, dbeta] = tf.engine().runKernel(
          `${NAME}Grad`,
          inputs as unknown as tf.NamedTensorMap,
        ) as tf.Tensor[];
        return { x: () => dx, gamma: () => dgamma, beta: () => dbeta };
      },
    },
  },
  { name: `${NAME}Grad`, run: ({ x, dy, gamma, saved }) => layerNormBackward(x, dy, gamma, saved) },
];

/**
 * (x - mean) / sqrt(variance + epsilon) gamma + beta, with mean and biased variance over the last axis (Ba et al. 2016,
 * arXiv 1607.06450; PyTorch's LayerNorm).
 *
 * @param x float32 [.., D], any D
 * @param gamma [D]
 * @param beta [D]
 * @throws {RangeError} for an empty tensor, and unless gamma and beta are [D] and epsilon is at least 0
 * @throws {TypeError} unless all are float32
 */
export function layerNorm<T extends tf.Tensor>(
  x: T,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  epsilon: number,
): T {
  const size = x.shape[x.rank - 1];
  if (x.rank === 0 || x.size === 0) {
    throw new RangeError(
      `Cannot run layerNorm: x has shape [${x.shape}]; expected [.., D] and no empty dimension`,
    );
  }
  for (const [name, { shape }] of Object.entries({ gamma, beta })) {
    if (shape.length !== 1 || (shape as number[])[0] !== size) {
      throw new RangeError(
        `Cannot run layerNorm: ${name} has shape [${shape}] but x has ${size} columns; expected [${size}]`,
      );
    }
  }
  for (const [name, { dtype }] of Object.entries({ x, gamma, beta } as Record<string, tf.Tensor>)) {
    if (dtype !== "float32") {
      throw new TypeError(`Cannot run layerNorm: ${name} is ${dtype}; expected float32`);
    }
  }
  if (!(epsilon >= 0)) {
    throw new RangeError(`Cannot run layerNorm: epsilon is ${epsilon}; expected at least 0`);
  }
  // Without a tape nothing else frees the saved statistics.
  return tf.tidy(() =>
    (tf.engine().runKernel(NAME, { x, gamma, beta } as unknown as tf.NamedTensorMap, {
      epsilon,
    }) as tf.Tensor[])[0] as T
  );
}
