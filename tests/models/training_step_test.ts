import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { RandomStream } from "../../data/random.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { backendInternals, submit } from "../../kernels/runtime/program.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import type { LaunchValue } from "../../kernels/mod.ts";
import { defaultLayers } from "../../models/layers_default.ts";
import {
  type Architecture,
  architectureFor,
  createNetwork,
  type FrameNetwork,
  isBackboneParameter,
  type Network,
  type NetworkName,
  TemporalNetwork,
} from "../../models/networks.ts";
import { Sgd, type SgdOptions } from "../../models/optimizer.ts";
import { Parameters, uniform } from "../../models/parameters.ts";
import type { HostTensor } from "../../models/weights/safetensors.ts";
import { type Inputs, tensorsOf, TrainingStep } from "../../models/training_step.ts";
import { kindsFrom, type StepKind, watchStep } from "./_launches.ts";

await initializeDevice();

const seed = Math.floor(Math.random() * 2 ** 31); // fresh inputs each time; printed when a case fails
const random = new RandomStream(seed, "training step");

const CLASSES = 7;
const CLIPS = 3;
const FRAMES = 5;
type Names = "x" | "labels";
type TensorData = HostTensor["data"] | Float32Array;

interface Setup {
  readonly network: Network;
  readonly optimizer: Sgd;
  loss(inputs: Inputs<Names>, step: number | LaunchValue): tf.Scalar;
  dispose(): void;
}

/** A network with its optimizer; without a backbone a temporal one has features as its input. */
function setUp(
  name: NetworkName,
  options: SgdOptions,
  backbone = true,
  graph?: Architecture["graph"],
): Setup {
  const architecture = { ...architectureFor(name, "tiny", CLASSES), network: name, graph } as Architecture;
  const network = createNetwork(architecture, 1);
  const accepted = backbone ? undefined : (parameter: string) => !isBackboneParameter(parameter);
  const optimizer = new Sgd(network.parameters, options, accepted);
  return {
    network,
    optimizer,
    loss({ x, labels }, step) {
      const logits = network instanceof TemporalNetwork
        ? network.logits(
          backbone
            ? network.backbone.features(x as tf.Tensor4D, { training: true }).reshape([CLIPS, FRAMES, -1])
            : x as tf.Tensor3D,
          step,
        ).reshape<tf.Tensor2D>([CLIPS * FRAMES, -1])
        : (network as FrameNetwork).logits(x as tf.Tensor4D, { training: true });
      return defaultLayers.softmaxCrossEntropy(logits, labels as tf.Tensor1D);
    },
    dispose() {
      optimizer.dispose();
      network.dispose();
    },
  };
}

/** A batch of images, or of features for a temporal network without its backbone. */
function draw({ network }: Setup, backbone = true, images = 4) {
  const temporal = network instanceof TemporalNetwork;
  const rows = temporal ? CLIPS * FRAMES : images;
  const { size } = network.architecture;
  const shape = temporal && !backbone
    ? [CLIPS, FRAMES, network.backbone.featureWidth]
    : [rows, size, size, 3];
  const count = shape.reduce((product, n) => product * n, 1);
  return {
    x: { values: Float32Array.from({ length: count }, () => random.uniform(-1, 1)), shape },
    labels: {
      values: Int32Array.from({ length: rows }, () => random.integer(CLASSES + 1) - 1),
      shape: [rows],
    },
  };
}

type Drawn = ReturnType<typeof draw>;

/** A step of {@link Sgd} alone. */
function eagerStep({ optimizer, loss }: Setup, { x, labels }: Drawn, step: number, rate: number): tf.Scalar {
  return optimizer.step(
    () => loss({ x: tf.tensor(x.values, x.shape), labels: tf.tensor1d(labels.values, "int32") }, step),
    rate,
  );
}

async function lossOf(loss: tf.Scalar): Promise<number> {
  const [value] = await loss.data();
  loss.dispose();
  return value;
}

/** Takes buffers of the sizes that a step has, and fills them. */
function disturb(shape: number[]): void {
  tf.tidy(() => {
    for (let i = 0; i < 10; i++) tf.fill(shape, 0.5 + i).square();
  });
  submit();
}

