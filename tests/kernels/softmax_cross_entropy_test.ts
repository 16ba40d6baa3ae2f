import * as tf from "@tensorflow/tfjs";
import type { TensorInfo } from "@tensorflow/tfjs";
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { register } from "../../kernels/mod.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { currentTraits, withPoisonedOutputs } from "../../kernels/runtime/program.ts";
import {
  chooseSoftmaxCrossEntropyTile,
  softmaxCrossEntropy,
  softmaxCrossEntropyForward,
  type SoftmaxCrossEntropyTile,
} from "../../kernels/softmax_cross_entropy/softmax_cross_entropy.ts";
import {
  SOFTMAX_CROSS_ENTROPY_CASES,
  SOFTMAX_CROSS_ENTROPY_TOLERANCE,
  type SoftmaxCrossEntropyCase,
} from "../../kernels/softmax_cross_entropy/softmax_cross_entropy_cases.ts";
import { softmaxCrossEntropyRef } from "../../kernels/softmax_cross_entropy/softmax_cross_entropy_ref.ts";
import { kernelLayers } from "../../models/layers_kernels.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { compare } from "../_compare.ts";
import { gradcheck } from "../_gradcheck.ts";
import { watchConstants } from "./_constants.ts";
import { watchLeaks } from "./_leaks.ts";

await initializeDevice();
const requireVaried = watchConstants("softmax_cross_entropy");
register();
// Else tfjs computes small tensors on the host, which then sees the labels that a test hides.
tf.env().set("WEBGPU_CPU_FORWARD", false);

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "softmaxCrossEntropy");

function draw({ rows, classes, weighted, ignored = 0, spread = 2 }: SoftmaxCrossEntropyCase) {
  const logits = Float32Array.from({ length: rows * classes }, () => random.normal(0, spread));
  const labels = Int32Array.from({ length: rows }, (_, m) => {
    return m > 0 && random.chance(ignored) ? -1 : random.integer(classes);
  });
  const weights = weighted ? Float32Array.from({ length: classes }, () => random.uniform(0, 2)) : undefined;
  const tensors = {
    logits: tf.tensor2d(logits, [rows, classes]),
    labels: tf.tensor1d(labels, "int32"),
    classWeights: weights && tf.tensor1d(weights),
  };
  return { logits, labels, weights, tensors };
}

async function read(info: TensorInfo): Promise<Float32Array> {
  const tensor = tf.engine().makeTensorFromTensorInfo(info);
  const values = await tensor.data<"float32">();
  tensor.dispose();
  return values;
}

async function check(lossCase: SoftmaxCrossEntropyCase, tile?: SoftmaxCrossEntropyTile): Promise<void> {
  const requireNoLeak = watchLeaks();
  const { logits, labels, weights, tensors } = draw(lossCase);
  const [loss, dlogits] = withPoisonedOutputs(() =>
    softmaxCrossEntropyForward(tensors.logits, tensors.labels, tensors.classWeights, lossCase, tile)
  );
  const expected = softmaxCrossEntropyRef(logits, labels, lossCase.classes, lossCase, weights);
  const label = `${lossCase.name}${tile ? ` ${JSON.stringify(tile)}` : ""} (seed ${seed})`;
  // A single class has loss and gradient 0: errors are of p's scale.
  const scale = lossCase.classes === 1 ? [1] : [];
  const tolerance = SOFTMAX_CROSS_ENTROPY_TOLERANCE;
  compare(
    `softmaxCrossEntropy ${label}`,
    [...await read(loss), ...scale],
    [expected.loss, ...scale],
    tolerance,
  );
  const gradient = [...await read(dlogits), ...scale];
  compare(`softmaxCrossEntropy dlogits ${label}`, gradient, [...expected.dlogits, ...scale], tolerance);
  labels.forEach((t, m) => {
    if (t !== -1) return;
    assert(gradient.slice(m * lossCase.classes, (m + 1) * lossCase.classes).every((d) => d === 0));
  });
  Object.values(tensors).forEach((tensor) => tensor?.dispose());
  requireNoLeak();
}

for (const lossCase of SOFTMAX_CROSS_ENTROPY_CASES) {
  Deno.test(`softmaxCrossEntropy: ${lossCase.name}`, () => check(lossCase));
}

Deno.test("softmaxCrossEntropy: every tile", async () => {
  const all = { weighted: true, labelSmoothing: 0.1, focalGamma: 2, ignored: 0.2 };
  const tiles: [number, number, number][] = [[1, 8, 1], [1, 3, 2], [2, 4, 3], [8, 1, 5], [4, 3, 1], [
    64,
    2,
    2,
  ]];
  for (const [i, [ROW_LANES, ROWS, batches]] of tiles.entries()) {
    const [rows, classes] = i % 2 === 0 ? [11, 7] : [13, 20];
    const tile = { ROW_LANES, ROWS, batches, SUMMED: i % 3 !== 0, sumLanes: i === 0 ? 1 : 8 };
    await check({ name: `[${rows}, ${classes}]`, rows, classes, ...all }, tile);
  }
});

