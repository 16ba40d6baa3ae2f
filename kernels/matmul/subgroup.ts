/**
 * The matrix product in register tiles whose lanes share one operand by broadcast: for software adapters.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { withIntermediates } from "../runtime/intermediates.ts";
import { foldWorkgroups, run } from "../runtime/program.ts";
import { type Epilogue, epilogueAlpha, epilogueConstants, STORE_INCLUDES } from "./epilogue.ts";
import { gridSlices } from "./grid.ts";
import subgroupSource from "./matmul_subgroup.wgsl" with { type: "text" };
import { layOut, type Operand, up4 } from "./pad.ts";
import type { MatmulShape } from "./shape.ts";

/** Register tiles, by the columns of y. */
export const SUBGROUP = elementShader({
  file: "matmul/matmul_subgroup.wgsl",
  source: subgroupSource,
  includes: STORE_INCLUDES,
});

/** See matmul_subgroup.wgsl. */
export interface SubgroupVariant {
  readonly kind: "subgroup";
  /** lanes of a subgroup */
  readonly lanes: number;
  /** false: lanes along the rows of y, b is broadcast; true: lanes along its columns, a is broadcast */
  readonly swapped: boolean;
  /** rows of a lane's operand; a multiple of 4 if it is [K, P] or swapped */
  readonly tileP: number;
  /** vec4s of the broadcast operand; 4 tileQ is a multiple of the lanes */
  readonly tileQ: number;
}

/** The lanes' operand and the shared one. */
export function operandsOf(shape: MatmulShape, swapped: boolean): { p: Operand; q: Operand } {
  const a = { batches: shape.batchesA, outer: shape.rows, inner: !shape.transposeA };
  const b = { batches: shape.batchesB, outer: shape.columns, inner: shape.transposeB };
  return swapped ? { p: b, q: a } : { p: a, q: b };
}

/** y = f(a b + bias) */
export function runSubgroup(
  a: TensorInfo,
  b: TensorInfo,
  shape: MatmulShape,
  epilogue: Epilogue,
  { lanes, swapped, tileP, tileQ }: SubgroupVariant,
): TensorInfo {
  const { batches, rows, columns, inner: k } = shape;
  const { p, q } = operandsOf(shape, swapped);
  const [pTensor, qTensor] = swapped ? [b, a] : [a, b];
  const pTiles = Math.ceil(p.outer / (tileP * lanes));
  const workgroups = foldWorkgroups(pTiles * Math.ceil(q.outer / (4 * tileQ)));
  return withIntermediates((own) => {
    const pLayout = layOut(pTensor, p, k, own);
    const qLayout = layOut(qTensor, q, k, own);
    let y = epilogue.addTo;
    for (const [first, count] of gridSlices(batches)) {
      [y] = run({
        shader: SUBGROUP.forRow(columns).shader,
        constants: {
          ...epilogueConstants(epilogue),
          LANES: lanes,
          TILE_P: tileP,
          TILE_Q: tileQ,
          P_INNER: p.inner,
          Q_INNER: q.inner,
          SWAPPED: swapped,
        },
        inputs: [
          pLayout.tensor,
          qLayout.tensor,
          epilogue.bias ?? pTensor,
          epilogue.slopes ?? pTensor,
        ],
        outputs: [y ? { inPlace: y } : { shape: [...shape.outShape] }],
        uniforms: {
          p_count: p.outer,
          q_count: q.outer,
          p_batches: p.batches,
          p_batch: pLayout.batch,
          p_stride: pLayout.stride,
          q_batches: q.batches,
          q_batch: qLayout.batch,
          q_stride: qLayout.stride,
          k_steps: up4(k) / 4,
          p_tiles: pTiles,
          first_batch: first,
          alpha: epilogueAlpha(epilogue),
        },
        workgroups: [...workgroups, count],
        flops: 2 * count * rows * columns * k,
      });
    }
    return y!;
  });
}
