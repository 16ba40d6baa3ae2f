/**
 * Sigmoid cross-entropy, for action units: the loss in one dispatch, its gradient in another.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { elementShader } from "../runtime/elements.ts";
import { currentTraits, foldWorkgroups, run } from "../runtime/program.ts";
import type { KernelAttributes, KernelInputs, NewKernel } from "../runtime/registry.ts";
import { MAX_ITERATIONS, ROWS_INCLUDE } from "../runtime/rows.ts";
import { hostValues } from "../runtime/tensors.ts";
import { requireLabels } from "../softmax_cross_entropy/labels.ts";
import backwardSource from "./sigmoid_cross_entropy_bwd.wgsl" with { type: "text" };
import forwardSource from "./sigmoid_cross_entropy_fwd.wgsl" with { type: "text" };

const FORWARD = elementShader({
  file: "sigmoid_cross_entropy/sigmoid_cross_entropy_fwd.wgsl",
  source: forwardSource,
  includes: ROWS_INCLUDE,
});
const BACKWARD = elementShader({
  file: "sigmoid_cross_entropy/sigmoid_cross_entropy_bwd.wgsl",
  source: backwardSource,
});

const NAME = "FervidSigmoidCrossEntropy";
const BACKWARD_GROUP = 64;
/** Invocations of the workgroup that sums the loss, unless it would loop for too long. */
const LANES = { software: 8, gpu: 256 };

/** See {@link sigmoidCrossEntropy}. */
export interface SigmoidCrossEntropyOptions {
  /** [K], float32: of the entries with label 1; default 1 each */
  readonly positiveWeights?: tf.Tensor1D;
}

type Inputs = Record<"logits" | "labels", TensorInfo> & { readonly positiveWeights?: TensorInfo };

function divide({ logits }: Inputs, elements: typeof FORWARD) {
  const [rows, classes] = logits.shape;
  const { shader, width } = elements.forRow(classes);
  return { shader, count: rows * classes / width, columns: classes / width };
}

function chooseLanes(count: number): number {
  const most = currentTraits().software && count <= LANES.software * MAX_ITERATIONS
    ? LANES.software
    : LANES.gpu;
  if (currentTraits().software && count > most * MAX_ITERATIONS) {
    throw new RangeError(
      `Cannot run sigmoidCrossEntropy: logits have ${count} elements; a software adapter takes ${
        most * MAX_ITERATIONS
      }`,
    );
  }
  return most;
}

/** logits, labels [M, K], positiveWeights [K] -> loss [], and 1 / the number of counted entries [] */
export function sigmoidCrossEntropyForward(
  inputs: Inputs,
  lanes?: number,
): [loss: TensorInfo, inverse: TensorInfo] {
  const { logits, labels, positiveWeights } = inputs;
  const { shader, count, columns } = divide(inputs, FORWARD);
  const [loss, inverse] = run({
    shader,
    constants: { ROW_LANES: lanes ?? chooseLanes(count), ROWS: 1, WEIGHTED: positiveWeights !== undefined },
    inputs: [logits, labels, positiveWeights ?? logits],
    outputs: [{ shape: [] }, { shape: [] }],
    uniforms: { count, columns, nan: { f32: NaN } },
    workgroups: [1],
  });
  return [loss, inverse];
}

/** The inputs and the second output of forward, and dloss [], 1 if there is none -> dlogits [M, K] */
export function sigmoidCrossEntropyBackward(
  inputs: Inputs,
  inverse: TensorInfo,
  dloss?: TensorInfo,
): TensorInfo {
  const { logits, labels, positiveWeights } = inputs;
  const { shader, count, columns } = divide(inputs, BACKWARD);
  const workgroups = foldWorkgroups(Math.ceil(count / BACKWARD_GROUP));
  const [dlogits] = run({
    shader,
    constants: { WEIGHTED: positiveWeights !== undefined, UNIT: dloss === undefined },
    inputs: [logits, labels, positiveWeights ?? logits, inverse, dloss ?? inverse],
    outputs: [{ shape: logits.shape }],
    uniforms: { count, columns, row: workgroups[0] * BACKWARD_GROUP },
    workgroups,
  });
  return dlogits;
}

/** What tfjs's registry hands over: it saves no optional inputs, so without weights the labels stand in their place. */
function withOptionalWeights(
  { logits, labels, weights }: KernelInputs,
  { weighted }: KernelAttributes,
): Inputs {
  return weighted ? { logits, labels, positiveWeights: weights } : { logits, labels };
}