Deno.test("softmaxCrossEntropy: one dispatch, but for more logits than a workgroup can read", async () => {
  assert(chooseSoftmaxCrossEntropyTile(32, 250).SUMMED && chooseSoftmaxCrossEntropyTile(288, 7).SUMMED);
  const rows = 200; // a software adapter's workgroup reads fewer than 40
  const classes = 4999; // 8631 in VGGFace2
  assert(!chooseSoftmaxCrossEntropyTile(rows, classes).SUMMED);
  await check({ name: `[${rows}, ${classes}]`, rows, classes });
  await check({ name: "one long row", rows: 1, classes: 20011 });
});

Deno.test({
  name: "softmaxCrossEntropy: a row that takes a software adapter's largest workgroup",
  ignore: !currentTraits().software,
  async fn() {
    const classes = 4_400_001;
    const [logits, labels] = [tf.zeros<tf.Rank.R2>([1, classes]), tf.tensor1d([0], "int32")];
    const [loss, dlogits] = withPoisonedOutputs(() =>
      softmaxCrossEntropyForward(logits, labels, undefined, {})
    );
    compare("loss of a very long row", await read(loss), [Math.log(classes)], 1e-6);
    const gradient = (await read(dlogits)).subarray(1);
    compare("dlogits of a very long row", gradient, new Float64Array(classes - 1).fill(1 / classes), 1e-5);
    tf.dispose([logits, labels]);
  },
});

Deno.test("softmaxCrossEntropy: a row of float32's least logits is one of equal ones", async () => {
  for (const classes of [5, 8]) {
    const logits = tf.fill<tf.Rank.R2>([1, classes], -(2 - 2 ** -23) * 2 ** 127);
    const labels = tf.tensor1d([3], "int32");
    const [loss, dlogits] = withPoisonedOutputs(() =>
      softmaxCrossEntropyForward(logits, labels, undefined, {})
    );
    compare(`loss of ${classes} least logits`, await read(loss), [Math.log(classes)], 1e-6);
    const wanted = Array.from({ length: classes }, (_, k) => 1 / classes - (k === 3 ? 1 : 0));
    compare(`dlogits of ${classes} least logits`, await read(dlogits), wanted, 1e-6);
    tf.dispose([logits, labels]);
  }
});

Deno.test("softmaxCrossEntropy: the reference's gradient passes gradcheck", () => {
  const [rows, classes] = [4, 5];
  const logits = Float64Array.from({ length: rows * classes }, () => random.normal());
  const labels = [2, -1, 0, 4];
  const weights = Float64Array.from({ length: classes }, () => random.uniform(0.1, 2));
  for (const labelSmoothing of [0, 0.2]) {
    for (const focalGamma of [0, 0.5, 2]) {
      const settings = { labelSmoothing, focalGamma };
      const loss = (z: Float64Array) => softmaxCrossEntropyRef(z, labels, classes, settings, weights).loss;
      const { dlogits } = softmaxCrossEntropyRef(logits, labels, classes, settings, weights);
      gradcheck(`softmaxCrossEntropy ${JSON.stringify(settings)} (seed ${seed})`, loss, logits, dlogits);
    }
  }
});

Deno.test("softmaxCrossEntropy: the reference has the values that the definition gives by hand", () => {
  const near = (actual: number, expected: number) => assertLess(Math.abs(actual - expected), 1e-12);
  const logits = [Math.log(1), Math.log(3), Math.log(2), Math.log(2)]; // p = 1/4, 3/4; 1/2, 1/2
  const [a, b, half] = [-Math.log(0.25), -Math.log(0.75), Math.LN2];
  near(softmaxCrossEntropyRef(logits, [1, 0], 2).loss, (b + half) / 2);
  near(softmaxCrossEntropyRef(logits, [1, -1], 2).loss, b);
  near(softmaxCrossEntropyRef(logits, [1, 0], 2, {}, [3, 5]).loss, (5 * b + 3 * half) / 8);
  // PyTorch: (1 - e) weighted mean + e / K sum of all weighted terms / sum of the labels' weights
  const smoothed = 0.9 * (5 * b + 3 * half) / 8 + 0.05 * (3 * a + 5 * b + 3 * half + 5 * half) / 8;
  near(softmaxCrossEntropyRef(logits, [1, 0], 2, { labelSmoothing: 0.1 }, [3, 5]).loss, smoothed);
  near(softmaxCrossEntropyRef(logits, [1, 0], 2, { focalGamma: 2 }).loss, (b / 16 + half / 4) / 2);
});