/** Names the first difference: to print thousands of values takes gigabytes. */
function assertSame(name: string, given: TensorData, wanted: TensorData): void {
  const [values, expected] = [given, wanted] as ArrayLike<number>[];
  const at = Array.from(values).findIndex((value, i) => !Object.is(value, expected[i]));
  assertEquals(at < 0 ? [] : [at, values[at]], at < 0 ? [] : [at, expected[at]], `${name} (seed ${seed})`);
  assertEquals(values.length, expected.length, name);
}

async function assertSameWeights(name: string, a: Setup, b: Setup): Promise<void> {
  const [ours, theirs] = [await a.network.parameters.toHost(), await b.network.parameters.toHost()];
  for (const [parameter, { data }] of ours) {
    assertSame(`${name} ${parameter}`, theirs.get(parameter)!.data, data);
  }
  const momenta = [await a.optimizer.toHost(), await b.optimizer.toHost()];
  for (const [parameter, { data }] of momenta[0]) {
    assertSame(`${name} velocity of ${parameter}`, momenta[1].get(parameter)!.data, data);
  }
}

const CASES: readonly [NetworkName, boolean, SgdOptions, Architecture["graph"]?][] = [
  ["cnn", true, { momentum: 0.9, weightDecay: 1e-3 }],
  ["cnn", true, { momentum: 0.9, weightDecay: 1e-3 }, "torchvision"],
  ["vgg", true, { momentum: 0.9, weightDecay: 1e-3, clipNorm: 1 }],
  ["rnn", false, { momentum: 0.5, weightDecay: 0, clipNorm: 0.1 }],
  ["transformer", false, { momentum: 0.9, weightDecay: 1e-3 }],
  ["transformer", true, { momentum: 0.9, weightDecay: 1e-3 }],
];

for (const [name, backbone, options, graph] of CASES) {
  const title = `${name}${backbone ? "" : " on features"}${graph ? `, ${graph}` : ""}`;
  Deno.test(`captured steps have the bits of single ones: ${title}`, async () => {
    const [a, b] = [0, 1].map(() => setUp(name, options, backbone, graph));
    const trained = new TrainingStep(b.network.parameters, b.optimizer, b.loss);
    const kinds: StepKind[] = [];
    for (let step = 0; step < 5; step++) {
      const batch = draw(a, backbone);
      const rate = 0.01 * (1 + step % 3);
      const expected = await lossOf(eagerStep(a, batch, 10 + step, rate));
      const { value, kind } = watchStep(() => trained.run(batch, 10 + step, rate));
      kinds.push(kind);
      disturb(batch.x.shape);
      assertEquals(await lossOf(value), expected, `${title}, step ${step} (seed ${seed})`);
    }
    assertEquals(kinds, kindsFrom("single", 5), title);
    await assertSameWeights(title, a, b);
    trained.release();
    [a, b].forEach((setup) => setup.dispose());
  });
}

Deno.test("captured steps: another shape, weights assigned, weights held by another, memory given back", async () => {
  const options = { momentum: 0.9, weightDecay: 0 };
  const [a, b] = [setUp("rnn", options, false), setUp("rnn", options, false)];
  const trained = new TrainingStep(b.network.parameters, b.optimizer, b.loss);
  let step = 0;
  const both = async (times: number, first: StepKind) => {
    const kinds: StepKind[] = [];
    for (let i = 0; i < times; i++, step++) {
      const batch = draw(a, false);
      const expected = await lossOf(eagerStep(a, batch, step, 0.05));
      const { value, kind } = watchStep(() => trained.run(batch, step, 0.05));
      kinds.push(kind);
      assertEquals(await lossOf(value), expected, `step ${step} (seed ${seed})`);
    }
    assertEquals(kinds, kindsFrom(first, times));
  };
  await both(3, "single");
  const { name } = a.network.parameters.trainable((parameter) => !isBackboneParameter(parameter))[0];
  for (const { network } of [a, b]) {
    const weights = network.parameters.get(name);
    tf.tidy(() => weights.assign(weights.mul(0.5)));
  }
  await both(3, "single");
  const held = b.network.parameters.get(name).clone();
  const kept = (await held.data<"float32">()).slice();
  await both(3, "single");
  assertSame("what another holds", await held.data<"float32">(), kept);
  assertNotEquals((await b.network.parameters.get(name).data())[0], kept[0]);
  held.dispose();
  await both(2, "launched");
  await assertSameWeights("rnn", a, b);
  const inUse = () => {
    submit();
    return backendInternals().bufferManager.getNumUsedBuffers();
  };
  trained.release();
  const least = inUse();
  await both(3, "captured");
  const running = inUse();
  await both(3, "launched");
  assertEquals(inUse(), running);
  trained.release();
  assertEquals(inUse(), least);
  [a, b].forEach((setup) => setup.dispose());
});

