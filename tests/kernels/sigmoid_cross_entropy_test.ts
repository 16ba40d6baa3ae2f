import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import {
  sigmoidCrossEntropy,
  sigmoidCrossEntropyBackward,
  sigmoidCrossEntropyForward,
} from "../../kernels/sigmoid_cross_entropy/sigmoid_cross_entropy.ts";
import {
  SIGMOID_CROSS_ENTROPY_CASES,
  SIGMOID_CROSS_ENTROPY_TOLERANCE,
  type SigmoidCrossEntropyCase,
} from "../../kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_cases.ts";
import { sigmoidCrossEntropyRef } from "../../kernels/sigmoid_cross_entropy/sigmoid_cross_entropy_ref.ts";
import { kernelLayers } from "../../models/layers_kernels.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { watchConstants } from "./_constants.ts";
import { watchLeaks } from "./_leaks.ts";

await initializeDevice();
const requireVaried = watchConstants("sigmoid_cross_entropy");
register();
// Else tfjs computes small tensors on the host, which then sees the labels that a test hides.
tf.env().set("WEBGPU_CPU_FORWARD", false);

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "sigmoidCrossEntropy");

function draw({ rows, classes, weighted, ignored = 0, spread = 2 }: SigmoidCrossEntropyCase) {
  const count = rows * classes;
  const logits = Float32Array.from({ length: count }, () => random.normal(0, spread));
  const labels = Int32Array.from({ length: count }, (_, i) => {
    return i > 0 && random.chance(ignored) ? -1 : random.integer(2);
  });
  const weights = Float32Array.from({ length: classes }, () => weighted ? random.uniform(0, 4) : 1);
  const tensors = {
    logits: tf.tensor2d(logits, [rows, classes]),
    labels: tf.tensor2d(labels, [rows, classes], "int32"),
    positiveWeights: weighted ? tf.tensor1d(weights) : undefined,
  };
  return { logits, labels, weights, tensors };
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

async function check(lossCase: SigmoidCrossEntropyCase, lanes?: number): Promise<void> {
  const requireNoLeak = watchLeaks();
  const { logits, labels, weights, tensors } = draw(lossCase);
  const factor = random.uniform(0.5, 2);
  const dloss = tf.scalar(factor);
  const [loss, dlogits, unscaled] = withPoisonedOutputs(() => {
    const [loss, inverse] = sigmoidCrossEntropyForward(tensors, lanes);
    const dlogits = sigmoidCrossEntropyBackward(tensors, inverse, dloss);
    const unscaled = sigmoidCrossEntropyBackward(tensors, inverse);
    tf.engine().makeTensorFromTensorInfo(inverse).dispose();
    return [loss, dlogits, unscaled];
  });
  const expected = sigmoidCrossEntropyRef(logits, labels, weights);
  const label = `${lossCase.name}${lanes ? ` ${lanes} lanes` : ""} (seed ${seed})`;
  const tolerance = SIGMOID_CROSS_ENTROPY_TOLERANCE;
  compare(`sigmoidCrossEntropy ${label}`, await read(loss), [expected.loss], tolerance);
  const gradient = await read(dlogits);
  compare(
    `sigmoidCrossEntropy dlogits ${label}`,
    gradient,
    expected.dlogits.map((d) => factor * d),
    tolerance,
  );
  compare(`sigmoidCrossEntropy dlogits of 1 ${label}`, await read(unscaled), expected.dlogits, tolerance);
  assert(gradient.every((d, i) => labels[i] !== -1 || d === 0), label);
  tf.dispose([dloss, tensors.logits, tensors.labels, tensors.positiveWeights ?? []]);
  requireNoLeak();
}

for (const lossCase of SIGMOID_CROSS_ENTROPY_CASES) {
  Deno.test(`sigmoidCrossEntropy: ${lossCase.name}`, () => check(lossCase));
}

Deno.test("sigmoidCrossEntropy: every workgroup", async () => {
  for (const lanes of [1, 3, 8, 64, 256]) {
    for (const classes of [5, 8]) {
      const name = `[17, ${classes}]`;
      await check({ name, rows: 17, classes, weighted: true, ignored: 0.2 }, lanes);
    }
  }
});

Deno.test("sigmoidCrossEntropy: the reference's gradient passes gradcheck", () => {
  const logits = Float64Array.from({ length: 12 }, () => random.normal());
  const labels = logits.map((_, i) => i % 3 - 1);
  const weights = [0.5, 2, 1.5, 3];
  const { dlogits } = sigmoidCrossEntropyRef(logits, labels, weights);
  const loss = (x: Float64Array) => sigmoidCrossEntropyRef(x, labels, weights).loss;
  gradcheck(`sigmoidCrossEntropy (seed ${seed})`, loss, logits, dlogits);
  // by hand: sigmoid(ln 3) = 3/4
  const byHand = (3 * -Math.log(0.75) - Math.log(0.25)) / 2;
  assertLess(
    Math.abs(sigmoidCrossEntropyRef([Math.log(3), Math.log(3), 9], [1, 0, -1], [3, 1, 1]).loss - byHand),
    1e-12,
  );
});

Deno.test("sigmoidCrossEntropy: tf.grads through both layers, without leaking tensors", async () => {
  for (const lossCase of SIGMOID_CROSS_ENTROPY_CASES) {
    const requireNoLeak = watchLeaks();
    const { logits, labels, weights, tensors } = draw(lossCase);
    const expected = sigmoidCrossEntropyRef(logits, labels, weights);
    for (const [layers, factor] of [[kernelLayers, 2], [kernelLayers, 1], [stockLayers, 2]] as const) {
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => {
        const loss = layers.sigmoidCrossEntropy(x as tf.Tensor2D, tensors.labels, tensors);
        return factor === 1 ? loss : loss.mul(factor); // 1: the gradient that tfjs begins with
      })(tensors.logits);
      const label = `${layers.name} times ${factor} ${lossCase.name} (seed ${seed})`;
      compare(`sigmoidCrossEntropy ${label}`, await value.data(), [factor * expected.loss], 2e-5);
      const dlogits = expected.dlogits.map((d) => factor * d);
      compare(`sigmoidCrossEntropy dlogits ${label}`, await grad.data(), dlogits, 2e-5);
      tf.dispose([value, grad]);
    }
    sigmoidCrossEntropy(tensors.logits, tensors.labels, tensors).dispose();
    tf.dispose([tensors.logits, tensors.labels, tensors.positiveWeights ?? []]);
    requireNoLeak();
  }
});

