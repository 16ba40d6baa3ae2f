/**
 * Softmax cross-entropy: the loss and its gradient in one dispatch; in two where one workgroup cannot read all logits.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { currentTraits, release, run } from "../runtime/program.ts";
import { hostValues } from "../runtime/tensors.ts";
import type { NewKernel } from "../runtime/registry.ts";
import { chooseRowTile, MAX_ITERATIONS, ROWS_INCLUDE, type RowTile } from "../runtime/rows.ts";
import type { ShaderFile } from "../runtime/wgsl.ts";
import { requireLabels } from "./labels.ts";
import source from "./softmax_cross_entropy.wgsl" with { type: "text" };
import sumSource from "./softmax_cross_entropy_sum.wgsl" with { type: "text" };

const SHADER = elementShader({
  file: "softmax_cross_entropy/softmax_cross_entropy.wgsl",
  source,
  includes: ROWS_INCLUDE,
});

const SUM: ShaderFile = {
  file: "softmax_cross_entropy/softmax_cross_entropy_sum.wgsl",
  source: sumSource,
  includes: ROWS_INCLUDE,
};

const NAME = "FervidSoftmaxCrossEntropy";
const SUM_LANES = 64;
/** Of an invocation over its row: for its sums, for its gradient. */
const ROW_LOOPS = 2;
/** Workgroups that make the gradient, unless each would loop for too long; each adds up the weights of all labels. */
const GROUPS = { software: 16, gpu: 1024 };

/** How the cross-entropy weighs classes, targets and rows. */
export interface SoftmaxCrossEntropySettings {
  /** share e of the target that is spread evenly over all classes, in [0, 1]; default 0 */
  readonly labelSmoothing?: number;
  /** exponent of the focal factor (1 - p[label])^gamma of a row's loss, at least 0; default 0 = none */
  readonly focalGamma?: number;
}

/** See {@link softmaxCrossEntropy}. */
export interface SoftmaxCrossEntropyOptions extends SoftmaxCrossEntropySettings {
  /** [K], float32, at least 0; default 1 each */
  readonly classWeights?: tf.Tensor1D;
}

/** How the work is divided; see the shader. */
export interface SoftmaxCrossEntropyTile extends RowTile {
  /** times ROWS: rows of a workgroup */
  readonly batches: number;
  /** one dispatch, in which one workgroup sums the loss over all rows */
  readonly SUMMED: boolean;
  /** else invocations of the workgroup that sums it in another */
  readonly sumLanes: number;
}

/** The tile for logits [M, K], K counted in elements. */
export function chooseSoftmaxCrossEntropyTile(rows: number, columns: number): SoftmaxCrossEntropyTile {
  const tile = chooseRowTile("softmaxCrossEntropy", columns, ROW_LOOPS);
  const { ROW_LANES, ROWS } = tile;
  const loops = 2 + ROW_LOOPS * Math.ceil(columns / ROW_LANES);
  const groups = currentTraits().software ? GROUPS.software : GROUPS.gpu;
  if (currentTraits().software && rows > 2 * MAX_ITERATIONS * ROW_LANES * ROWS) {
    throw new RangeError(
      `Cannot run softmaxCrossEntropy: logits have ${rows} rows; a software adapter takes ${
        2 * MAX_ITERATIONS * ROW_LANES * ROWS
      }`,
    );
  }
  const longest = Math.max(1, Math.floor(MAX_ITERATIONS / loops));
  const batches = Math.min(longest, Math.ceil(rows / (ROWS * groups)));
  return { ...tile, batches, SUMMED: Math.ceil(rows / ROWS) <= longest, sumLanes: SUM_LANES };
}

/** logits [M, K], labels int32 [M], classWeights [K] -> loss [], dlogits [M, K] */
export function softmaxCrossEntropyForward(
  logits: TensorInfo,
  labels: TensorInfo,
  classWeights: TensorInfo | undefined,
  { labelSmoothing = 0, focalGamma = 0 }: SoftmaxCrossEntropySettings,
  tile?: SoftmaxCrossEntropyTile,
): [loss: TensorInfo, dlogits: TensorInfo] {
  const [rows, classes] = logits.shape;
  const { shader, width } = SHADER.forRow(classes);
  const columns = classes / width;
  const { batches, sumLanes, ...constants } = tile ?? chooseSoftmaxCrossEntropyTile(rows, columns);
  const groups = Math.ceil(rows / (constants.ROWS * batches));
  const [loss, dlogits] = run({
    shader,
    constants: {
      ...constants,
      WEIGHTED: classWeights !== undefined,
      SMOOTHED: labelSmoothing !== 0,
      FOCAL: focalGamma !== 0,
    },
    inputs: [logits, labels, classWeights ?? logits],
    outputs: [{ shape: constants.SUMMED ? [] : [rows] }, { shape: [rows, classes] }],
    uniforms: {
      rows,
      columns,
      batches,
      smoothing: { f32: labelSmoothing },
      gamma: { f32: focalGamma },
      nan: { f32: NaN },
    },
    workgroups: [constants.SUMMED ? 1 + groups : groups],
  });
  if (constants.SUMMED) return [loss, dlogits];
  const [sum] = run({
    shader: SUM,
    constants: { ROW_LANES: sumLanes, ROWS: 1 },
    inputs: [loss],
    outputs: [{ shape: [] }],
    uniforms: { rows },
    workgroups: [1],
  });
  release(loss);
  return [sum, dlogits];
}

