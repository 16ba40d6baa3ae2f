/**
 * The matrix product in tiles of workgroup memory, for GPUs, and the plain one, which takes the same uniforms.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { withIntermediates } from "../runtime/intermediates.ts";
import { foldWorkgroups, run } from "../runtime/program.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import { ACTIVATION_INCLUDES } from "./activation.ts";
import { type Epilogue, epilogueAlpha, epilogueConstants, STORE_INCLUDES } from "./epilogue.ts";
import { gridSlices } from "./grid.ts";
import pairedSource from "./paired.wgsl" with { type: "text" };
import plainSource from "./matmul_plain.wgsl" with { type: "text" };
import sumSource from "./matmul_sum.wgsl" with { type: "text" };
import workgroupSource from "./matmul_workgroup.wgsl" with { type: "text" };
import { layOut, up4 } from "./pad.ts";
import type { MatmulShape } from "./shape.ts";

/** For the `includes` of a shader that multiplies tiles of workgroup memory. */
export const PAIRED_INCLUDES: Readonly<Record<string, string>> = { "paired.wgsl": pairedSource };
/** For any shape, one dispatch; by the columns of y. */
export const PLAIN = elementShader({
  file: "matmul/matmul_plain.wgsl",
  source: plainSource,
  includes: STORE_INCLUDES,
});
/** Tiles in workgroup memory, by the columns of y. */
export const WORKGROUP = elementShader({
  file: "matmul/matmul_workgroup.wgsl",
  source: workgroupSource,
  includes: { ...STORE_INCLUDES, ...PAIRED_INCLUDES },
});
/** Adds the parts of K. */
export const SUM: ShaderFile = {
  file: "matmul/matmul_sum.wgsl",
  source: sumSource,
  includes: ACTIVATION_INCLUDES,
};

/** Invocations of a workgroup of matmul_plain.wgsl, and rows of one. */
export const PLAIN_GROUP = 8;
export const PLAIN_TILE = 8;
/** Invocations of a workgroup of matmul_sum.wgsl. */
const SUM_GROUP = 64;

/** See matmul_workgroup.wgsl. */
export interface WorkgroupVariant {
  readonly kind: "workgroup";
  /** rows, columns and k of a workgroup; columns and k in fours */
  readonly blockM: number;
  readonly blockN: number;
  readonly blockK: number;
  /** rows, in fours, and vec4s of columns of an invocation */
  readonly tileM: number;
  readonly tileN: number;
  /** ranges of k that are summed apart, for few outputs and long sums; 1 for none */
  readonly parts: number;
}

/** Bytes of workgroup memory of matmul_workgroup.wgsl: the blocks of both operands, with their gaps. */
export function workgroupBytes(
  { blockM, blockN, blockK, tileN }: WorkgroupVariant,
  { transposeA, transposeB }: Pick<MatmulShape, "transposeA" | "transposeB">,
): number {
  const depth = blockK / 4; // vec4s of k
  const gap = Math.floor(8 / depth);
  const a = transposeA ? blockK * (blockM / 4 + Math.max(1, gap)) : depth * (blockM + Math.max(1, gap));
  const b = transposeB ? 4 * tileN * (blockN / (4 * tileN) + 1) : blockN / 4;
  return 16 * (a + (transposeB ? depth : blockK) * (b + 8 + gap - b % 8));
}

/** Where the elements of the operands lie. */
function stridesOf({ rows, columns, inner, transposeA, transposeB, batchesA, batchesB }: MatmulShape) {
  return {
    rows,
    columns,
    inner,
    a_batches: batchesA,
    a_batch: rows * inner,
    a_row: transposeA ? 1 : inner,
    a_inner: transposeA ? rows : 1,
    b_batches: batchesB,
    b_batch: columns * inner,
    b_inner: transposeB ? 1 : columns,
    b_column: transposeB ? inner : 1,
  };
}

