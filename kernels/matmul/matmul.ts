/**
 * Batched matrix product with bias and activation.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { currentTraits } from "../runtime/program.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { variantFor } from "../runtime/tuner.ts";
import type { Epilogue } from "./epilogue.ts";
import { type MatmulShape, matmulShape } from "./shape.ts";
import { runSubgroup } from "./subgroup.ts";
import { defaultVariant, type MatmulVariant, sizesOf } from "./variants.ts";
import { runPlain, runWorkgroup } from "./workgroup.ts";

export { candidates, defaultVariant, type MatmulVariant } from "./variants.ts";

/** What is done besides the product. */
export interface MatmulOptions extends Epilogue {
  /** a is [.., K, M] */
  readonly transposeA?: boolean;
  /** b is [.., N, K] */
  readonly transposeB?: boolean;
  /** the fastest that is known for the shape and adapter, unless given */
  readonly variant?: MatmulVariant;
}

function requireOperands(a: TensorInfo, b: TensorInfo, shape: MatmulShape, options: MatmulOptions): void {
  const { bias, slopes, addTo, activation = "linear" } = options;
  for (const [name, tensor] of Object.entries({ a, b, bias, slopes, addTo })) {
    if (tensor !== undefined && tensor.dtype !== "float32") {
      throw new TypeError(`Cannot run matmul: ${name} is ${tensor.dtype}; expected float32`);
    }
  }
  for (const [name, tensor] of Object.entries({ bias, slopes })) {
    if (tensor !== undefined && sizeOf(tensor.shape) !== shape.columns) {
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
  if (sizeOf(addTo.shape) !== batches * rows * columns || addTo.shape.at(-1) !== columns) {
    throw new RangeError(
      `Cannot run matmul: addTo has shape [${addTo.shape.join(", ")}]; expected [${
        shape.outShape.join(", ")
      }]`,
    );
  }
}

function compute(a: TensorInfo, b: TensorInfo, shape: MatmulShape, options: MatmulOptions): TensorInfo {
  const variant = options.variant ??
    variantFor("matmul", sizesOf(shape), () => defaultVariant(shape, currentTraits()));
  switch (variant.kind) {
    case "plain":
      return runPlain(a, b, shape, options);
    case "subgroup":
      return runSubgroup(a, b, shape, options, variant);
    case "workgroup":
      return runWorkgroup(a, b, shape, options, variant);
  }
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
  return compute(a, b, shape, options);
}
