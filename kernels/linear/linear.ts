/**
 * The linear layer: product, bias and activation in one dispatch, its gradients in three.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { gelu } from "../gelu/gelu.ts";
import { matmul } from "../matmul/matmul.ts";
import { type RowSumsTile, sumRows } from "../pool/row_sums.ts";
import nanSource from "../runtime/nan.wgsl" with { type: "text" };
import { currentTraits, foldWorkgroups, release, reshapeInfo, run } from "../runtime/program.ts";
import type { KernelInputs, NewKernel } from "../runtime/registry.ts";
import { COUNTED_ITERATIONS } from "../runtime/rows.ts";
import { sizeOf } from "../runtime/shapes.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import sumsSource from "./linear_bwd_sums.wgsl" with { type: "text" };

const SUMS: ShaderFile = {
  file: "linear/linear_bwd_sums.wgsl",
  source: sumsSource,
  includes: { "nan.wgsl": nanSource },
};
const NAME = "FervidLinear";
/** Columns and slices of rows of a workgroup that sums. */
const GROUPS = { software: [8, 8], gpu: [16, 16] } as const;
/** What adds the chunks of longer sums. */
const CHUNK_SUMS: RowSumsTile = { lanes: 64, chunkRows: 4096 };

/** What may follow the bias. */
export type LinearActivation = "relu" | "gelu";

interface Attributes {
  readonly activation?: LinearActivation;
}

/** x, which is given back, in one dimension. */
function flat(x: TensorInfo): TensorInfo {
  const y = reshapeInfo(x, [sizeOf(x.shape)]);
  release(x);
  return y;
}

/**
 * dy, y [M, K] -> db [K] and dz [M, K]; without an activation dz is dy itself, and is not returned.
 *
 * @param tile columns and slices of rows of a workgroup; the adapter decides unless it is given
 */
export function linearBackwardSums(
  { dy, y }: KernelInputs,
  { activation }: Attributes,
  tile: readonly [across: number, slices: number] = currentTraits().software ? GROUPS.software : GROUPS.gpu,
): TensorInfo[] {
  const [rows, columns] = dy.shape;
  const relu = activation === "relu";
  const [across, slices] = tile;
  const chunks = Math.ceil(rows / (slices * COUNTED_ITERATIONS));
  const [sums, dz] = run({
    shader: SUMS,
    constants: { COLUMNS: across, SLICES: slices, RELU: relu },
    inputs: [dy, y ?? dy],
    outputs: [{ shape: chunks === 1 ? [columns] : [1, chunks, columns] }, { shape: relu ? dy.shape : [1] }],
    uniforms: { rows, columns, chunk_rows: Math.ceil(rows / chunks) },
    workgroups: [...foldWorkgroups(Math.ceil(columns / across)), chunks],
  });
  const db = chunks === 1 ? sums : flat(sumRows(sums, 1, CHUNK_SUMS));
  if (relu) return [db, dz];
  release(dz);
  return [db];
}

/** The layer with its gradient, for tfjs's registry. */
export const LINEAR_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run: ({ x, weight, bias }, attributes) =>
      matmul(x, weight, { bias, activation: (attributes as Attributes).activation }),
    gradient: {
      inputsToSave: ["x", "weight"],
      outputsToSave: [true],
      gradFunc(dy, [x, weight, y], attributes) {
        const outputs = tf.engine().runKernel(
          `${NAME}Sums`,
          { dy: dy as tf.Tensor, y },
          attributes,
        ) as unknown as tf.Tensor[];
        const [db, dz = dy as tf.Tensor] = outputs;
        return {
          x: () => tf.engine().runKernel(`${NAME}DInput`, { dz, weight }) as tf.Tensor,
          weight: () => tf.engine().runKernel(`${NAME}DWeight`, { x, dz }) as tf.Tensor,
          bias: () => db,
        };
      },
    },
  },
  { name: `${NAME}Sums`, run: (inputs, attributes) => linearBackwardSums(inputs, attributes as Attributes) },
  { name: `${NAME}DInput`, run: ({ dz, weight }) => matmul(dz, weight, { transposeB: true }) },
  { name: `${NAME}DWeight`, run: ({ x, dz }) => matmul(x, dz, { transposeA: true }) },
];

/**
 * f(x weight + bias). One dispatch, where the sizes are multiples of 4; while gradients are recorded, GELU takes one of
 * its own, since its gradient needs what goes into it. Backward: the bias's sums with ReLU's mask, dx, dWeight.
 *
 * @param x float32 [M, D]
 * @param weight float32 [D, K]
 * @param bias float32 [K]
 * @param activation none by default; GELU is the exact one
 * @returns [M, K]
 * @throws {RangeError} for shapes that do not fit or are empty
 * @throws {TypeError} for other types than float32
 */
export function linear(
  x: tf.Tensor2D,
  weight: tf.Tensor2D,
  bias: tf.Tensor1D,
  activation?: LinearActivation,
): tf.Tensor2D {
  if (activation === "gelu" && tf.engine().isTapeOn()) return gelu(linear(x, weight, bias));
  for (const [name, { dtype }] of Object.entries({ x, weight, bias })) {
    if (dtype !== "float32") throw new TypeError(`Cannot run linear: ${name} is ${dtype}; expected float32`);
  }
  if (x.rank !== 2 || weight.rank !== 2 || x.shape[1] !== weight.shape[0] || x.size * weight.size === 0) {
    throw new RangeError(
      `Cannot run linear: x has shape [${x.shape}] and weight [${weight.shape}]; expected [M, D] and [D, K], none empty`,
    );
  }
  if (bias.rank !== 1 || bias.shape[0] !== weight.shape[1]) {
    throw new RangeError(`Cannot run linear: bias has shape [${bias.shape}]; expected [${weight.shape[1]}]`);
  }
  const attributes: tf.NamedAttrMap = activation === undefined ? {} : { activation };
  return tf.engine().runKernel(NAME, { x, weight, bias }, attributes) as tf.Tensor2D;
}
