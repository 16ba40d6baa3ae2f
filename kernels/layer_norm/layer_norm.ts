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
import { rowsOf } from "../runtime/shapes.ts";
import backwardSource from "./layer_norm_bwd.wgsl" with { type: "text" };
import sumsSource from "./layer_norm_bwd_sums.wgsl" with { type: "text" };
import forwardSource from "./layer_norm_fwd.wgsl" with { type: "text" };

const includes = ROWS_INCLUDE;
const FORWARD = elementShader({ file: "layer_norm/layer_norm_fwd.wgsl", source: forwardSource, includes });
const BACKWARD = elementShader({ file: "layer_norm/layer_norm_bwd.wgsl", source: backwardSource, includes });
const SUMS = elementShader({ file: "layer_norm/layer_norm_bwd_sums.wgsl", source: sumsSource });

const NAME = "FervidLayerNorm";
const SUM_NAME = "FervidAddLayerNorm";
const SUMS_GROUP = 64;
/** Rows of a chunk whose gradients of gamma and beta are summed apart, unless that makes too many chunks. */
const CHUNK_ROWS = { software: 512, gpu: 32 };
const MAX_CHUNKS = 64;
/** Of an invocation over its row: forward, which makes the most. */
const ROW_LOOPS = 3;

/** How the work is divided; see `rows.wgsl` and `layer_norm_bwd.wgsl`. */
export interface LayerNormTile extends RowTile {
  readonly chunkRows: number;
}

/** The tile for x [M, D], D counted in elements. */
function chooseTile(rows: number, columns: number): LayerNormTile {
  const least = currentTraits().software ? CHUNK_ROWS.software : CHUNK_ROWS.gpu;
  const chunkRows = Math.min(MAX_ITERATIONS, Math.max(least, Math.ceil(rows / MAX_CHUNKS)));
  return { ...chooseRowTile("layerNorm", columns, ROW_LOOPS), chunkRows };
}

function divide({ shape }: TensorInfo, elements: ReturnType<typeof elementShader>) {
  const size = shape[shape.length - 1];
  const { shader, width } = elements.forRow(size);
  return { shader, rows: rowsOf(shape), columns: size / width, size };
}

/**
 * x [.., D], gamma [D], beta [D] -> y [.., D], and [M, 2]: mean and inverse deviation of every row. With a residual
 * [.., D] x + residual is normalised, and returned as the third.
 */
export function layerNormForward(
  x: TensorInfo,
  gamma: TensorInfo,
  beta: TensorInfo,
  epsilon: number,
  tile?: LayerNormTile,
  residual?: TensorInfo,
): [y: TensorInfo, saved: TensorInfo, sum?: TensorInfo] {
  const { shader, rows, columns, size } = divide(x, FORWARD);
  const { ROW_LANES, ROWS } = tile ?? chooseTile(rows, columns);
  const workgroups = foldWorkgroups(Math.ceil(rows / ROWS));
  const [y, saved, sum] = run({
    shader,
    constants: { ROW_LANES, ROWS, RESIDUAL: residual !== undefined },
    inputs: [x, residual ?? x, gamma, beta],
    outputs: [{ shape: x.shape }, { shape: [rows, 2] }, { shape: residual ? x.shape : [size / columns] }],
    uniforms: { rows, columns, epsilon: { f32: epsilon }, grid: workgroups[0] },
    workgroups,
  });
  if (residual !== undefined) return [y, saved, sum];
  release(sum);
  return [y, saved];
}

/**
 * x, dy [.., D], gamma [D], saved [M, 2] of forward -> dx [.., D], dgamma [D], dbeta [D]; `more` [.., D] is added to dx.
 */