Deno.test("softmaxCrossEntropy: tf.grads through both layers, without leaking tensors", async () => {
  for (const lossCase of SOFTMAX_CROSS_ENTROPY_CASES.slice(2, 12)) {
    const requireNoLeak = watchLeaks();
    const { logits, labels, weights, tensors } = draw(lossCase);
    const { labelSmoothing, focalGamma } = lossCase;
    const options = { classWeights: tensors.classWeights, labelSmoothing, focalGamma };
    const expected = softmaxCrossEntropyRef(logits, labels, lossCase.classes, lossCase, weights);
    for (const layers of [kernelLayers, stockLayers]) {
      for (const factor of [1, -3]) {
        const { value, grad } = tf.valueAndGrad((z: tf.Tensor) => {
          const loss = layers.softmaxCrossEntropy(z as tf.Tensor2D, tensors.labels, options);
          return factor === 1 ? loss : loss.mul(factor);
        })(tensors.logits);
        const label = `${layers.name} ${lossCase.name} times ${factor} (seed ${seed})`;
        compare(`softmaxCrossEntropy ${label}`, await value.data(), [factor * expected.loss], 2e-5);
        const dlogits = expected.dlogits.map((d) => factor * d);
        compare(`softmaxCrossEntropy dlogits ${label}`, await grad.data(), dlogits, 2e-5);
        tf.dispose([value, grad]);
      }
    }
    softmaxCrossEntropy(tensors.logits, tensors.labels, options).dispose();
    Object.values(tensors).forEach((tensor) => tensor?.dispose());
    requireNoLeak();
  }
});

Deno.test("softmaxCrossEntropy: 0 where no row counts, NaN for a label that the host cannot see", async () => {
  const logits = tf.tensor2d([[1, NaN, 3], [0, Infinity, 2], [1, 2, 3]]);
  for (const layers of [kernelLayers, stockLayers]) {
    const run = async (logits: tf.Tensor2D, labels: tf.Tensor1D, classWeights?: tf.Tensor1D) => {
      const { value, grad } = tf.valueAndGrad((z: tf.Tensor) =>
        layers.softmaxCrossEntropy(z as tf.Tensor2D, labels, { classWeights })
      )(logits);
      const results = { loss: (await value.data())[0], dlogits: await grad.data<"float32">() };
      tf.dispose([value, grad, labels, classWeights ?? []]);
      return results;
    };
    const finite = logits.slice([2, 0]) as tf.Tensor2D; // [1, K]
    const ignored = await run(finite, tf.tensor1d([-1], "int32"));
    assertEquals(ignored.loss, 0);
    assert(ignored.dlogits.every((d) => d === 0));
    assertEquals((await run(finite, tf.tensor1d([1], "int32"), tf.tensor1d([1, 0, 1]))).loss, 0);
    for (const label of [3, -2]) {
      const hidden = tf.tidy(() =>
        tf.tensor1d([label - 1], "int32").add(tf.scalar(1, "int32"))
      ) as tf.Tensor1D;
      assert(Number.isNaN((await run(finite, hidden)).loss), `${layers.name}, label ${label}`);
    }
    finite.dispose();
  }
  // An ignored row's logits do not matter, whatever they are.
  const labels = tf.tensor1d([-1, -1, 2], "int32");
  const { value, grad } = tf.valueAndGrad((z: tf.Tensor) => softmaxCrossEntropy(z as tf.Tensor2D, labels))(
    logits,
  );
  const expected = softmaxCrossEntropyRef([1, 2, 3], [2], 3);
  compare("softmaxCrossEntropy beside NaN", await value.data(), [expected.loss], 1e-6);
  compare("dlogits beside NaN", await grad.data(), [0, 0, 0, 0, 0, 0, ...expected.dlogits], 1e-6);
  tf.dispose([logits, labels, value, grad]);
});

Deno.test("softmaxCrossEntropy: refuses what it cannot take", () => {
  tf.tidy(() => {
    const logits = tf.zeros<tf.Rank.R2>([2, 3]);
    const labels = (...values: number[]) => tf.tensor1d(values, "int32");
    for (const layers of [kernelLayers, stockLayers]) {
      const run = layers.softmaxCrossEntropy;
      assertThrows(
        () => run(logits, labels(0, 3)),
        RangeError,
        "label 1 is 3; expected -1 (ignored) or 0 to 2",
      );
      assertThrows(() => run(logits, labels(-2, 0)), RangeError, "label 0 is -2");
      assertThrows(() => run(logits, labels(0)), RangeError, "labels have shape [1] but logits have 2 rows");
      assertThrows(() => run(logits, tf.tensor1d([0, 1])), TypeError, "labels are float32");
      assertThrows(() => run(tf.zeros([2, 0]), labels(0, 0)), RangeError, "no empty dimension");
      const options = [{ labelSmoothing: 1.5 }, { focalGamma: -1 }, {
        classWeights: tf.ones<tf.Rank.R1>([2]),
      }];
      const messages = ["label smoothing is 1.5", "focal gamma is -1", "class weights have shape [2]"];
      options.forEach((option, i) =>
        assertThrows(() => run(logits, labels(0, 1), option), RangeError, messages[i])
      );
    }
  });
});

Deno.test("softmax cross entropy: the tests above vary every constant of the shaders", () =>
  requireVaried("softmax_cross_entropy_sum ROWS")); // all lanes are one row's