/** The cross-entropy with its gradient, for tfjs's registry. */
export const SIGMOID_CROSS_ENTROPY_KERNELS: readonly NewKernel[] = [
  {
    name: NAME,
    run: (inputs, attributes) => sigmoidCrossEntropyForward(withOptionalWeights(inputs, attributes)),
    gradient: {
      inputsToSave: ["logits", "labels", "weights"],
      outputsToSave: [false, true],
      gradFunc(dys, [logits, labels, weights, inverse], attributes) {
        // The loss is most often the last op, whose gradient is 1, a value of the host's.
        const dloss = (dys as tf.Tensor[])[0];
        const unit = hostValues(dloss)?.[0] === 1;
        const inputs = { logits, labels, weights, inverse, dloss: unit ? inverse : dloss };
        const none = () => {
          throw new Error(
            "Cannot differentiate sigmoidCrossEntropy with respect to its labels and positive weights",
          );
        };
        return {
          logits: () =>
            tf.engine().runKernel(
              `${NAME}Grad`,
              inputs as unknown as tf.NamedTensorMap,
              { ...attributes, unit },
            ) as tf.Tensor,
          labels: none,
          weights: none,
        };
      },
    },
  },
  {
    name: `${NAME}Grad`,
    run: (inputs, attributes) =>
      sigmoidCrossEntropyBackward(
        withOptionalWeights(inputs, attributes),
        inputs.inverse,
        attributes.unit ? undefined : inputs.dloss,
      ),
  },
];

/**
 * Mean binary cross-entropy over the entries whose label is not -1, as PyTorch's BCEWithLogitsLoss with pos_weight v
 * defines it: - v y log sigmoid(x) - (1 - y) log(1 - sigmoid(x)), divided by the number of those entries. Without one,
 * loss and gradient are 0. Labels that the host cannot see and that are none of 0, 1 and -1 make the loss NaN.
 *
 * @param logits [M, K], float32
 * @param labels [M, K], int32
 * @returns a scalar
 * @throws {RangeError} for other shapes, and for a label that the host sees to be none of 0, 1 and -1
 * @throws {TypeError} for other types
 */
export function sigmoidCrossEntropy(
  logits: tf.Tensor2D,
  labels: tf.Tensor2D,
  options: SigmoidCrossEntropyOptions = {},
): tf.Scalar {
  requireSigmoidCrossEntropy(logits, labels, options);
  const { positiveWeights } = options;
  const inputs = { logits, labels, weights: positiveWeights ?? labels };
  // Without a tape nothing else frees the second output.
  return tf.tidy(() =>
    (tf.engine().runKernel(NAME, inputs as unknown as tf.NamedTensorMap, {
      weighted: positiveWeights !== undefined,
    }) as tf.Tensor[])[0] as tf.Scalar
  );
}

/** Throws as {@link sigmoidCrossEntropy} does. */
export function requireSigmoidCrossEntropy(
  logits: tf.Tensor,
  labels: tf.Tensor,
  { positiveWeights }: SigmoidCrossEntropyOptions,
): void {
  const refuse = (what: string, expected: string) => {
    throw new RangeError(`Cannot run sigmoidCrossEntropy: ${what}; expected ${expected}`);
  };
  const [rows, classes] = logits.shape;
  if (logits.rank !== 2 || logits.size === 0) {
    refuse(`logits have shape [${logits.shape}]`, "[M, K] and no empty dimension");
  }
  if (labels.rank !== 2 || labels.shape[0] !== rows || labels.shape[1] !== classes) {
    refuse(`labels have shape [${labels.shape}] but logits [${logits.shape}]`, `[${logits.shape}]`);
  }
  if (positiveWeights && (positiveWeights.rank !== 1 || positiveWeights.size !== classes)) {
    refuse(
      `positive weights have shape [${positiveWeights.shape}] but logits have ${classes} columns`,
      `[${classes}]`,
    );
  }
  for (const [name, tensor] of Object.entries({ logits, "positive weights": positiveWeights })) {
    if (tensor && tensor.dtype !== "float32") {
      throw new TypeError(`Cannot run sigmoidCrossEntropy: ${name} are ${tensor.dtype}; expected float32`);
    }
  }
  requireLabels("sigmoidCrossEntropy", labels, 2);
}
