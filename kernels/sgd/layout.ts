/**
 * Where each of many tensors lies in a few large buffers.
 *
 * @module
 */

/** The place of a tensor, in values. */
export interface Place {
  readonly buffer: number;
  readonly offset: number;
}

/** The buffers' lengths, and the place of each tensor, in order. */
export interface Layout {
  readonly lengths: readonly number[];
  readonly places: readonly Place[];
}

/**
 * Lays tensors out one after the other, each from a multiple of `block` on; one that does not fit into what is left
 * of a buffer begins the next.
 *
 * @param sizes of the tensors, in values, none above `capacity`
 * @param block values that no two tensors share
 * @param capacity values of a buffer
 */
export function layOut(sizes: readonly number[], block: number, capacity: number): Layout {
  const lengths = [0];
  const places = sizes.map((size) => {
    const taken = Math.ceil(size / block) * block;
    if (lengths[lengths.length - 1] + taken > capacity) lengths.push(0);
    const buffer = lengths.length - 1;
    const offset = lengths[buffer];
    lengths[buffer] += taken;
    return { buffer, offset };
  });
  return { lengths, places };
}
