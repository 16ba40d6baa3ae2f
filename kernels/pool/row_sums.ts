/**
 * Sums over rows in a fixed order, for pooling and for the gradients of biases.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { withIntermediates } from "../runtime/intermediates.ts";
import { foldWorkgroups, run } from "../runtime/program.ts";
import source from "./row_sums.wgsl" with { type: "text" };

const SUMS = elementShader({ file: "pool/row_sums.wgsl", source });

/** The tile constants; the tests vary each. */
export interface RowSumsTile {
  /** invocations of a workgroup */
  readonly lanes: number;
  /** most rows that one invocation adds */
  readonly chunkRows: number;
}

function sumOnce(x: TensorInfo, scale: number, { chunkRows, lanes }: RowSumsTile): TensorInfo {
  const [images, rows, size] = x.shape;
  const chunks = Math.ceil(rows / chunkRows);
  const { shader, width } = SUMS.forRow(size);
  const count = images * chunks * size / width;
  const [sums] = run({
    shader,
    constants: { LANES: lanes },
    inputs: [x],
    outputs: [{ shape: [images, chunks, size] }],
    uniforms: {
      count,
      channels: size / width,
      rows,
      chunks,
      chunk_rows: chunkRows,
      scale: { f32: scale },
    },
    workgroups: foldWorkgroups(Math.ceil(count / lanes)),
  });
  return sums;
}

/**
 * x [N, M, C] -> scale times the sums over M: [N, 1, C]. One dispatch up to `chunkRows` rows, else one more for each power
 * of it.
 *
 * @param x is given back, whatever happens
 */
export function sumRows(x: TensorInfo, scale: number, tile: RowSumsTile): TensorInfo {
  let sums = x;
  for (let last = false; !last;) {
    last = sums.shape[1] <= tile.chunkRows;
    sums = withIntermediates((own) => sumOnce(own(sums), last ? scale : 1, tile));
  }
  return sums;
}
