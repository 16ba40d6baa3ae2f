/**
 * How the ops that reduce rows (layer normalisation, softmax) divide them among workgroups.
 *
 * @module
 */
import { backendInternals, currentTraits } from "./program.ts";
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
/** Most that an invocation may make at all: a loop in a loop counts as its iterations and 2 each time. */
export const ITERATION_LIMIT = 65534;
/** Of them, those of an op's loops that are not over a row. */
const OTHER_ITERATIONS = 1024;
/** Most that is planned where the iterations of all loops are counted. */
export const COUNTED_ITERATIONS = 60_000;

/**
 * One invocation a row on a software adapter, unless the row is very long; on a GPU as many as the row has elements, to
 * a workgroup's size.
 *
 * @param elements of a row
 * @param loops of an invocation over a row
 * @throws {RangeError} for a row that is longer than a software adapter's largest workgroup can loop over
 */
export function chooseRowTile(op: string, elements: number, loops: number): RowTile {
  const { software } = currentTraits();
  const { maxComputeInvocationsPerWorkgroup } = backendInternals().device.limits;
  const [group, most, least] = software
    ? [SOFTWARE_GROUP, maxComputeInvocationsPerWorkgroup, Math.ceil(elements / MAX_ROW_ITERATIONS)]
    : [GPU_GROUP, GPU_GROUP, elements];
  let lanes = 1;
  while (lanes < least && 2 * lanes <= most) lanes *= 2;
  const longest = lanes * Math.floor((ITERATION_LIMIT - OTHER_ITERATIONS) / loops);
  if (software && elements > longest) {
    throw new RangeError(
      `Cannot run ${op}: a row has ${elements} elements (of 4 values, where it can be divided so); expected at most ` +
        `${longest} on a software adapter`,
    );
  }
  return { ROW_LANES: lanes, ROWS: Math.max(1, group / lanes) };
}
