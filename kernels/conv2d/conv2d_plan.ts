/**
 * How a pass of a convolution is divided: its variant, the images of a dispatch, the ranges of a sum.
 *
 * @module
 */
import type { TensorInfo } from "@tensorflow/tfjs";
import type { Output } from "../runtime/dispatch.ts";
import type { Own } from "../runtime/intermediates.ts";
import { backendInternals, currentTraits, foldWorkgroups, run } from "../runtime/program.ts";
import { COUNTED_ITERATIONS } from "../runtime/rows.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { mostOperandBytes } from "../runtime/textures.ts";
import { variantFor } from "../runtime/tuner.ts";
import { type Conv2dGeometry, divideImages, type ImageRange } from "./conv2d_geometry.ts";
import { leastFilterSplit, sumIterations, tiledIterations } from "./conv2d_loops.ts";
import type { Conv2dEpilogue } from "./conv2d_operands.ts";
import { SUM_PARTS } from "./conv2d_shaders.ts";
import {
  CONV2D_OPS,
  type Conv2dPass,
  type Conv2dVariant,
  defaultVariant,
  sizesOf,
} from "./conv2d_variants.ts";

/** Settings for tests and benches; by default the adapter decides. */
export interface Conv2dOptions {
  readonly variant?: Conv2dVariant;
  /** bytes of a buffer that are bound at once */
  readonly bindingBytes?: number;
}

/** What runs. */
export interface Conv2dPlan {
  readonly variant: Conv2dVariant;
  /** images of each dispatch */
  readonly parts: readonly ImageRange[];
  /** ranges of the sum that are made apart and then added */
  readonly split: number;
}

/** Iterations of the longest invocation; dFilter's are divided to fit. */
function iterationsOf(
  pass: Conv2dPass,
  g: Conv2dGeometry,
  { kind, constants }: Conv2dVariant,
  split: number,
) {
  if (pass === "backwardFilter") return 0;
  return kind === "workgroup"
    ? tiledIterations(pass, g, constants.BLOCK_D as number, split)
    : sumIterations(pass, g);
}

/** Ranges of the sum; where images are made in parts, or with an epilogue, what adds ranges would not do. */
function splitOf(
  pass: Conv2dPass,
  g: Conv2dGeometry,
  variant: Conv2dVariant,
  parts: readonly ImageRange[],
  { bias, residual, activation = "linear" }: Conv2dEpilogue,
): number {
  const { split = 1 } = variant;
  if (pass === "backwardFilter") {
    return Math.max(split, leastFilterSplit(variant, parts[0].images * g.outHeight * g.outWidth));
  }
  return parts.length === 1 && !bias && !residual && activation === "linear" ? split : 1;
}

/**
 * The plan of a pass.
 *
 * @throws {RangeError} for images too large to bind, and for sums too long for the loops of a software adapter
 */
export function planOf(
  pass: Conv2dPass,
  geometry: Conv2dGeometry,
  options: Conv2dOptions,
  epilogue: Conv2dEpilogue = {},
): Conv2dPlan {
  const traits = currentTraits();
  const parts = divideImages(geometry, options.bindingBytes ?? mostOperandBytes(backendInternals().device));
  const plan = (variant: Conv2dVariant) => {
    const split = splitOf(pass, geometry, variant, parts, epilogue);
    const fits = !traits.software || iterationsOf(pass, geometry, variant, split) <= COUNTED_ITERATIONS;
    return { variant, parts, split, fits };
  };
  const shipped = () => defaultVariant(pass, geometry, traits);
  // A tuned variant is that of another shape of the class.
  let chosen = plan(options.variant ?? variantFor(CONV2D_OPS[pass], sizesOf(geometry), shipped));
  if (!chosen.fits) chosen = plan(shipped());
  if (chosen.fits) return chosen;
  const { filterHeight, filterWidth, channels, outChannels } = geometry;
  throw new RangeError(
    `Cannot run conv2d: a filter of shape [${filterHeight},${filterWidth},${channels},${outChannels}] takes more than ` +
      `the ${COUNTED_ITERATIONS} iterations that an invocation makes on a software adapter; expected a smaller one, or no ` +
      "epilogue and fewer images",
  );
}

/** Rows and vec4s of columns that one workgroup computes. */
export function blockOf({ kind, constants }: Conv2dVariant): [number, number] {
  const { TILE_M, TILE_N, BLOCK_M, BLOCK_N, LANES } = constants as Record<string, number>;
  return kind === "workgroup" ? [BLOCK_M, BLOCK_N] : [TILE_M * LANES, TILE_N];
}

/** Workgroups of dFilter for one chunk of pixels. */
export function filterWorkgroups({ kind, constants }: Conv2dVariant, g: Conv2dGeometry) {
  const { TILE_C, TILE_K, BLOCK_C, BLOCK_K, LANES } = constants as Record<string, number>;
  const taps = g.filterHeight * g.filterWidth;
  const channels = Math.ceil(g.channels / 4);
  const columnTiles = Math.ceil(g.outChannels / (4 * (kind === "workgroup" ? BLOCK_K : TILE_K)));
  const tiles = taps * Math.ceil(channels / TILE_C);
  const rowTiles = {
    subgroup: Math.ceil(tiles / LANES),
    subgroup_pixels: tiles,
    workgroup: Math.ceil(taps * channels / BLOCK_C),
  };
  return { columnTiles, workgroups: foldWorkgroups(rowTiles[kind] * columnTiles) };
}

/** Parts, elements of a workgroup, and invocations that share an element's parts, the most parts first. */
const SUM_TILES = [[32, 16, 16], [8, 32, 4], [0, 64, 1]] as const;

/** parts [P, ..shape] -> their sum, in order */
export function sumParts(parts: TensorInfo, output: Output): TensorInfo {
  const length = sizeOf(parts.shape.slice(1)) / 4;
  const [, GROUP, LANES] = SUM_TILES.find(([least]) => parts.shape[0] >= least)!;
  const [sum] = run({
    shader: SUM_PARTS,
    constants: { GROUP, LANES },
    inputs: [parts],
    outputs: [output],
    uniforms: { parts: parts.shape[0], length },
    workgroups: foldWorkgroups(Math.ceil(length / GROUP)),
  });
  return sum;
}

/**
 * What `make` makes where one dispatch does, else the sum of the ranges that it makes.
 *
 * @param shape of the sum, a multiple of 4 channels
 */
export function summed(
  split: number,
  shape: readonly number[],
  output: Output,
  own: Own,
  make: (output: Output) => TensorInfo,
): TensorInfo {
  return split === 1 ? make(output) : sumParts(own(make({ shape: [split, ...shape] })), output);
}