Deno.test("captured steps: running statistics that are held by another", async () => {
  const options = { momentum: 0.9, weightDecay: 0 };
  const [a, b] = [setUp("cnn", options), setUp("cnn", options)];
  const trained = new TrainingStep(b.network.parameters, b.optimizer, b.loss);
  const name = b.network.parameters.names().find((name) => name.endsWith("running_mean"))!;
  const held: tf.Tensor[] = [];
  const kept: Float32Array[] = [];
  for (let step = 0; step < 4; step++) {
    const batch = draw(a, true, 2);
    const expected = await lossOf(eagerStep(a, batch, step, 0.01));
    assertEquals(await lossOf(trained.run(batch, step, 0.01)), expected, `step ${step} (seed ${seed})`);
    if (step !== 0 && step !== 2) continue; // before the capture, after it
    held.push(b.network.parameters.get(name).clone());
    kept.push((await held[held.length - 1].data<"float32">()).slice());
  }
  await assertSameWeights("cnn", a, b);
  for (const [i, tensor] of held.entries()) {
    assertSame("what another holds", await tensor.data<"float32">(), kept[i]);
  }
  tf.dispose(held);
  trained.release();
  [a, b].forEach((setup) => setup.dispose());
});

Deno.test("captured steps: longer windows, for which the host makes a table anew", async () => {
  const options = { momentum: 0.9, weightDecay: 0 };
  const [a, b] = [setUp("transformer", options, false), setUp("transformer", options, false)];
  const logits = ({ network }: Setup, x: tf.Tensor, step: number | LaunchValue) =>
    (network as TemporalNetwork).logits(x as tf.Tensor3D, step).reshape<tf.Tensor2D>([-1, CLASSES]);
  const lossOn = (setup: Setup, { x, labels }: Inputs<Names>, step: number | LaunchValue) =>
    defaultLayers.softmaxCrossEntropy(logits(setup, x, step), labels as tf.Tensor1D);
  const trained = new TrainingStep<Names>(
    b.network.parameters,
    b.optimizer,
    (inputs, step) => lossOn(b, inputs, step),
  );
  for (const [step, frames] of [3, 3, 3, 8, 8, 8, 3, 3, 3].entries()) {
    const shape = [2, frames, (a.network as TemporalNetwork).backbone.featureWidth];
    const batch = {
      x: { values: Float32Array.from({ length: 2 * frames * shape[2] }, () => random.uniform(-1, 1)), shape },
      labels: { values: Int32Array.from({ length: 2 * frames }, (_, i) => i % CLASSES), shape: [2 * frames] },
    };
    const expected = a.optimizer.step(() => lossOn(a, tensorsOf(batch), step), 0.01);
    const { value, kind } = watchStep(() => trained.run(batch, step, 0.01));
    assertEquals(kind, kindsFrom("single", 3)[step % 3], `step ${step}`);
    assertEquals(await lossOf(value), await lossOf(expected), `step ${step}`);
  }
  await assertSameWeights("transformer", a, b);
  trained.release();
  [a, b].forEach((setup) => setup.dispose());
});