/** y = f(a b + bias), the plain way. */
export function runPlain(a: TensorInfo, b: TensorInfo, shape: MatmulShape, epilogue: Epilogue): TensorInfo {
  const { batches, rows, columns, inner } = shape;
  const tiles = Math.ceil(rows / PLAIN_TILE) * Math.ceil(columns / 4);
  let y = epilogue.addTo;
  for (const [first, count] of gridSlices(batches)) {
    [y] = run({
      shader: PLAIN.forRow(columns).shader,
      constants: { ...epilogueConstants(epilogue), TILE_M: PLAIN_TILE },
      inputs: [a, b, epilogue.bias ?? b, epilogue.slopes ?? b],
      outputs: [y ? { inPlace: y } : { shape: [...shape.outShape] }],
      uniforms: { ...stridesOf(shape), first_batch: first, alpha: epilogueAlpha(epilogue) },
      workgroups: [...foldWorkgroups(Math.ceil(tiles / PLAIN_GROUP)), count],
      flops: 2 * count * rows * columns * inner,
    });
  }
  return y!;
}

/** y = f(a b + bias) in tiles. */
export function runWorkgroup(
  a: TensorInfo,
  b: TensorInfo,
  shape: MatmulShape,
  epilogue: Epilogue,
  variant: WorkgroupVariant,
): TensorInfo {
  const { batches, rows, columns, inner, transposeA, transposeB } = shape;
  const { blockM, blockN, blockK, tileM, tileN } = variant;
  const part = blockK * Math.ceil(inner / (blockK * variant.parts));
  const parts = Math.ceil(inner / part);
  const last = parts === 1 ? epilogue : {};
  return withIntermediates((own) => {
    const aLayout = layOut(a, { batches: shape.batchesA, outer: rows, inner: !transposeA }, inner, own);
    const bLayout = layOut(b, { batches: shape.batchesB, outer: columns, inner: transposeB }, inner, own);
    let y = last.addTo;
    for (const [first, count] of gridSlices(parts * batches)) {
      [y] = run({
        shader: WORKGROUP.forRow(columns).shader,
        constants: {
          ...epilogueConstants(last),
          BLOCK_M: blockM,
          BLOCK_N: blockN / 4,
          BLOCK_K: blockK / 4,
          TILE_M: tileM,
          TILE_N: tileN,
          A_INNER: !transposeA,
          B_INNER: transposeB,
        },
        inputs: [aLayout.tensor, bLayout.tensor, last.bias ?? b, last.slopes ?? b],
        outputs: [
          y ? { inPlace: y } : { shape: [...(parts === 1 ? [] : [parts]), ...shape.outShape] },
        ],
        uniforms: {
          rows,
          columns,
          a_batches: shape.batchesA,
          a_batch: aLayout.batch,
          a_stride: aLayout.stride,
          b_batches: shape.batchesB,
          b_batch: bLayout.batch,
          b_stride: bLayout.stride,
          batches,
          first,
          part: part / 4,
          inner: up4(inner) / 4,
          alpha: epilogueAlpha(last),
        },
        workgroups: [...foldWorkgroups(Math.ceil(columns / blockN) * Math.ceil(rows / blockM)), count],
        flops: 2 * count * rows * columns * Math.min(inner, part),
      });
    }
    return parts === 1 ? y! : sumParts(own(y!), parts, shape, epilogue);
  });
}

/** sums [parts, .., M, N] -> y [.., M, N] */
function sumParts(sums: TensorInfo, parts: number, shape: MatmulShape, epilogue: Epilogue): TensorInfo {
  const { batches, outShape, rows, columns } = shape;
  const { bias, slopes, addTo } = epilogue;
  const workgroups = foldWorkgroups(Math.ceil(batches * rows * Math.ceil(columns / 4) / SUM_GROUP));
  const [y] = run({
    shader: SUM,
    constants: epilogueConstants(epilogue),
    inputs: [sums, bias ?? sums, slopes ?? sums],
    outputs: [addTo ? { inPlace: addTo } : { shape: [...outShape] }],
    uniforms: {
      parts,
      rows: batches * rows,
      columns,
      grid: workgroups[0] * SUM_GROUP,
      alpha: epilogueAlpha(epilogue),
    },
    workgroups,
  });
  return y;
}
