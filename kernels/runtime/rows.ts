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

/** Lanes of a software adapter's vector: as few workgroups and barriers there as will do. */
const SOFTWARE_GROUP = 8;
const GPU_GROUP = 128;

/**
 * One invocation a row on a software adapter; on a GPU as many as the row has elements, to a workgroup's size.
 *
 * @param elements of a row
 */
export function chooseRowTile(elements: number): RowTile {
  if (currentTraits().software) return { ROW_LANES: 1, ROWS: SOFTWARE_GROUP };
  let lanes = 1;
  while (lanes < elements && lanes < GPU_GROUP) lanes *= 2;
  return { ROW_LANES: lanes, ROWS: GPU_GROUP / lanes };
}
