/** The exported models, run by ONNX Runtime, against our own networks. */
import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import {
  EXPR_CONVENTION,
  type InputConvention,
  normalize,
  VGGFACE2_BGR_CONVENTION,
  VGGFACE2_CONVENTION,
} from "../../data/input_convention.ts";
import { RandomStream } from "../../data/random.ts";
import { initializeDevice } from "../../kernels/runtime/device.ts";
import { combine } from "../../models/ensemble.ts";
import {
  type Architecture,
  createNetwork,
  isBackboneParameter,
  type Network,
  TemporalNetwork,
} from "../../models/networks.ts";
import { exportEnsemble, exportNetwork } from "../../models/onnx/export.ts";
import { OnnxGraph } from "../../models/onnx/graph.ts";
import type { TrainedNetwork } from "../../models/onnx/layers.ts";
import { tensorShapes } from "../../models/onnx/shapes.ts";
import { type HostTensor, toFloat32 } from "../../models/weights/tensor.ts";
import { type OnnxTensor, runOnnx } from "../_onnx_runtime.ts";

await initializeDevice();

const SIZE = 32;
const CLASSES = 7;
const BACKBONE = { width: 4, size: SIZE, classes: CLASSES };
const FEATURES = 32 * BACKBONE.width;
const RNN = {
  network: "rnn",
  ...BACKBONE,
  embedding: 12,
  layers: 2,
  hidden: 5,
  bidirectional: true,
} as const;
const TRANSFORMER = {
  network: "transformer",
  ...BACKBONE,
  embedding: 12,
  depth: 2,
  heads: 3,
  dropout: 0.5,
} as const;

/** float32 sums in another order, through 53 layers. */
const TOLERANCE = 1e-4;

/** A network whose every parameter is random: initial zeros and ones would hide mistakes. */
function randomNetwork(architecture: Architecture, seed: number): Network {
  const network = createNetwork(architecture, seed);
  for (const name of network.parameters.names()) {
    if (!/_bn\.|norm|bias/.test(name)) continue;
    const random = new RandomStream(seed, "test", name);
    const variable = network.parameters.get(name);
    const [low, high] = /running_var|(bn|norm\d?)\.weight$/.test(name) ? [0.5, 1.5] : [-0.3, 0.3];
    const values = tf.tensor(
      Float32Array.from({ length: variable.size }, () => random.uniform(low, high)),
      variable.shape,
    );
    variable.assign(values);
    values.dispose();
  }
  return network;
}

async function trained(network: Network, convention: InputConvention): Promise<TrainedNetwork> {
  return { architecture: network.architecture, convention, weights: await network.parameters.toHost() };
}

function randomPixels(count: number, seed: number): Uint8Array {
  const random = new RandomStream(seed, "pixels");
  return Uint8Array.from({ length: count * SIZE * SIZE * 3 }, () => Math.floor(random.uniform(0, 256)));
}

/** [N, S, S, 3] bytes as our networks take them. */
function ourImages(pixels: Uint8Array, convention: InputConvention): tf.Tensor4D {
  const values = new Float32Array(pixels.length);
  normalize(pixels, convention, values, 0);
  return tf.tensor4d(values, [pixels.length / (SIZE * SIZE * 3), SIZE, SIZE, 3]);
}

/** [N, S, S, 3] bytes as [N, 3, S, S] floats, with any first axes. */
function onnxImages(pixels: Uint8Array, axes: readonly number[]): OnnxTensor {
  const plane = SIZE * SIZE;
  const values = Float32Array.from(pixels, (_, i) => {
    const [image, channel, pixel] = [Math.floor(i / (3 * plane)), Math.floor(i / plane) % 3, i % plane];
    return pixels[(image * plane + pixel) * 3 + channel];
  });
  return { data: values, dims: [...axes, 3, SIZE, SIZE] };
}