export function layerNormBackward(
  x: TensorInfo,
  dy: TensorInfo,
  gamma: TensorInfo,
  saved: TensorInfo,
  tile?: LayerNormTile,
  more?: TensorInfo,
): [dx: TensorInfo, dgamma: TensorInfo, dbeta: TensorInfo] {
  const { shader, rows, columns, size } = divide(x, BACKWARD);
  const { ROW_LANES, ROWS, chunkRows } = tile ?? chooseTile(rows, columns);
  const chunks = Math.ceil(rows / chunkRows);
  const rowGroups = Math.ceil(rows / ROWS);
  const columnGroups = Math.ceil(chunks * columns / (ROW_LANES * ROWS));
  const workgroups = foldWorkgroups(rowGroups + columnGroups);
  const [dx, ...partial] = run({
    shader,
    constants: { ROW_LANES, ROWS, FORKED: more !== undefined },
    inputs: [x, dy, gamma, saved, more ?? dy],
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

function gradientsOf(inputs: Record<string, tf.Tensor>): tf.Tensor[] {
  return tf.engine().runKernel(`${NAME}Grad`, inputs as unknown as tf.NamedTensorMap) as tf.Tensor[];
}

/** Layer normalisation with its gradient, for tfjs's registry. */
export const LAYER_NORM_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run: ({ x, gamma, beta }, { epsilon }) =>
      layerNormForward(x, gamma, beta, epsilon as number) as TensorInfo[],
    gradient: {
      inputsToSave: ["x", "gamma"],
      outputsToSave: [false, true],
      gradFunc(dys, [x, gamma, saved]) {
        const [dx, dgamma, dbeta] = gradientsOf({ x, dy: (dys as tf.Tensor[])[0], gamma, saved });
        return { x: () => dx, gamma: () => dgamma, beta: () => dbeta };
      },
    },
  },
  {
    name: SUM_NAME,
    run: ({ x, residual, gamma, beta }, { epsilon }) =>
      layerNormForward(x, gamma, beta, epsilon as number, undefined, residual) as TensorInfo[],
    gradient: {
      inputsToSave: ["gamma"],
      outputsToSave: [false, true, true],
      gradFunc(dys, [gamma, saved, sum]) {
        const [dy, , more] = dys as tf.Tensor[];
        const [dx, dgamma, dbeta] = gradientsOf({ x: sum, dy, gamma, saved, more });
        return { x: () => dx, residual: () => dx.clone(), gamma: () => dgamma, beta: () => dbeta };
      },
    },
  },
  {
    name: `${NAME}Grad`,
    run: ({ x, dy, gamma, saved, more }) => layerNormBackward(x, dy, gamma, saved, undefined, more),
  },
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
  requireTensors({ x, gamma, beta }, epsilon);
  // Without a tape nothing else frees the saved statistics.
  return tf.tidy(() =>
    (tf.engine().runKernel(NAME, { x, gamma, beta } as unknown as tf.NamedTensorMap, {
      epsilon,
    }) as tf.Tensor[])[0] as T
  );
}

/**
 * {@link layerNorm} of x + residual, and that sum, for the next residual: what stands between two branches of a pre-norm
 * Transformer, in one dispatch. Backward the gradients of the two are added in layer norm's own pass.
 *
 * @param x float32 [.., D]
 * @param residual [.., D]
 * @param gamma [D]
 * @param beta [D]
 * @returns the sum and what it is normalised to, each [.., D]; a gradient needs both
 * @throws {RangeError} for a residual of another shape, and as `layerNorm`
 * @throws {TypeError} unless all are float32
 */
export function addLayerNorm<T extends tf.Tensor>(
  x: T,
  residual: T,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  epsilon: number,
): [sum: T, y: T] {
  requireTensors({ x, gamma, beta, residual }, epsilon);
  if (residual.shape.join() !== x.shape.join()) {
    throw new RangeError(
      `Cannot run layerNorm: residual has shape [${residual.shape}]; expected [${x.shape}]`,
    );
  }
  return tf.tidy(() => {
    const inputs = { x, residual, gamma, beta } as unknown as tf.NamedTensorMap;
    const [y, , sum] = tf.engine().runKernel(SUM_NAME, inputs, { epsilon }) as tf.Tensor[];
    return [sum as T, y as T];
  });
}

function requireTensors(
  tensors: Record<"x" | "gamma" | "beta", tf.Tensor> & { residual?: tf.Tensor },
  epsilon: number,
): void {
  const { x, gamma, beta } = tensors;
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
  for (const [name, { dtype }] of Object.entries(tensors)) {
    if (dtype !== "float32") {
      throw new TypeError(`Cannot run layerNorm: ${name} is ${dtype}; expected float32`);
    }
  }
  if (!(epsilon >= 0)) {
    throw new RangeError(`Cannot run layerNorm: epsilon is ${epsilon}; expected at least 0`);
  }
}
