/**
 * Where each of many tensors lies in a few large buffers.
 *
 * @module
 */

/** A part of a tensor in a part of a buffer; all in values. */
export interface Segment {
  readonly buffer: number;
  readonly offset: number;
  /** in the tensor */
  readonly from: number;
  readonly size: number;
}

/** The buffers' lengths, and the segments of each tensor, in order. */
export interface Layout {
  readonly lengths: readonly number[];
  readonly tensors: readonly (readonly Segment[])[];
}

/**
 * Lays tensors out one after the other, each from a multiple of `block` on; one that does not fit into what is left
 * of a buffer goes on in the next.
 *
 * @param sizes of the tensors, in values
 * @param block values that no two tensors share
 * @param capacity values of a buffer, at least a block
 */
export function layOut(sizes: readonly number[], block: number, capacity: number): Layout {
  const room = Math.floor(capacity / block) * block;
  const lengths = [0];
  const tensors = sizes.map((size) => {
    const segments: Segment[] = [];
    for (let from = 0; from < size;) {
      if (lengths[lengths.length - 1] === room) lengths.push(0);
      const buffer = lengths.length - 1;
      const offset = lengths[buffer];
      const taken = Math.min(size - from, room - offset);
      segments.push({ buffer, offset, from, size: taken });
      lengths[buffer] = offset + Math.ceil(taken / block) * block;
      from += taken;
    }
    return segments;
  });
  return { lengths, tensors };
}
