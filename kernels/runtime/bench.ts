/**
 * What an op offers to `deno task bench`: cases that run ours and stock tfjs's side by side.
 *
 * A folder `kernels/OP/` exports its cases as a `BenchCase[]` from `OP_bench.ts`; `tasks/bench/cases.ts` lists them.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { foldWorkgroups, release, run } from "./program.ts";
import randomSource from "./random.wgsl" with { type: "text" };
import { sizeOf } from "./shapes.ts";
import type { ShaderFile } from "./wgsl.ts";

/** What a run returns: freed by the harness after it has been compared. */
export type BenchOutputs = TensorInfo | readonly TensorInfo[];

/** A case whose inputs are on the device. */
export interface BenchRun {
  /**
   * Ours, once. It runs in a `tf.tidy`, with our kernels in place of tfjs's. Gradients count if they are returned,
   * e.g. `tf.grads(f)([x, w])`.
   */
  ours(): BenchOutputs;
  /** The same with plain tfjs: it runs in a `tf.tidy`, with tfjs's own kernels in the place of ours. */
  stock(): BenchOutputs;
  /** greatest difference between the two, as a share of an output's largest magnitude */
  readonly tolerance: number;
  /**
   * Tensors that a run updates in place (an optimizer's weights): compared after one run each, like the outputs, but
   * not freed. Each side has its own, equal at the start.
   */
  readonly state?: { readonly ours: readonly TensorInfo[]; readonly stock: readonly TensorInfo[] };
  /**
   * `device` (default): the sum of the dispatches' times. `wall`: from the first command to the end of the last, with
   * the host's work; for whole training steps.
   */
  readonly clock?: "device" | "wall";
  /** frees the inputs and the state */
  dispose(): void;
}

/** One row of the bench. */
export interface BenchCase {
  /** e.g. `conv2d_fwd`: what `--ops` selects */
  readonly op: string;
  /** e.g. `resnet50 conv3 3x3`: what `--filter` looks in, together with the op */
  readonly name: string;
  /** of the paper's size: hours of a software adapter's time, so it is left out there unless it is asked for */
  readonly large?: boolean;
  /** floating-point operations of one run that any implementation must do */
  readonly flops?: number;
  /** bytes of one run that any implementation must move */
  readonly bytes?: number;
  /** makes the inputs, the same for both sides */
  setup(): BenchRun;
}

const RANDOM: ShaderFile = { file: "runtime/random.wgsl", source: randomSource };
const GROUP = 64;
/** Values above which a tensor is made on the device: bringing it there takes a second at the paper's size. */
const MANY = 1 << 20;

/** A float32 tensor of fresh random values, uniform in [-1, 1). */
export function randomTensor<R extends tf.Rank = tf.Rank>(shape: number[]): tf.Tensor<R> {
  const count = sizeOf(shape);
  if (count <= MANY) {
    const values = Float32Array.from({ length: count }, () => 2 * Math.random() - 1);
    return tf.tensor(values, shape as tf.ShapeMap[R]);
  }
  const workgroups = foldWorkgroups(Math.ceil(count / GROUP));
  const [info] = run({
    shader: RANDOM,
    inputs: [],
    outputs: [{ shape }],
    uniforms: { count, row: workgroups[0] * GROUP, seed: Math.floor(2 ** 32 * Math.random()) },
    workgroups,
  });
  return tf.engine().makeTensorFromTensorInfo(info) as tf.Tensor<R>;
}

/** Runs a body in a `tf.tidy`: what it makes on the way is freed, what it returns is the caller's. */
export function outputsOf(body: () => BenchOutputs): readonly TensorInfo[] {
  const outputs = tf.tidy(() => body() as unknown as tf.TensorContainer) as unknown as BenchOutputs;
  return Array.isArray(outputs) ? outputs : [outputs as TensorInfo];
}

/** Frees what {@link outputsOf} returned. */
export function freeOutputs(outputs: readonly TensorInfo[]): void {
  outputs.forEach((output) => output instanceof tf.Tensor ? output.dispose() : release(output));
}

/** An op on one tensor that keeps its shape. */
export interface ElementwiseBench extends Pick<BenchRun, "tolerance" | "clock"> {
  readonly op: string;
  readonly name: string;
  readonly shape: readonly number[];
  ours(x: tf.Tensor): tf.Tensor;
  stock(x: tf.Tensor): tf.Tensor;
}

/** Its row of the bench, forward and backward. */
export function elementwiseBench(
  { op, name, shape, ours, stock, tolerance, clock }: ElementwiseBench,
): BenchCase {
  return {
    op,
    name: `${name} [${shape}]`,
    bytes: 4 * 4 * tf.util.sizeFromShape([...shape]), // x, dy, y, dx
    setup() {
      const [x, dy] = [randomTensor([...shape]), randomTensor([...shape])];
      const both = (f: (x: tf.Tensor) => tf.Tensor) => {
        const { value, grad } = tf.valueAndGrad(f)(x, dy);
        return [value, grad];
      };
      return {
        ours: () => both(ours),
        stock: () => both(stock),
        tolerance,
        clock,
        dispose: () => tf.dispose([x, dy]),
      };
    },
  };
}
