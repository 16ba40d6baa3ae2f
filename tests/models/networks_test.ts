import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertGreater, assertLess, assertNotEquals } from "@std/assert";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { hookCommands } from "../../kernels/runtime/program.ts";
import { countDispatches } from "../../kernels/runtime/timing.ts";
import { defaultLayers } from "../../models/layers_default.ts";
import type { Layers } from "../../models/layers.ts";
import { stockLayers } from "../../models/layers_stock.ts";
import {
  type Architecture,
  architectureFor,
  CnnNetwork,
  createNetwork,
  isBackboneParameter,
  TemporalNetwork,
  VggNetwork,
} from "../../models/networks.ts";
import { TransformerHead } from "../../models/cnn_transformer.ts";
import { Parameters } from "../../models/parameters.ts";
import { Sgd } from "../../models/optimizer.ts";

await initializeDevice();

const BACKBONE = { width: 4, size: 32, classes: 7 };
const CNN: Architecture & { network: "cnn" } = { network: "cnn", ...BACKBONE };
const RNN: Architecture = {
  network: "rnn",
  ...BACKBONE,
  embedding: 16,
  layers: 2,
  hidden: 8,
  bidirectional: true,
};
const TRANSFORMER: Architecture = {
  network: "transformer",
  ...BACKBONE,
  embedding: 16,
  depth: 2,
  heads: 4,
  dropout: 0,
};

Deno.test("ResNet50 with 8631 classes has 53 convolutions, 53 batch norms and the known number of parameters", () => {
  const network = createNetwork({ network: "cnn", width: 64, size: 224, classes: 8631 }, 1);
  const names = network.parameters.names();
  const convolutions = names.filter((name) => isBackboneParameter(name) && !name.includes("_bn."));
  assertEquals(convolutions.length, 53);
  assertEquals(names.filter((name) => name.endsWith("_bn.running_mean")).length, 53);
  // torchvision's ResNet50 has 25,557,032 with 1000 classes; the classifier has 2049 a class.
  assertEquals(network.parameters.count, 25_557_032 + 2049 * (8631 - 1000));
  assert(names.includes("conv3_1_1x1_proj.weight") && names.includes("classifier.bias"));
  network.dispose();
});

Deno.test("the graph ends at the sizes of the Caffe graph", () => {
  const sizes: number[] = [];
  const spying: Layers = {
    ...stockLayers,
    globalAveragePool(x) {
      sizes.push(x.shape[1]);
      return stockLayers.globalAveragePool(x);
    },
  };
  const network = new CnnNetwork(CNN, 1, spying);
  for (const size of [224, 112, 48]) {
    tf.tidy(() =>
      assertEquals(network.backbone.features(tf.zeros([1, size, size, 3]), { training: false }).shape, [
        1,
        128,
      ])
    );
  }
  assertEquals(sizes, [7, 4, 2]);
  network.dispose();
});

Deno.test("an untrained VGG16, which has no batch norm, still tells images apart", async () => {
  const network = new VggNetwork({ network: "vgg", width: 16, size: 48, classes: 7 }, 1);
  const deviation = tf.tidy(() => {
    const logits = network.logits(tf.randomNormal([16, 48, 48, 3]), { training: false });
    return logits.sub(logits.mean(0)).square<tf.Tensor>().mean().sqrt();
  });
  // About .08 with fan-in; .002 with fan-out and PyTorch's linear layers.
  assertGreater((await deviation.data())[0], 0.02);
  deviation.dispose();
  network.dispose();
});

Deno.test("temporal networks give logits for every frame of a window", () => {
  for (const architecture of [RNN, TRANSFORMER]) {
    const network = createNetwork(architecture, 1) as TemporalNetwork;
    tf.tidy(() => assertEquals(network.logits(tf.zeros([2, 9, 128])).shape, [2, 9, 7]));
    network.dispose();
  }
});

Deno.test("the Transformer keeps one table of positions for clips of any length, and frees it", async () => {
  const before = tf.memory().numTensors;
  const network = createNetwork(TRANSFORMER, 1) as TemporalNetwork;
  const features = tf.randomUniform<tf.Rank.R3>([1, 9, 128], 0, 1, "float32", 4);
  const logits = async (net: TemporalNetwork, frames: number) => {
    const y = tf.tidy(() => net.logits(features.slice([0, 0, 0], [1, frames, 128])));
    const values = await y.data();
    y.dispose();
    return values;
  };
  const weights = tf.memory().numTensors;
  for (const frames of [3, 9, 5, 9]) {
    const values = await logits(network, frames);
    assertEquals(tf.memory().numTensors, weights + 1);
    const fresh = createNetwork(TRANSFORMER, 1) as TemporalNetwork;
    assertEquals(values, await logits(fresh, frames));
    fresh.dispose();
  }
  network.dispose();
  features.dispose();
  assertEquals(tf.memory().numTensors, before);
});

