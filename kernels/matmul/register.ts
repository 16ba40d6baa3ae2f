/**
 * The matrix product in register tiles, with one operand in uniform windows: for software adapters.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, release, run, WINDOW_BYTES } from "../runtime/program.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import { type Epilogue, epilogueAlpha, epilogueConstants } from "./epilogue.ts";
import { ACTIVATION_INCLUDE } from "./activation.ts";
import packSource from "./matmul_pack.wgsl" with { type: "text" };
import registerSource from "./matmul_register.wgsl" with { type: "text" };
import type { MatmulShape } from "./shape.ts";

const PACK: ShaderFile = { file: "matmul/matmul_pack.wgsl", source: packSource };
const REGISTER: ShaderFile = {
  file: "matmul/matmul_register.wgsl",
  source: registerSource,
  includes: ACTIVATION_INCLUDE,
};

/** Invocations of a workgroup: the lanes of a software adapter's vector. */
export const LANES = 8;
/** What WebGPU guarantees a grid in one direction. */
const MAX_GRID = 65535;
const WINDOW = WINDOW_BYTES / 16; // vec4s

/** See matmul_register.wgsl. */
export interface RegisterVariant {
  readonly kind: "register";
  /** false: lanes along the rows of y, b through the window; true: lanes along its columns, a through the window */
  readonly swapped: boolean;
  /** the operand of the window is copied into panels first: needed where its rows are too long */
  readonly packed: boolean;
  /** rows of the lanes' operand; a multiple of 4 */
  readonly tileP: number;
  /** vec4s of the window's operand */
  readonly tileQ: number;
}

/** An operand: [batches, outer, K] if `inner`, else [batches, K, outer]. */
interface Operand {
  readonly batches: number;
  readonly outer: number;
  readonly inner: boolean;
}

function up4(size: number): number {
  return 4 * Math.ceil(size / 4);
}

/** The operand in panels of `width` vec4s: [batches, panels, rows, width]; rows and columns are zero beyond the end. */
function pack(
  { tensor, batches, outer, inner }: Operand & { tensor: TensorInfo },
  k: number,
  to: { inner: boolean; width?: number },
): TensorInfo {
  const [rows, columns] = to.inner ? [outer, k] : [k, outer];
  const width = to.width ?? up4(columns) / 4;
  const panels = Math.ceil(columns / (4 * width));
  const rowsOut = to.inner ? rows : up4(rows);
  const count = batches * panels * rowsOut * width;
  const workgroups = foldWorkgroups(Math.ceil(count / LANES));
  const [row, column] = inner === to.inner ? [columns, 1] : [1, rows];
  const [packed] = run({
    shader: PACK,
    inputs: [tensor],
    outputs: [{ shape: [batches, panels, rowsOut, 4 * width] }],
    uniforms: {
      count,
      grid: workgroups[0] * LANES,
      panels,
      rows_out: rowsOut,
      width,
      rows,
      columns,
      batch: k * outer,
      row,
      column,
    },
    workgroups,
  });
  return packed;
}

/** True if vec4s fit the operand as it is. */
function fits({ outer, inner }: Operand, k: number): boolean {
  return k % 4 === 0 && (inner || outer % 4 === 0);
}

/** The window's operand in memory. */
interface Layout {
  readonly inner: boolean;
  /** vec4s from one row to the next, from tile to tile, and of a batch */
  readonly stride: number;
  readonly tile: number;
  readonly batch: number;
  /** tiles and four-k steps that fit a window */
  readonly tilesEach: number;
  readonly stepsEach: number;
}

/** Where the tiles of the operand lie; undefined if it must be packed. */
function layoutOf(q: Operand, k: number, { packed, tileQ }: RegisterVariant): Layout | undefined {
  const steps = up4(k) / 4;
  const tiles = Math.ceil(q.outer / (4 * tileQ));
  if (packed) {
    const stepsEach = Math.min(steps, Math.floor(WINDOW / (4 * tileQ)));
    const tile = 4 * steps * tileQ;
    const tilesEach = stepsEach < steps ? 1 : Math.min(tiles, Math.floor(WINDOW / tile));
    return { inner: false, stride: tileQ, tile, batch: tiles * tile, tilesEach, stepsEach };
  }
  if (q.inner) {
    const tile = 4 * tileQ * steps;
    const tilesEach = Math.min(tiles, Math.floor(WINDOW / tile));
    if (tilesEach === 0) return undefined;
    return { inner: true, stride: steps, tile, batch: q.outer * steps, tilesEach, stepsEach: steps };
  }
  const stride = up4(q.outer) / 4;
  const stepsEach = Math.min(steps, Math.floor(WINDOW / (4 * stride)));
  if (stepsEach === 0) return undefined;
  return { inner: false, stride, tile: tileQ, batch: 4 * steps * stride, tilesEach: tiles, stepsEach };
}

/** A part of the window's operand, and what a dispatch makes of it. */
interface Window {
  readonly batch: number;
  readonly batches: number;
  readonly tile: number;
  readonly tiles: number;
  readonly step: number;
  readonly steps: number;
  /** vec4s */
  readonly offset: number;
  readonly size: number;
}