/** Our logits of every frame, [B, T, classes] or [N, classes]. */
async function ourLogits(
  network: Network,
  convention: InputConvention,
  pixels: Uint8Array,
  [clips, frames]: readonly number[],
): Promise<Float32Array> {
  const logits = tf.tidy(() => {
    const images = ourImages(pixels, convention);
    if (!(network instanceof TemporalNetwork)) return network.logits(images, { training: false });
    const features = network.backbone.features(images, { training: false });
    return network.logits(features.reshape([clips, frames, FEATURES]));
  });
  const values = await logits.data<"float32">();
  logits.dispose();
  return values;
}

function assertClose(actual: Float32Array, expected: Float32Array, name: string): void {
  assertEquals(actual.length, expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  assert(scale > 1e-3, `${name}: the expected values are all next to 0`);
  let worst = 0;
  actual.forEach((value, i) => worst = Math.max(worst, Math.abs(value - expected[i])));
  assertLess(worst, TOLERANCE * scale, `${name}: largest difference ${worst} at scale ${scale}`);
}

const CASES: { name: string; architecture: Architecture; convention: InputConvention; shapes: number[][] }[] =
  [
    {
      name: "the CNN",
      architecture: { network: "cnn", ...BACKBONE },
      convention: EXPR_CONVENTION,
      shapes: [[1], [3]],
    },
    {
      name: "the CNN on torchvision's graph, with BGR input",
      architecture: { network: "cnn", ...BACKBONE, graph: "torchvision" },
      convention: VGGFACE2_BGR_CONVENTION,
      shapes: [[2]],
    },
    {
      name: "the VGG16 baseline",
      architecture: { network: "vgg", ...BACKBONE },
      convention: EXPR_CONVENTION,
      shapes: [[1], [2]],
    },
    { name: "the CNN-RNN", architecture: RNN, convention: VGGFACE2_CONVENTION, shapes: [[2, 9], [1, 3]] },
    {
      name: "the CNN-RNN in one direction",
      architecture: { ...RNN, layers: 1, bidirectional: false },
      convention: EXPR_CONVENTION,
      shapes: [[2, 4]],
    },
    {
      name: "the CNN-Transformer",
      architecture: TRANSFORMER,
      convention: EXPR_CONVENTION,
      shapes: [[2, 9], [1, 5]],
    },
  ];

for (const { name, architecture, convention, shapes } of CASES) {
  Deno.test(`ONNX Runtime gives our logits for ${name}, at several batch sizes`, async () => {
    const network = randomNetwork(architecture, 3);
    const model = exportNetwork(await trained(network, convention), "expression");
    for (const shape of shapes) {
      const count = shape.reduce((product, size) => product * size, 1);
      const pixels = randomPixels(count, count);
      const { shape: given, data } = await runOnnx(model, onnxImages(pixels, shape), "logits");
      assertEquals(given, [...shape, CLASSES]);
      assertClose(data, await ourLogits(network, convention, pixels, shape), `${name} ${shape}`);
    }
    network.dispose();
  });
}

for (const { name, architecture, convention } of CASES) {
  Deno.test(`16-bit weights are exported as the 32-bit ones of their values, others are refused: ${name}`, async () => {
    const network = randomNetwork(architecture, 5);
    const { weights, ...rest } = await trained(network, convention);
    network.dispose();
    assertEquals(tensorShapes(architecture), new Map([...weights].map(([key, { shape }]) => [key, shape])));
    const halves: ((data: Float32Array<ArrayBuffer>) => Pick<HostTensor, "dtype" | "data">)[] = [
      (data) => ({ dtype: "F16", data: Float16Array.from(data) }),
      (data) => ({
        dtype: "BF16",
        data: Uint16Array.from(new Uint32Array(data.buffer), (bits) => bits >>> 16),
      }),
    ];
    for (const half of halves) {
      const narrow = new Map([...weights].map(([key, tensor]): [string, HostTensor] => {
        return [key, { shape: tensor.shape, ...half(toFloat32(tensor)) }];
      }));
      const wide = new Map([...narrow].map(([key, tensor]): [string, HostTensor] => {
        return [key, { dtype: "F32", shape: tensor.shape, data: toFloat32(tensor) }];
      }));
      const [bytes, expected] = [narrow, wide].map((given) =>
        exportNetwork({ ...rest, weights: given }, "expression")
      );
      assert(bytes.length === expected.length && bytes.every((byte, i) => byte === expected[i]));
    }
    const bias = [...weights.keys()].find((key) => key.endsWith("classifier.bias"))!;
    const misshapen = new Map(weights)
      .set(bias, { dtype: "F32", shape: [1, CLASSES], data: new Float32Array(CLASSES) })
      .set("more", { dtype: "F32", shape: [1], data: new Float32Array(1) });
    assertThrows(
      () => exportNetwork({ ...rest, weights: misshapen }, "expression"),
      Error,
      `${bias} is [1, 7] instead of [7]; more is unused`,
    );
  });
}

/** Softmax of the middle frame's logits: [B, classes]. */
function middleProbabilities(logits: Float32Array, clips: number, frames: number): Float32Array {
  const result = new Float32Array(clips * CLASSES);
  for (let b = 0; b < clips; b++) {
    const from = (b * frames + (frames - 1) / 2) * CLASSES;
    const powers = logits.slice(from, from + CLASSES).map(Math.exp);
    const sum = powers.reduce((total, power) => total + power, 0);
    result.set(powers.map((power) => power / sum), b * CLASSES);
  }
  return result;
}

Deno.test("a constant's name is given twice only to the same values", () => {
  const graph = new OnnxGraph();
  graph.floats("x", [2], Float32Array.of(1, 2));
  assertEquals(graph.floats("x", [2], Float32Array.of(1, 2)), "x");
  for (const [shape, values] of [[[2], [1, 3]], [[1, 2], [1, 2]], [[1], [1]]]) {
    assertThrows(
      () => graph.floats("x", shape, Float32Array.from(values)),
      Error,
      "the name is taken by another",
    );
  }
});

Deno.test("ONNX Runtime gives our ensemble's probabilities; networks with one backbone share it", async () => {
  const [clips, frames] = [2, 5];
  const pixels = randomPixels(clips * frames, 11);
  const convention = EXPR_CONVENTION;
  const weights = [0.2, 0.3, 0.5];
  const networks = [{ network: "cnn", ...BACKBONE } as const, RNN, TRANSFORMER].map((architecture, i) =>
    randomNetwork(architecture, 20 + i)
  );
  const sizes: number[] = [];
  for (const shared of [false, true]) {
    if (shared) {
      const backbone = new Map(
        [...await networks[0].parameters.toHost()].filter(([name]) => isBackboneParameter(name)),
      );
      for (const network of networks.slice(1)) network.parameters.load(backbone, isBackboneParameter);
    }
    const members = await Promise.all(networks.map(async (network, i) => ({
      ...await trained(network, convention),
      weight: weights[i],
    })));
    const model = exportEnsemble(members);
    sizes.push(model.length);
    const { shape, data } = await runOnnx(model, onnxImages(pixels, [clips, frames]), "probabilities");
    assertEquals(shape, [clips, CLASSES]);
    const probabilities = [];
    for (const network of networks) {
      const logits = await ourLogits(network, convention, pixels, [clips, frames]);
      probabilities.push(middleProbabilities(logits, clips, frames));
    }
    assertClose(
      data,
      combine(probabilities, weights),
      `ensemble, ${shared ? "one backbone" : "three backbones"}`,
    );
    if (!shared) {
      const other = { ...members[1], architecture: { ...RNN, size: 48 } };
      assertThrows(() => exportEnsemble([members[0], other]), Error, "take 32 and 48 pixels");
      const refused = (given: typeof members, kinds: string) =>
        assertThrows(() => exportEnsemble(given), Error, `with a weight above 0 are ${kinds}; expected`);
      refused([], "none");
      refused([{ ...members[0], weight: 0 }], "none");
      refused(
        [members[1], { ...members[1], weights: (await trained(networks[1], convention)).weights }],
        "rnn, rnn",
      );
      const vgg = { network: "vgg", ...BACKBONE } as const;
      refused([members[0], { ...members[0], architecture: vgg }], "cnn, vgg");
    }
  }
  assertLess(sizes[1], 0.5 * sizes[0]);
  networks.forEach((network) => network.dispose());
});