Deno.test("initial weights depend on seed and name alone", async () => {
  const first = createNetwork(RNN, 5);
  const second = createNetwork(CNN, 5);
  const other = createNetwork(CNN, 6);
  const read = async (network: typeof first) => await network.parameters.get("conv2_1_3x3.weight").data();
  assertEquals(await read(first), await read(second));
  assert((await read(second))[0] !== (await read(other))[0]);
  [first, second, other].forEach((network) => network.dispose());
});

Deno.test("kernels and stock ops give the same logits and running statistics", async () => {
  const images = tf.randomUniform<tf.Rank.R4>([3, 32, 32, 3], -1, 1, "float32", 7);
  const results: Float32Array[][] = [];
  for (const layers of [defaultLayers, stockLayers]) {
    const network = new CnnNetwork(CNN, 2, layers);
    const trained = network.logits(images, { training: true });
    const evaluated = network.logits(images, { training: false });
    const variance = network.parameters.get("conv5_3_3x3_bn.running_var");
    results.push(await Promise.all([trained, evaluated, variance].map((tensor) => tensor.data<"float32">())));
    tf.dispose([trained, evaluated]);
    network.dispose();
  }
  images.dispose();
  results[0].forEach((values, part) =>
    values.forEach((value, i) =>
      assertLess(Math.abs(value - results[1][part][i]), 1e-3 * (1 + Math.abs(value)))
    )
  );
});

/** Losses over some steps on one batch, and the number of tensors after each. */
async function overfit(loss: () => tf.Scalar, sgd: Sgd, steps: number, rate: number) {
  const losses: number[] = [];
  const tensors: number[] = [];
  for (let i = 0; i < steps; i++) {
    const value = sgd.step(loss, rate);
    losses.push((await value.data())[0]);
    value.dispose();
    tensors.push(tf.memory().numTensors);
  }
  return { losses, tensors };
}

Deno.test("no gradient of the images is made", () => {
  const network = new CnnNetwork(CNN, 1, defaultLayers);
  const sgd = new Sgd(network.parameters, { momentum: 0.9, weightDecay: 0 });
  const images = tf.zeros<tf.Rank.R4>([2, 32, 32, 3]);
  const labels = tf.tensor1d([0, 1], "int32");
  const gradients: string[] = [];
  const unhook = hookCommands({
    onDispatch(name, dispatch, record) {
      if (name.startsWith("conv2d/conv2d_bwd_input")) {
        const [output] = dispatch!.outputs;
        gradients.push(("shape" in output ? output.shape : output.inPlace.shape).join());
      }
      record();
    },
    onCopy: (_bytes, record) => record(),
  });
  try {
    sgd.step(() => defaultLayers.softmaxCrossEntropy(network.logits(images, { training: true }), labels), 0.1)
      .dispose();
  } finally {
    unhook();
  }
  assertEquals(gradients.length, 52); // of 53 convolutions
  assert(!gradients.includes("2,32,32,4"), gradients.join(" "));
  sgd.dispose();
  network.dispose();
  tf.dispose([images, labels]);
});

Deno.test("while weights are held batch norms are folded once, with the same values, and nothing stays", async () => {
  const network = new CnnNetwork(CNN, 1, defaultLayers);
  const images = tf.randomUniform<tf.Rank.R4>([3, 32, 32, 3], -1, 1, "float32", 5);
  const pass = () => tf.tidy(() => network.logits(images, { training: false }));
  const counted = async () => {
    const { value, ours } = countDispatches(pass);
    const logits = [...await value.data()];
    value.dispose();
    return { ours, logits };
  };
  const free = await counted();
  const tensors = tf.memory().numTensors;
  {
    using _outer = network.holdWeights();
    assertEquals(await counted(), free);
    const held = { ours: free.ours - 53, logits: free.logits };
    {
      using inner = network.holdWeights();
      assertEquals(await counted(), held);
      inner[Symbol.dispose](); // twice, as the block's end does it again
    }
    assertEquals(await counted(), held);
    // Training goes its own way.
    tf.tidy(() => void network.logits(images, { training: true }));
  }
  assertEquals(tf.memory().numTensors, tensors);
  const trained = await counted(); // its running statistics have changed
  assertNotEquals(trained.logits, free.logits);
  using _held = network.holdWeights();
  assertEquals(await counted(), trained);
  network.dispose();
  images.dispose();
});

