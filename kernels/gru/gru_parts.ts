/**
 * Clips of a gated recurrent unit in parts: how many fit at once, and the copies to and from parts, which unlike tfjs's
 * slice and concat bind nothing, so that the whole may be larger than what the adapter binds.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { backendInternals, release } from "../runtime/program.ts";
import type { NewKernel } from "../runtime/registry.ts";
import { sizeOf } from "../runtime/shapes.ts";
import { copyTensors, emptyTensor, type TensorCopy } from "../runtime/tensors.ts";
import { mostOperandBytes } from "../runtime/textures.ts";
import { dispatchableClips, type GruGeometry } from "./gru_tiles.ts";

const CUT = "FervidGruCut";
const JOIN = "FervidGruJoin";
const BYTES = 4; // of a float32

/** Frames of all clips whose largest tensor is still an operand that the adapter takes. */
function mostFrames({ depth, hidden, directions }: GruGeometry, limit: number): number {
  const columns = Math.max(4 * Math.ceil(depth / 4), 4 * hidden * directions); // of x as matmul pads it; of the gates
  return 4 * Math.floor(limit / (4 * BYTES * columns)); // which it pads too
}

/**
 * Clips of each part.
 *
 * @param clipsAtOnce most of one
 * @throws {RangeError} if a single clip is too long
 */
export function partSizes(geometry: GruGeometry, clipsAtOnce: number): number[] {
  const { clips, frames } = geometry;
  const limit = mostOperandBytes(backendInternals().device);
  const fit = mostFrames(geometry, limit);
  if (frames > fit) {
    throw new RangeError(
      `Cannot run gru: a clip of ${frames} frames; expected at most ${fit}, which take the ${limit} bytes of an operand ` +
        "on this adapter",
    );
  }
  const most = Math.min(clipsAtOnce, Math.floor(fit / frames));
  const sizes: number[] = [];
  for (let left = clips; left > 0; left -= sizes.at(-1)!) {
    sizes.push(dispatchableClips({ ...geometry, clips: Math.min(left, most) }));
  }
  return sizes;
}

/** The copies between a tensor and its parts along an axis. */
function copiesOf(
  whole: TensorInfo,
  parts: readonly TensorInfo[],
  axis: number,
  copy: (ofWhole: [TensorInfo, number], ofPart: [TensorInfo, number], size: number) => TensorCopy,
): TensorCopy[] {
  const outer = sizeOf(whole.shape.slice(0, axis));
  const row = BYTES * sizeOf(whole.shape.slice(axis));
  let begin = 0;
  return parts.flatMap((part) => {
    const size = BYTES * sizeOf(part.shape.slice(axis));
    const first = begin;
    begin += size;
    return Array.from({ length: outer }, (_, i) => copy([whole, i * row + first], [part, i * size], size));
  });
}

/** Records copies to new tensors, which are given back if they cannot be made. */
function copied(made: TensorInfo[], copies: readonly TensorCopy[]): TensorInfo[] {
  try {
    copyTensors(copies);
    return made;
  } catch (error) {
    made.forEach(release);
    throw error;
  }
}

function withSize(shape: readonly number[], axis: number, size: number): number[] {
  return shape.map((n, i) => i === axis ? size : n);
}

interface Attributes {
  readonly axis: number;
  /** of the parts, along the axis */
  readonly sizes: readonly number[];
}

function runKernel(name: string, inputs: unknown, attributes: Attributes): unknown {
  const attrs = attributes as unknown as tf.NamedAttrMap;
  return tf.engine().runKernel(name, inputs as tf.NamedTensorMap, attrs);
}

/** The kernels with their gradients, each other's, for tfjs's registry. */
export const GRU_PARTS_KERNELS: readonly NewKernel[] = [
  {
    name: CUT,
    run({ x }, attributes) {
      const { axis, sizes } = attributes as unknown as Attributes;
      const parts = sizes.map((size) => emptyTensor(withSize(x.shape, axis, size)));
      return copied(
        parts,
        copiesOf(
          x,
          parts,
          axis,
          ([from, fromOffset], [to, toOffset], size) => ({ from, fromOffset, to, toOffset, size }),
        ),
      );
    },
    gradient: {
      gradFunc: (dys, _, attributes) => ({
        x: () => runKernel(JOIN, dys, attributes as unknown as Attributes) as tf.Tensor,
      }),
    },
  },
  {
    name: JOIN,
    run(inputs, attributes) {
      const { axis, sizes } = attributes as unknown as Attributes;
      const parts = inputs as unknown as TensorInfo[];
      const all = sizes.reduce((sum, size) => sum + size, 0);
      const whole = emptyTensor(withSize(parts[0].shape, axis, all));
      return copied(
        [whole],
        copiesOf(
          whole,
          parts,
          axis,
          ([to, toOffset], [from, fromOffset], size) => ({ from, fromOffset, to, toOffset, size }),
        ),
      )[0];
    },
    gradient: {
      gradFunc(dy, _, attributes) {
        const { sizes } = attributes as unknown as Attributes;
        const parts = runKernel(CUT, { x: dy }, attributes as unknown as Attributes) as tf.Tensor[];
        return Object.fromEntries(sizes.map((_, i) => [String(i), () => parts[i]]));
      },
    },
  },
];

/** x in parts of so many along an axis; x itself if it is one. */
export function cut<T extends tf.Tensor>(x: T, axis: number, sizes: readonly number[]): T[] {
  return sizes.length === 1 ? [x] : runKernel(CUT, { x }, { axis, sizes }) as T[];
}

/** The reverse of {@link cut}. */
export function join<T extends tf.Tensor>(parts: readonly T[], axis: number): T {
  const sizes = parts.map(({ shape }) => shape[axis]);
  return parts.length === 1 ? parts[0] : runKernel(JOIN, parts, { axis, sizes }) as T;
}