/** The cross-entropy with its gradient, for tfjs's registry. */
export const SOFTMAX_CROSS_ENTROPY_KERNELS: readonly NewKernel[] = [{
  name: NAME,
  run: ({ logits, labels, classWeights }, settings) =>
    softmaxCrossEntropyForward(logits, labels, classWeights, settings as SoftmaxCrossEntropySettings),
  gradient: {
    outputsToSave: [false, true],
    gradFunc(dys, [dlogits]) {
      const dloss = (dys as tf.Tensor[])[0];
      const none = () => {
        throw new Error(
          "Cannot differentiate softmaxCrossEntropy with respect to its labels and class weights",
        );
      };
      return {
        // The loss is most often the last op: nothing to multiply.
        logits: () => hostValues(dloss)?.[0] === 1 ? dlogits.clone() : dlogits.mul(dloss),
        labels: none,
        classWeights: none,
      };
    },
  },
}];

/**
 * Mean cross-entropy over the rows whose label is not -1, as PyTorch's CrossEntropyLoss with class weights w and label
 * smoothing e defines it, times the focal factor (Lin et al. 2017, arXiv 1708.02002, section 3) where there is one:
 *
 * sum over rows of (1 - p[t])^gamma ((1 - e) w[t] (-log p[t]) + e / K sum over k of w[k] (-log p[k])) / sum of w[t]
 *
 * where t is the row's label and p the softmax of its logits. Without a counted row that has a weight, the loss and its
 * gradient are 0 (PyTorch: NaN). Labels that the host cannot see and that are no class make the loss NaN.
 *
 * @param logits [M, K], float32
 * @param labels [M], int32, -1 = ignored
 * @returns a scalar
 * @throws {RangeError} for shapes and settings other than these, and for a label that the host sees to be no class
 * @throws {TypeError} for other types
 */
export function softmaxCrossEntropy(
  logits: tf.Tensor2D,
  labels: tf.Tensor1D,
  options: SoftmaxCrossEntropyOptions = {},
): tf.Scalar {
  requireSoftmaxCrossEntropy(logits, labels, options);
  const { classWeights, labelSmoothing = 0, focalGamma = 0 } = options;
  const inputs = { logits, labels, ...(classWeights ? { classWeights } : {}) };
  // Without a tape nothing else frees the gradient.
  return tf.tidy(() =>
    (tf.engine().runKernel(NAME, inputs as unknown as tf.NamedTensorMap, {
      labelSmoothing,
      focalGamma,
    }) as tf.Tensor[])[0] as tf.Scalar
  );
}

/** Throws as {@link softmaxCrossEntropy} does. */
export function requireSoftmaxCrossEntropy(
  logits: tf.Tensor,
  labels: tf.Tensor,
  { classWeights, labelSmoothing = 0, focalGamma = 0 }: SoftmaxCrossEntropyOptions,
): void {
  const refuse = (what: string, expected: string) => {
    throw new RangeError(`Cannot run softmaxCrossEntropy: ${what}; expected ${expected}`);
  };
  const [rows, classes] = logits.shape;
  if (logits.rank !== 2 || logits.size === 0) {
    refuse(`logits have shape [${logits.shape}]`, "[M, K] and no empty dimension");
  }
  if (labels.rank !== 1 || labels.size !== rows) {
    refuse(`labels have shape [${labels.shape}] but logits have ${rows} rows`, `[${rows}]`);
  }
  if (classWeights && (classWeights.rank !== 1 || classWeights.size !== classes)) {
    refuse(
      `class weights have shape [${classWeights.shape}] but logits have ${classes} columns`,
      `[${classes}]`,
    );
  }
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    refuse(`label smoothing is ${labelSmoothing}`, "0 to 1");
  }
  if (!(focalGamma >= 0 && focalGamma < Infinity)) refuse(`focal gamma is ${focalGamma}`, "at least 0");
  for (const [name, tensor] of Object.entries({ logits, "class weights": classWeights })) {
    if (tensor && tensor.dtype !== "float32") {
      throw new TypeError(`Cannot run softmaxCrossEntropy: ${name} are ${tensor.dtype}; expected float32`);
    }
  }
  requireLabels("softmaxCrossEntropy", labels, classes);
}