Deno.test("the CNN learns one batch by heart, without leaking tensors", async () => {
  const network = new CnnNetwork(CNN, 1);
  const sgd = new Sgd(network.parameters, { momentum: 0.9, weightDecay: 5e-4 });
  const images = tf.randomUniform<tf.Rank.R4>([8, 32, 32, 3], -1, 1, "float32", 3);
  const labels = tf.tensor1d([0, 1, 2, 3, 4, 5, 6, -1], "int32");
  const loss = () => defaultLayers.softmaxCrossEntropy(network.logits(images, { training: true }), labels);
  const { losses, tensors } = await overfit(loss, sgd, 30, 0.05);
  assertLess(losses[29], 0.3 * losses[0], `losses ${losses}`);
  assertEquals(tensors[29], tensors[1]);
  tf.dispose([images, labels]);
  sgd.dispose();
  network.dispose();
});

for (const architecture of [RNN, TRANSFORMER]) {
  Deno.test(`the head of ${architecture.network} learns one batch by heart, without leaking tensors`, async () => {
    const network = createNetwork(architecture, 1) as TemporalNetwork;
    const sgd = new Sgd(
      network.parameters,
      { momentum: 0.9, weightDecay: 0 },
      (name) => !isBackboneParameter(name),
    );
    const features = tf.randomUniform<tf.Rank.R3>([4, 5, 128], 0, 1, "float32", 9);
    const labels = tf.tensor1d(Array.from({ length: 20 }, (_, i) => i % 8 - 1), "int32");
    const loss = () =>
      defaultLayers.softmaxCrossEntropy(network.logits(features, 1).reshape([20, 7]), labels);
    const { losses, tensors } = await overfit(loss, sgd, 60, architecture.network === "rnn" ? 0.2 : 0.05);
    assertLess(losses[59], 0.5 * losses[0], `losses ${losses}`);
    assertEquals(tensors[59], tensors[1]);
    tf.dispose([features, labels]);
    sgd.dispose();
    network.dispose();
  });
}

Deno.test("presets are the paper's sizes and a small one of the same topology", () => {
  assertEquals(architectureFor("cnn", "paper", 7), { network: "cnn", width: 64, size: 224, classes: 7 });
  const rnn = architectureFor("rnn", "paper", 7);
  assertEquals(rnn.network === "rnn" && [rnn.embedding, rnn.layers, rnn.hidden, rnn.bidirectional], [
    768,
    2,
    384,
    true,
  ]);
  const transformer = architectureFor("transformer", "paper", 7);
  assertEquals(
    transformer.network === "transformer" && [transformer.depth, transformer.heads, transformer.dropout],
    [2, 12, 0.5],
  );
});

Deno.test("the Transformer drops out after its positions and in each block, every mask of its own, in training alone", async () => {
  const drops: { shape: number[]; rate: number; key: unknown }[] = [];
  let doubled = -1;
  const spying: Layers = {
    ...stockLayers,
    dropout(x, rate, key) {
      drops.push({ shape: x.shape, rate, key });
      return key.layer === doubled ? x.mul(2) : x.clone();
    },
  };
  const parameters = new Parameters(1);
  const head = new TransformerHead(parameters, spying, "", {
    embedding: 8,
    depth: 2,
    heads: 2,
    dropout: 0.25,
    features: 6,
    classes: 7,
  });
  const features = tf.randomNormal<tf.Rank.R3>([2, 3, 6], 0, 1, "float32", 1);
  const logits = async (key?: { seed: number; step: number }) => {
    const tensor = tf.tidy(() => head.logits(features, key));
    const values = [...await tensor.data<"float32">()];
    tensor.dispose();
    return values;
  };
  const key = { seed: 5, step: 9 };
  const plain = await logits();
  assertEquals(drops.length, 0);
  assertEquals(await logits(key), plain);
  const [wide, inner] = [[2, 3, 8], [6, 32]];
  assertEquals(drops.map(({ shape }) => shape), [wide, wide, inner, [6, 8], wide, inner, [6, 8]]);
  assertEquals(
    drops.map((drop) => [drop.rate, drop.key]),
    drops.map((_, layer) => [0.25, { ...key, layer }]),
  );
  for (doubled = 0; doubled < 7; doubled++) {
    assertNotEquals(await logits(key), plain, `mask ${doubled} has no effect`);
  }
  features.dispose();
  head.dispose();
  parameters.dispose();
});
