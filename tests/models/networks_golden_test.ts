/** The three networks against PyTorch: logits, loss, every gradient, ten steps of SGD, evaluation mode. */
import * as tf from "@tensorflow/tfjs";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { defaultLayers } from "../../models/layers_default.ts";
import type { Layers } from "../../models/layers.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import { createNetwork, isBackboneParameter, type Network, TemporalNetwork } from "../../models/networks.ts";
import { Sgd } from "../../models/optimizer.ts";
import type { HostTensor } from "../../models/weights/safetensors.ts";
import { compare } from "../_compare.ts";
import golden from "../golden/networks.json" with { type: "json" };
import { compareSummary, noise, type Summary } from "../golden/noise.ts";

await initializeDevice();

const SIZES = { width: 4, size: 48, classes: 7 };
const IMAGES = 8;
const CLIPS = 3;
const FRAMES = 9;
const FEATURES = 32 * SIZES.width;

/** float32 sums in another order, through 53 layers of batch norm; ten steps amplify it (PyTorch's float64 is as far). */
const TOLERANCE = { first: 1e-4, gradient: 1e-3, curve: 5e-3 };

/** make_networks.py's `initialise`, for parameters in file layout. */
function initialise(network: Network, current: ReadonlyMap<string, HostTensor>): void {
  const values = new Map<string, HostTensor>();
  for (const [name, { shape }] of current) {
    const count = shape.reduce((product, size) => product * size, 1);
    let scale = (x: number) => 0.1 * x;
    if (shape.length > 1) scale = (x) => x * Math.sqrt(3 / (count / shape[0]));
    else if (name.endsWith("increase_bn.weight")) scale = (x) => 0.2 * (1 + 0.2 * x);
    else if (/(bn|\.norm\d?)\.weight$/.test(name)) scale = (x) => 1 + 0.2 * x;
    if (name.endsWith("running_mean")) scale = () => 0;
    if (name.endsWith("running_var")) scale = () => 1;
    values.set(name, { dtype: "F32", shape, data: noise(name, count).map(scale) });
  }
  network.parameters.load(values);
}

/** Each tensor against its summary. */
function compareSummaries(
  what: string,
  tensors: ReadonlyMap<string, HostTensor>,
  expected: Readonly<Record<string, Summary>>,
  tolerance: number,
): void {
  for (const [name, summary] of Object.entries(expected)) {
    const tensor = tensors.get(name);
    if (tensor === undefined) throw new Error(`${what}: there is no ${name}`);
    compareSummary(what, name, tensor.data as Float32Array, summary, tolerance);
  }
}

/** NCHW -> NHWC. */
function images(): tf.Tensor4D {
  const { size } = SIZES;
  const planes = tf.tensor4d(noise("images", IMAGES * 3 * size * size), [IMAGES, 3, size, size]);
  const nhwc = planes.transpose<tf.Tensor4D>([0, 2, 3, 1]);
  planes.dispose();
  return nhwc;
}

const HEADS = { embedding: 24, layers: 2, hidden: 12, bidirectional: true, depth: 2, heads: 4, dropout: 0 };

async function check(kind: "cnn" | "rnn" | "transformer", layers: Layers): Promise<void> {
  const { embedding, layers: depthOfGru, hidden, bidirectional, depth, heads, dropout } = HEADS;
  const network = kind === "cnn"
    ? createNetwork({ network: kind, ...SIZES }, 1, layers)
    : kind === "rnn"
    ? createNetwork(
      { network: kind, ...SIZES, embedding, layers: depthOfGru, hidden, bidirectional },
      1,
      layers,
    )
    : createNetwork({ network: kind, ...SIZES, embedding, depth, heads, dropout }, 1, layers);
  const trained = kind === "cnn" ? undefined : (name: string) => !isBackboneParameter(name);
  const optimizer = new Sgd(network.parameters, { momentum: 0.9, weightDecay: 5e-4 }, trained);
  const expected = golden[kind];
  const frames = noise("features", CLIPS * FRAMES * FEATURES).map(Math.abs);
  const x = kind === "cnn" ? images() : tf.tensor3d(frames, [CLIPS, FRAMES, FEATURES]);
  const labels = tf.tensor1d(
    kind === "cnn"
      ? Array.from({ length: IMAGES }, (_, i) => i % SIZES.classes)
      : Array.from({ length: CLIPS * FRAMES }, (_, i) => (3 * Math.floor(i / FRAMES) + i % FRAMES) % 8 - 1),
    "int32",
  );
  const logits = (training: boolean) => {
    const y = network instanceof TemporalNetwork
      ? network.logits(x as tf.Tensor3D, training ? 0 : undefined)
      : network.logits(x as tf.Tensor4D, { training });
    return y.reshape<tf.Tensor2D>([-1, SIZES.classes]);
  };
  const loss = () => layers.softmaxCrossEntropy(logits(true), labels);
  try {
    initialise(network, await network.parameters.toHost());
    // The golden logits are the training mode's; each look at them updates the running statistics once, as a step does.
    const before = await network.parameters.toHost();
    const variables = network.parameters.trainable(trained);
    const { grads } = tf.variableGrads(loss, variables.map(({ variable }) => variable));
    const gradients = await network.parameters.exportLike(
      variables.map(({ name, variable }) => ({ name, tensor: grads[variable.name] })),
    );
    compareSummaries(`${kind}: gradient`, gradients, expected.gradients, TOLERANCE.gradient);
    tf.dispose(grads);
    const first = tf.tidy(() => logits(true));
    compare(`${kind}: logits`, await first.data(), expected.logits, TOLERANCE.first);
    first.dispose();
    network.parameters.load(before);
    const losses: number[] = [];
    for (let step = 0; step < expected.losses.length; step++) {
      const value = optimizer.step(loss, expected.lr);
      losses.push((await value.data())[0]);
      value.dispose();
    }
    compare(`${kind}: first loss`, losses.slice(0, 1), expected.losses.slice(0, 1), TOLERANCE.first);
    compare(`${kind}: losses`, losses, expected.losses, TOLERANCE.curve);
    compareSummaries(
      `${kind}: weights`,
      await network.parameters.toHost(),
      expected.weights,
      TOLERANCE.curve,
    );
    const last = tf.tidy(() => logits(false));
    compare(`${kind}: evaluation`, await last.data(), expected.evaluation, TOLERANCE.curve);
    last.dispose();
  } finally {
    network.dispose();
    optimizer.dispose();
    tf.dispose([x, labels]);
  }
}

for (const kind of ["cnn", "rnn", "transformer"] as const) {
  Deno.test(`${kind} equals PyTorch's on our kernels`, () => check(kind, defaultLayers));
}
Deno.test("the stock layers equal PyTorch's as well: rnn", () => check("rnn", stockLayers));
Deno.test("the stock layers equal PyTorch's as well: transformer", () => check("transformer", stockLayers));