/** Parts of near equal size. */
function* parts(count: number, most: number): Generator<[first: number, size: number]> {
  const number = Math.ceil(count / most);
  for (let i = 0, first = 0; i < number; i++) {
    const size = Math.ceil((count - first) / (number - i));
    yield [first, size];
    first += size;
  }
}

/** The windows over all batches of the operand; the steps of a tile follow each other. */
function* windowsOf(
  allBatches: number,
  layout: Layout,
  allTiles: number,
  allSteps: number,
): Generator<Window> {
  const { inner, stride, tilesEach, stepsEach } = layout;
  const whole = tilesEach === allTiles && stepsEach === allSteps;
  const batchesEach = whole ? Math.min(MAX_GRID, Math.max(1, Math.floor(WINDOW / layout.batch))) : 1;
  for (const [batch, batches] of parts(allBatches, batchesEach)) {
    for (const [tile, tiles] of parts(allTiles, tilesEach)) {
      for (const [step, steps] of parts(allSteps, stepsEach)) {
        const offset = batch * layout.batch + tile * layout.tile + (inner ? step : 4 * step * stride);
        const size = Math.min(WINDOW, allBatches * layout.batch - offset);
        yield { batch, batches, tile, tiles, step, steps, offset, size };
      }
    }
  }
}

/** True if the kernel takes the shape in this variant. */
export function takesRegister(shape: MatmulShape, variant: RegisterVariant): boolean {
  const { q } = operandsOf(shape, variant);
  return variant.packed || (fits(q, shape.inner) && layoutOf(q, shape.inner, variant) !== undefined);
}

function operandsOf(shape: MatmulShape, { swapped }: RegisterVariant): { p: Operand; q: Operand } {
  const a = { batches: shape.batchesA, outer: shape.rows, inner: !shape.transposeA };
  const b = { batches: shape.batchesB, outer: shape.columns, inner: shape.transposeB };
  return swapped ? { p: b, q: a } : { p: a, q: b };
}

/** y = f(a b + bias) for a shape and variant that {@link takesRegister}. */
export function runRegister(
  a: TensorInfo,
  b: TensorInfo,
  shape: MatmulShape,
  epilogue: Epilogue,
  variant: RegisterVariant,
): TensorInfo {
  const { swapped, packed, tileP, tileQ } = variant;
  const { batches, rows, columns, inner: k } = shape;
  const { p, q } = operandsOf(shape, variant);
  const [pTensor, qTensor] = swapped ? [b, a] : [a, b];
  const pPacked = fits(p, k) ? undefined : pack({ ...p, tensor: pTensor }, k, { inner: p.inner });
  const qPacked = packed ? pack({ ...q, tensor: qTensor }, k, { inner: false, width: tileQ }) : undefined;
  const layout = layoutOf(q, k, variant);
  if (layout === undefined) throw new RangeError(`Cannot run matmul: rows of ${k} values don't fit a window`);
  const steps = up4(k) / 4;
  const pStride = p.inner ? steps : up4(p.outer) / 4;
  const bias = epilogue.bias ?? pTensor;
  const slopes = epilogue.slopes ?? pTensor;
  let y = epilogue.addTo;
  // One dispatch a window; a window that every batch shares takes many batches at once.
  const shared = q.batches === 1;
  for (const [first, many] of parts(batches, shared ? MAX_GRID : q.batches)) {
    for (const window of windowsOf(q.batches, layout, Math.ceil(q.outer / (4 * tileQ)), steps)) {
      const firstQ = 4 * tileQ * window.tile;
      [y] = run({
        shader: REGISTER,
        constants: {
          ...epilogueConstants(epilogue),
          TILE_P: tileP,
          TILE_Q: tileQ,
          P_INNER: p.inner,
          Q_INNER: layout.inner,
          SWAPPED: swapped,
          ODD: columns % 4 !== 0,
        },
        inputs: [
          pPacked ?? pTensor,
          { tensor: qPacked ?? qTensor, as: "uniform", offset: 16 * window.offset, size: 16 * window.size },
          bias,
          slopes,
        ],
        outputs: [y ? { inPlace: y } : { shape: [...shape.batchShape, rows, columns] }],
        uniforms: {
          p_count: p.outer,
          q_count: q.outer,
          p_batches: p.batches,
          p_batch: pStride * (p.inner ? p.outer : 4 * steps),
          p_stride: pStride,
          p_first: p.inner ? window.step : 4 * window.step * pStride,
          q_batch: shared ? 0 : layout.batch,
          q_stride: layout.stride,
          q_tile: layout.tile,
          q_first: firstQ,
          q_last: Math.min(q.outer, firstQ + 4 * tileQ * window.tiles),
          k_steps: window.steps,
          first_batch: first + window.batch,
          add: epilogue.addTo || window.step > 0 ? 1 : 0,
          finish: window.step + window.steps === steps ? 1 : 0,
          alpha: epilogueAlpha(epilogue),
        },
        workgroups: [Math.ceil(p.outer / (tileP * LANES)), window.tiles, shared ? many : window.batches],
        flops: 8 * p.outer * Math.min(q.outer, 4 * tileQ * window.tiles) * window.steps *
          (shared ? many : window.batches),
      });
    }
  }
  if (pPacked) release(pPacked);
  if (qPacked) release(qPacked);
  return y!;
}
