/**
 * How the ops that reduce rows (layer normalisation, softmax) divide them among workgroups.
 *
 * @module
 */
import { currentTraits } from "./program.ts";
import source from "./rows.wgsl" with { type: "text" };

/** What a shader that includes `rows.wgsl` takes as constants. */
export interface RowTile {
  /** invocations that share a row, a power of 2 */
  readonly ROW_LANES: number;
  /** rows of a workgroup */
  readonly ROWS: number;
}

/** For the `includes` of a shader. */
export const ROWS_INCLUDE: Readonly<Record<string, string>> = { "rows.wgsl": source };

/** Lanes of a software adapter's vector. */
const SOFTWARE_GROUP = 8;
const GPU_GROUP = 128;

/**
 * Most iterations that an op plans for an invocation, over all its loops: llvmpipe (Mesa 22.3) leaves every loop,
 * without a word, when an invocation has made 65535 in total, an inner loop's last test counted.
 */
export const MAX_ITERATIONS = 16384;
/** Of them, those of one loop over a row. */
const MAX_ROW_ITERATIONS = MAX_ITERATIONS / 4;

/**
 * One invocation a row on a software adapter, unless the row is very long; on a GPU as many as the row has elements, to
 * a workgroup's size.
 *
 * @param elements of a row
 */
export function chooseRowTile(elements: number): RowTile {
  const [group, least] = currentTraits().software
    ? [SOFTWARE_GROUP, Math.ceil(elements / MAX_ROW_ITERATIONS)]
    : [GPU_GROUP, elements];
  let lanes = 1;
  while (lanes < least && lanes < GPU_GROUP) lanes *= 2;
  return { ROW_LANES: lanes, ROWS: Math.max(1, group / lanes) };
}
