/**
 * Batched matrix product with bias and activation.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { run } from "../runtime/program.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import { ACTIVATION_INCLUDES } from "./activation.ts";
import { type Epilogue, epilogueAlpha, epilogueConstants } from "./epilogue.ts";
import plainSource from "./matmul_plain.wgsl" with { type: "text" };
import { type MatmulShape, matmulShape } from "./shape.ts";
import { runSubgroup, type SubgroupVariant } from "./subgroup.ts";

const PLAIN: ShaderFile = {
  file: "matmul/matmul_plain.wgsl",
  source: plainSource,
  includes: ACTIVATION_INCLUDES,
};

/** Invocations of a workgroup: the lanes of a software adapter's vector. */
const LANES = 8;
/** What WebGPU guarantees a grid in one direction. */
const MAX_GRID = 65535;

/** What is done besides the product. */
export interface MatmulOptions extends Epilogue {
  /** a is [.., K, M] */
  readonly transposeA?: boolean;
  /** b is [.., N, K] */
  readonly transposeB?: boolean;
  /** the fastest that is known for the shape and adapter, unless given */
  readonly variant?: MatmulVariant;
}

function sizeOf({ shape }: TensorInfo): number {
  return shape.reduce((product, size) => product * size, 1);
}

function requireOperands(a: TensorInfo, b: TensorInfo, shape: MatmulShape, options: MatmulOptions): void {
  const { bias, slopes, addTo, activation = "linear" } = options;
  for (const [name, tensor] of Object.entries({ a, b, bias, slopes, addTo })) {
    if (tensor !== undefined && tensor.dtype !== "float32") {
      throw new TypeError(`Cannot run matmul: ${name} is ${tensor.dtype}; expected float32`);
    }
  }
  for (const [name, tensor] of Object.entries({ bias, slopes })) {
    if (tensor !== undefined && sizeOf(tensor) !== shape.columns) {
      throw new RangeError(
        `Cannot run matmul: ${name} has shape [${tensor.shape.join(", ")}]; expected [${shape.columns}]`,
      );
    }
  }
  if ((activation === "prelu") !== (slopes !== undefined)) {
    throw new RangeError(
      `Cannot run matmul: activation ${activation}; expected slopes with prelu, and only there`,
    );
  }
  if (addTo === undefined) return;
  if (activation !== "linear") {
    throw new RangeError(`Cannot run matmul: activation ${activation} with addTo; expected one of the two`);
  }
  const { batches, rows, columns } = shape;
  if (sizeOf(addTo) !== batches * rows * columns || addTo.shape.at(-1) !== columns) {
    const wanted = [...shape.batchShape, rows, columns].join(", ");
    throw new RangeError(
      `Cannot run matmul: addTo has shape [${addTo.shape.join(", ")}]; expected [${wanted}]`,
    );
  }
}

/** How a product is computed. */
export type MatmulVariant = { readonly kind: "plain" } | SubgroupVariant;

function plain(a: TensorInfo, b: TensorInfo, shape: MatmulShape, epilogue: Epilogue): TensorInfo {
  const { batches, rows, columns, inner, transposeA, transposeB } = shape;
  const { bias, slopes, addTo } = epilogue;
  let y = addTo;
  for (let first = 0; first < batches; first += MAX_GRID) {
    [y] = run({
      shader: PLAIN,
      constants: epilogueConstants(epilogue),
      inputs: [a, b, bias ?? b, slopes ?? b],
      outputs: [y ? { inPlace: y } : { shape: [...shape.batchShape, rows, columns] }],
      uniforms: {
        rows,
        columns,
        inner,
        a_batches: shape.batchesA,
        a_batch: rows * inner,
        a_row: transposeA ? 1 : inner,
        a_inner: transposeA ? rows : 1,
        b_batches: shape.batchesB,
        b_batch: columns * inner,
        b_inner: transposeB ? 1 : columns,
        b_column: transposeB ? inner : 1,
        first_batch: first,
        alpha: epilogueAlpha(epilogue),
      },
      workgroups: [
        Math.ceil(columns / (4 * LANES)),
        Math.ceil(rows / 4),
        Math.min(MAX_GRID, batches - first),
      ],
      flops: 2 * batches * rows * columns * inner,
    });
  }
  return y!;
}

/**
 * y = f(a b + bias), batch by batch.
 *
 * @param a float32 [.., M, K], or [.., K, M] with `transposeA`
 * @param b float32 [.., K, N], or [.., N, K] with `transposeB`; batch dimensions equal, or one operand repeats along
 * leading batch dimensions that it lacks or where it has 1
 * @returns [.., M, N]; `addTo` itself if that is given
 * @throws {RangeError} for shapes that do not fit or are empty
 * @throws {TypeError} for other types than float32
 */
export function matmul(a: TensorInfo, b: TensorInfo, options: MatmulOptions = {}): TensorInfo {
  const shape = matmulShape(a.shape, b.shape, options.transposeA, options.transposeB);
  requireOperands(a, b, shape, options);
  const { variant = { kind: "plain" } } = options;
  if (variant.kind === "plain") return plain(a, b, shape, options);
  return runSubgroup(a, b, shape, options, variant);
}