Deno.test("captured steps: a batch of another size, and steps that are counted", async () => {
  const options = { momentum: 0.9, weightDecay: 0 };
  const [a, b] = [setUp("cnn", options), setUp("cnn", options)];
  const trained = new TrainingStep(b.network.parameters, b.optimizer, b.loss);
  for (const [step, images] of [4, 4, 4, 2, 2, 2, 4].entries()) {
    const batch = draw(a, true, images);
    const expected = await lossOf(eagerStep(a, batch, step, 0.01));
    const { value, ours } = countDispatches(() => trained.run(batch, step, 0.01));
    assert(ours > 200, `${ours} dispatches`);
    assertEquals(await lossOf(value), expected);
    const again = draw(a, true, images);
    const next = await lossOf(eagerStep(a, again, step, 0.02));
    const second = watchStep(() => trained.run(again, step, 0.02));
    assertEquals(second.kind, [0, 3, 6].includes(step) ? "captured" : "launched", `step ${step}`);
    assertEquals(await lossOf(second.value), next);
  }
  await assertSameWeights("cnn", a, b);
  trained.release();
  [a, b].forEach((setup) => setup.dispose());
});

Deno.test("captured steps: values for untrained parameters, which come from the host", async () => {
  const options = { momentum: 0.9, weightDecay: 0 };
  const [a, b] = [0, 1].map(() => {
    const setup = setUp("rnn", options);
    setup.optimizer.dispose();
    const head = (name: string) => !isBackboneParameter(name);
    return { ...setup, optimizer: new Sgd(setup.network.parameters, options, head) };
  });
  const trained = new TrainingStep(b.network.parameters, b.optimizer, b.loss);
  const other = setUp("rnn", options);
  const all = await other.network.parameters.toHost();
  const backbone = new Map([...all].filter(([name]) => isBackboneParameter(name)));
  const held: tf.Tensor[] = [];
  for (let step = 0; step < 8; step++) {
    if (step === 4) {
      // Somebody still has the old ones: their buffers are there, and so are the captured commands that read them.
      for (const name of backbone.keys()) held.push(b.network.parameters.get(name).clone());
      for (const { network } of [a, b]) network.parameters.load(backbone, isBackboneParameter);
    }
    const batch = draw(a);
    const expected = await lossOf(eagerStep(a, batch, step, 0.01));
    const { value, kind } = watchStep(() => trained.run(batch, step, 0.01));
    assertEquals(kind, kindsFrom("single", 4)[step % 4], `step ${step}`);
    assertEquals(await lossOf(value), expected, `step ${step} (seed ${seed})`);
  }
  tf.dispose(held);
  await assertSameWeights("rnn", a, b);
  trained.release();
  [a, b].forEach((setup) => setup.dispose());
  other.dispose();
});

Deno.test("captured steps: values that do not fit are refused by name, another type makes new inputs", async () => {
  const parameters = new Parameters(1);
  parameters.add("w", "linear", [2, 3], uniform(1));
  const sgd = new Sgd(parameters, { momentum: 0, weightDecay: 0 });
  const trained = new TrainingStep<Names>(
    parameters,
    sgd,
    ({ x, labels }) =>
      defaultLayers.softmaxCrossEntropy(
        x.cast("float32").matMul(parameters.get<tf.Tensor2D>("w")) as tf.Tensor2D,
        labels as tf.Tensor1D,
      ),
  );
  const labels = { values: Int32Array.of(0, 1), shape: [2] };
  const floats = { x: { values: Float32Array.of(1, 2, 3, 4), shape: [2, 2] }, labels };
  const integers = { x: { values: Int32Array.of(1, 2, 3, 4), shape: [2, 2] }, labels };
  const wrong = { x: { values: Float32Array.of(1, 2), shape: [2, 2] }, labels };
  const refuse = () =>
    assertThrows(
      () => trained.run(wrong, 0, 0),
      RangeError,
      "Cannot run a training step: x has shape [2,2] and 2 values; expected 4",
    );
  refuse();
  const losses: number[] = [];
  for (const batch of [floats, floats, floats, integers, integers, integers, floats]) {
    losses.push(await lossOf(trained.run(batch, 0, 0)));
    refuse();
  }
  assertEquals(losses, new Array(7).fill(losses[0]));
  await assertRejects(() => trained.largestGradients(wrong, 0), RangeError, "x has shape [2,2] and 2 values");
  trained.release();
  sgd.dispose();
  parameters.dispose();
});
