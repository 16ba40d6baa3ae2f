/**
 * Views: a tensor's values picked out of a buffer by an offset and a stride per axis.
 *
 * @module
 */
import { dataFrom, type Dtype, elementBytes, elementCount } from "./tensor.ts";

/** Where a tensor's elements lie, in elements. */
export interface Strided {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/** The strides of a tensor whose rows follow each other (`C`), or whose columns do (`F`). */
export function contiguousStrides(shape: readonly number[], order: "C" | "F" = "C"): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  if (order === "F") { for (let i = 1; i < shape.length; i++) strides[i] = strides[i - 1] * shape[i - 1]; }
  else for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

/** The elements from the first to behind the last that a view touches. */
export function extent({ shape, strides, offset }: Omit<Strided, "dtype">): { from: number; to: number } {
  if (elementCount(shape) === 0) return { from: offset, to: offset };
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i], offset);
  return { from: offset, to: last + 1 };
}

/**
 * Reads a view's values, row after row.
 *
 * @param read gives the buffer's bytes from an offset; only what the view touches is asked for
 */
export function readStrided(
  view: Strided,
  read: (offset: number, length: number) => Uint8Array<ArrayBuffer>,
) {
  const { dtype, shape, strides } = view;
  const size = elementBytes(dtype);
  const { from, to } = extent(view);
  const bytes = read(from * size, (to - from) * size);
  const natural = contiguousStrides(shape);
  if (shape.every((length, i) => length === 1 || strides[i] === natural[i])) return dataFrom(dtype, bytes);
  const source = dataFrom(dtype, bytes);
  const target = dataFrom(dtype, new Uint8Array(elementCount(shape) * size));
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < target.length; i++) {
    target[i] = source[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++index[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return target;
}