Deno.test("sigmoidCrossEntropy: 0 where nothing counts, NaN for a label that the host cannot see", async () => {
  const requireNoLeak = watchLeaks();
  const logits = tf.tensor2d([[1, -2]]);
  for (const layers of [kernelLayers, stockLayers]) {
    for (const [values, loss] of [[[-1, -1], 0], [[0, 2], NaN], [[-2, 1], NaN]] as const) {
      const labels = tf.tidy(() =>
        tf.tensor2d([[values[0] - 1, values[1] - 1]], [1, 2], "int32").add(tf.scalar(1, "int32"))
      ) as tf.Tensor2D;
      const { value, grad } = tf.valueAndGrad((x: tf.Tensor) =>
        layers.sigmoidCrossEntropy(x as tf.Tensor2D, labels)
      )(logits);
      assertEquals((await value.data())[0], loss, `${layers.name} [${values}]`);
      if (loss === 0) assert((await grad.data()).every((d) => d === 0), layers.name);
      tf.dispose([labels, value, grad]);
    }
  }
  logits.dispose();
  requireNoLeak();
});

Deno.test("sigmoidCrossEntropy: refuses what it cannot take", () => {
  tf.tidy(() => {
    const logits = tf.zeros<tf.Rank.R2>([2, 3]);
    const labels = tf.zeros<tf.Rank.R2>([2, 3], "int32");
    for (const { sigmoidCrossEntropy: run } of [kernelLayers, stockLayers]) {
      const seen = tf.tensor2d([0, 1, 2, 0, 0, 0], [2, 3], "int32");
      assertThrows(() => run(logits, seen), RangeError, "label 2 is 2; expected -1 (ignored) or 0 to 1");
      assertThrows(() => run(logits, tf.zeros([3, 2], "int32")), RangeError, "labels have shape [3,2]");
      assertThrows(() => run(logits, tf.zeros([2, 3])), TypeError, "labels are float32");
      assertThrows(() => run(tf.zeros([0, 3]), tf.zeros([0, 3], "int32")), RangeError, "no empty dimension");
      const positiveWeights = tf.ones<tf.Rank.R1>([2]);
      assertThrows(
        () => run(logits, labels, { positiveWeights }),
        RangeError,
        "positive weights have shape [2]",
      );
    }
  });
});

Deno.test("sigmoid cross entropy: the tests above vary every constant of the shaders", () =>
  requireVaried("sigmoid_cross_entropy_fwd ROWS")); // all lanes are one row's
