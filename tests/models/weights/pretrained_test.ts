/** Pretrained files to models: names, values, features against PyTorch's, and what is refused. */
import * as tf from "@tensorflow/tfjs";
import { assert, assertEquals, assertLess, assertThrows } from "@std/assert";
import { asRgb, CONVENTIONS, normalize } from "../../../data/input_convention.ts";
import { initializeDevice } from "../../../kernels/runtime/device.ts";
import { type Architecture, CnnNetwork, createNetwork } from "../../../models/networks.ts";
import { type PretrainedResNet50, pretrainedResNet50 } from "../../../models/weights/backbone.ts";
import type { WeightsFile } from "../../../models/weights/file.ts";
import { type Hints, identify } from "../../../models/weights/identify.ts";
import { loadPretrained } from "../../../models/weights/load.ts";
import { openWeights } from "../../../models/weights/open.ts";
import { backboneNames, classifierNames, type Naming } from "../../../models/weights/resnet50_names.ts";
import { encodeSafetensors } from "../../../models/weights/safetensors.ts";
import { MemorySource } from "../../../models/weights/source.ts";
import type { StoredTensor } from "../../../models/weights/tensor.ts";
import { fileOf } from "./_pretrained.ts";
import { EXPECTED, goldenBytes, goldenImages, goldenPath, goldenValues } from "../../golden/weights.ts";

await initializeDevice();

const CLASSES = 7;
const IMAGE_SIZE = 48;
const KERAS_FILE = await new Response(
  new Blob([goldenBytes("resnet50_keras.h5.gz") as Uint8Array<ArrayBuffer>]).stream()
    .pipeThrough(new DecompressionStream("gzip")),
).bytes();

/** Features [N, D] of the golden images. */
async function featuresOf(pretrained: PretrainedResNet50): Promise<Float32Array> {
  const { width, graph } = pretrained;
  const architecture = { network: "cnn", width, size: IMAGE_SIZE, classes: CLASSES, graph } as const;
  const network = createNetwork(architecture, 1) as CnnNetwork;
  loadPretrained(network, pretrained);
  const pixels = goldenImages(2, IMAGE_SIZE);
  const values = new Float32Array(pixels.length);
  normalize(pixels, pretrained.convention, values, 0);
  const features = tf.tidy(() =>
    network.backbone.features(tf.tensor4d(values, [2, IMAGE_SIZE, IMAGE_SIZE, 3]), { training: false })
  );
  const data = await features.data<"float32">();
  features.dispose();
  network.dispose();
  return data;
}

function assertFeatures(actual: Float32Array, expected: number[][], name: string): void {
  const wanted = expected.flat();
  assertEquals(actual.length, wanted.length);
  const mean = wanted.reduce((sum, value) => sum + value, 0) / wanted.length;
  assert(wanted.filter((value) => value > mean / 4).length > wanted.length / 2, "most features are dead");
  // Relative to the feature, or to the mean where the feature is smaller: ReLU leaves some next to 0.
  const worst = Math.max(...wanted.map((value, i) => Math.abs(actual[i] - value) / Math.max(value, mean)));
  assertLess(worst, 1e-4, `${name}: relative error ${worst}`);
}

const GOLDEN: {
  name: string;
  open: () => Promise<WeightsFile>;
  hints: Hints;
  naming: Naming;
  features: keyof typeof EXPECTED.features;
}[] = [
  {
    name: "dag names, old PyTorch format",
    open: () => openWeights(goldenPath("resnet50_dag_old.pth")),
    hints: { convention: "vggface2" },
    naming: "dag",
    features: "dag",
  },
  {
    name: "torchvision names, Python 2 pickle, BGR",
    open: () => openWeights(goldenPath("resnet50_torchvision_names.pkl")),
    hints: { graph: "caffe", convention: "vggface2-bgr" },
    naming: "torchvision",
    features: "pickle",
  },
  {
    name: "Keras names, HDF5, BGR, epsilon 1e-3",
    open: () => openWeights(new MemorySource(KERAS_FILE, "keras.h5")),
    hints: {},
    naming: "keras",
    features: "keras",
  },
];

for (const { name, open, hints, naming, features } of GOLDEN) {
  Deno.test(`ResNet50 in ${name}: every value, and PyTorch's features within 1e-4`, async () => {
    using file = await open();
    const pretrained = pretrainedResNet50(file, hints);
    assertEquals(pretrained.identity.naming, naming);
    assertEquals([pretrained.classes, pretrained.graph, pretrained.convention.name], [
      CLASSES,
      "caffe",
      "vggface2",
    ]);
    const names = [...backboneNames(pretrained.width), ...classifierNames(pretrained.width, CLASSES)];
    assertEquals([...pretrained.tensors.keys()], names.map(({ dag }) => dag));
    const isBgr = naming !== "dag";
    for (const parameter of names) {
      const { dtype, shape, data } = pretrained.tensors.get(parameter.dag)!.read();
      assertEquals([dtype, shape], ["F32", [...parameter.shape]]);
      let values = goldenValues(parameter);
      if (isBgr && parameter.dag === "conv1_7x7_s2.weight") {
        values = values.map((_, i) => values[i + [98, 0, -98][Math.floor(i / 49) % 3]]); // channels 2, 1, 0 of 49
      }
      if (naming === "keras" && parameter.dag.endsWith("running_var")) {
        values = values.map((v) => v + (1e-3 - 1e-5));
      }
      assertEquals(data, values, parameter.dag);
    }
    assertFeatures(await featuresOf(pretrained), EXPECTED.features[features], name);
  });
}

Deno.test("torchvision's graph gives PyTorch's features within 1e-4", async () => {
  const file = fileOf({ width: 4, classes: CLASSES, prefix: "module." });
  const pretrained = pretrainedResNet50(file, { graph: "torchvision", convention: "vggface2" });
  assertEquals([pretrained.graph, pretrained.convention.name], ["torchvision", "vggface2"]);
  assertFeatures(await featuresOf(pretrained), EXPECTED.features.torchvision, "torchvision");
});

Deno.test("names and shapes are those of the network", async () => {
  const network = createNetwork({ network: "cnn", width: 4, size: 48, classes: 7 }, 1);
  const ours = [...await network.parameters.toHost()].map(([name, { shape }]) => ({ name, shape }));
  const listed = [...backboneNames(4), ...classifierNames(4, 7)].map(({ dag, shape }) => ({
    name: dag,
    shape,
  }));
  const sorted = (list: { name: string }[]) => list.toSorted((a, b) => a.name < b.name ? -1 : 1);
  assertEquals(sorted(listed), sorted(ours));
  network.dispose();
});

Deno.test("a file is what its names, classes and format make certain, and no more", () => {
  const said = (file: WeightsFile) => {
    const { graph, convention, width, classes, prefix } = identify(file)!;
    return [graph, convention?.name, width, classes, prefix];
  };
  assertEquals(said(fileOf({ naming: "dag", classes: 8631 })), ["caffe", "vggface2", 2, 8631, ""]);
  assertEquals(said(fileOf({ naming: "dag", classes: 7 })), ["caffe", undefined, 2, 7, ""]);
  assertEquals(said(fileOf({ naming: "dag" })), ["caffe", undefined, 2, undefined, ""]);
  assertEquals(said(fileOf({ classes: 8631, format: "numpy pickle" })), [
    "caffe",
    "vggface2-bgr",
    2,
    8631,
    "",
  ]);
  assertEquals(said(fileOf({ classes: 8631 })), [undefined, undefined, 2, 8631, ""]);
  assertEquals(said(fileOf({ classes: 1000 })), ["torchvision", "imagenet", 2, 1000, ""]);
  assertEquals(said(fileOf({ classes: 7, prefix: "module." })), [undefined, undefined, 2, 7, "module."]);
  assertEquals(said(fileOf({ naming: "keras" })), ["caffe", "vggface2-bgr", 2, undefined, ""]);
  const header = { architecture: { network: "cnn", graph: "torchvision" }, convention: CONVENTIONS.expr };
  const metadata = { format: "fervid-weights", version: "1", header: JSON.stringify(header) };
  assertEquals(said(fileOf({ naming: "dag", classes: 7, metadata })), ["torchvision", "expr", 2, 7, ""]);
  const other = fileOf({});
  other.tensors.delete("conv1.weight");
  assertEquals(identify(other), undefined);
  const reversed = fileOf({ classes: 7, prefix: "backbone." });
  const disordered = { ...reversed, tensors: new Map([...reversed.tensors].reverse()) };
  assertEquals(said(disordered), [undefined, undefined, 2, 7, "backbone."]);
  const inner = fileOf({ naming: "keras", prefix: "model_1/" });
  assertEquals(said(inner), ["caffe", "vggface2-bgr", 2, undefined, "model_1/"]);
  const resnet18 = fileOf({});
  resnet18.tensors.delete("layer1.0.conv3.weight");
  assertEquals(identify(resnet18), undefined);
  const broken = fileOf({
    naming: "dag",
    metadata: { format: "fervid-weights", version: "1", header: '{"architecture":{}}' },
  });
  assertThrows(() => identify(broken), Error, "names no graph and input convention");
});

const REFUSED: [string, WeightsFile, Hints, string][] = [
  [
    "torchvision's ImageNet weights",
    fileOf({ classes: 1000 }),
    {},
    "it is torchvision's ImageNet ResNet50; that is another graph",
  ],
  [
    "ImageNet weights said to be Caffe's",
    fileOf({ classes: 1000 }),
    { graph: "caffe" },
    "its graph is torchvision",
  ],
  ["names of two graphs", fileOf({ classes: 7 }), {}, "say which graph it is"],
  ["an unknown input", fileOf({ classes: 7 }), { graph: "caffe" }, "say which input it was trained on"],
  [
    "dag names said to be torchvision's",
    fileOf({ naming: "dag", classes: 8631 }),
    { graph: "torchvision" },
    "its graph is caffe",
  ],
  [
    "another input",
    fileOf({ naming: "dag", classes: 8631 }),
    { convention: "expr" },
    "its input convention is vggface2",
  ],
];

for (const [name, file, hints, reason] of REFUSED) {
  Deno.test(`refused with the reason: ${name}`, () => {
    assertThrows(() => pretrainedResNet50(file, hints), Error, reason);
  });
}

Deno.test("ImageNet weights run on torchvision's graph when asked, with ImageNet's input", () => {
  const { graph, convention } = pretrainedResNet50(fileOf({ classes: 1000 }), { graph: "torchvision" });
  assertEquals([graph, convention], ["torchvision", CONVENTIONS.imagenet]);
});

Deno.test("missing, unused and misshapen tensors are listed by their names in the file", () => {
  const file = fileOf({ naming: "dag", classes: 8631, prefix: "module." });
  const wrong = (shape: number[]): StoredTensor => ({
    ...file.tensors.get("module.classifier.bias")!,
    shape,
  });
  file.tensors.delete("module.conv3_2_3x3.weight");
  file.tensors.set("module.conv4_1_1x1_proj.weight", wrong([8, 4, 1, 1]));
  file.tensors.set("module.senet.weight", wrong([3]));
  const { message } = assertThrows(() => pretrainedResNet50(file), Error);
  assert(message.includes("module.conv3_2_3x3.weight is missing"), message);
  assert(message.includes("module.conv4_1_1x1_proj.weight is [8, 4, 1, 1]"), message);
  assert(message.includes("module.senet.weight is unused"), message);
  const resnet101 = fileOf({ naming: "dag", classes: 8631 });
  for (let i = 7; i < 40; i++) resnet101.tensors.set(`conv4_${i}_3x3.weight`, wrong([1]));
  assertThrows(() => pretrainedResNet50(resnet101), Error, "and 13 more");
  assertThrows(
    () => pretrainedResNet50({ ...file, tensors: new Map([["a", wrong([1])]]) }),
    Error,
    "is no ResNet50",
  );
});

Deno.test("what lies beside the state dict is left out, and said; what lies in it is not", () => {
  const prefix = "model.state_dict.module.";
  const groups = ["model.state_dict.", "model.", "optimizer.state.", "optimizer."];
  const file = fileOf({ naming: "dag", classes: 8631, prefix, groups });
  const counter: StoredTensor = file.tensors.get(`${prefix}classifier.bias`)!;
  file.tensors.set("optimizer.state.0.momentum_buffer", counter);
  file.tensors.set("model.center", counter);
  file.tensors.set(`${prefix}conv1_7x7_s2_bn.num_batches_tracked`, counter);
  assertEquals(pretrainedResNet50(file).ignored, [
    "optimizer.state.0.momentum_buffer",
    "model.center",
    `${prefix}conv1_7x7_s2_bn.num_batches_tracked`,
  ]);
  file.tensors.set("model.state_dict.head.weight", counter);
  assertThrows(() => pretrainedResNet50(file), Error, "model.state_dict.head.weight is unused");
});

Deno.test("a header of our own that does not hold is refused by the file's name", () => {
  const read = (metadata: Record<string, string>) =>
    identify(fileOf({ naming: "dag", metadata: { format: "fervid-weights", version: "1", ...metadata } }));
  const names = "Cannot use x.pth: its metadata names no graph and input convention";
  const cases: [Record<string, string>, string][] = [
    [{ header: "null" }, names],
    [{ header: "7" }, names],
    [{ header: '{"architecture": null}' }, names],
    [{}, "Cannot use x.pth: its metadata's header is no JSON"],
    [
      { header: "{}", version: "2" },
      "Cannot use x.pth: it is of fervid-weights, version 2; expected version 1",
    ],
  ];
  for (const [metadata, reason] of cases) assertThrows(() => read(metadata), Error, reason);
  const header = JSON.stringify({
    architecture: { network: { toString: 1 } },
    convention: CONVENTIONS.vggface2,
  });
  assertEquals(read({ header })!.description, "Fervid's network");
});

Deno.test("a larger network whose layers are dicts is refused as it is in a flat dict", () => {
  const flat = fileOf({ naming: "dag", classes: 8631 });
  const more: StoredTensor = flat.tensors.get("classifier.bias")!;
  const groups = [...new Set([...flat.tensors.keys()].map((name) => name.replace(/[^.]*$/, "")))];
  assertEquals(pretrainedResNet50({ ...flat, groups }).ignored, []);
  flat.tensors.set("conv4_7_3x3.weight", more);
  assertThrows(() => pretrainedResNet50(flat), Error, "conv4_7_3x3.weight is unused");
  const nested = { ...flat, groups: [...groups, "conv4_7_3x3."] };
  assertThrows(() => pretrainedResNet50(nested), Error, "conv4_7_3x3.weight is unused");
  // Beside a flat model a dict is what a training keeps.
  assertEquals(pretrainedResNet50({ ...flat, groups: ["conv4_7_3x3."] }).ignored, ["conv4_7_3x3.weight"]);
});

Deno.test("another width, graph or classifier is refused; a new head is asked for, and said", async () => {
  const architecture: Architecture = { network: "cnn", width: 4, size: 48, classes: 7 };
  const network = createNetwork(architecture, 5);
  const load = (options: Parameters<typeof fileOf>[0], hints: Hints, newHead = false) =>
    loadPretrained(network, pretrainedResNet50(fileOf(options), hints), newHead);
  const caffe: Hints = { graph: "caffe", convention: "vggface2" };
  assertThrows(() => load({ width: 2, classes: 7 }, caffe), Error, "has width 2 but the network has width 4");
  assertThrows(
    () => load({ width: 4, classes: 7 }, { ...caffe, graph: "torchvision" }),
    Error,
    "its graph is stride 2 on the 3x3",
  );
  assertThrows(
    () => load({ width: 4, classes: 12 }, caffe),
    Error,
    "a classifier of 12 classes but the network has one of 7; pass --new-head",
  );
  assertThrows(
    () => load({ width: 4 }, caffe),
    Error,
    "no classifier but the network has one of 7; pass --new-head",
  );
  const read = async (name: string) => await network.parameters.get(name).data<"float32">();
  const before = await read("classifier.weight");
  const lines = load({ width: 4, classes: 12 }, caffe, true);
  assert(lines[1].includes("the network begins with a random one of 7 classes"), lines.join("\n"));
  assertEquals(await read("classifier.weight"), before);
  const bias = backboneNames(4).find(({ dag }) => dag === "conv5_3_3x3_bn.bias")!;
  assertEquals(await read("conv5_3_3x3_bn.bias"), goldenValues(bias));
  network.dispose();
});

Deno.test("a temporal network takes the backbone alone, and says so", () => {
  const network = createNetwork({
    network: "rnn",
    width: 2,
    size: 48,
    classes: 7,
    embedding: 4,
    layers: 1,
    hidden: 4,
    bidirectional: false,
  }, 1);
  const lines = loadPretrained(network, pretrainedResNet50(fileOf({ naming: "dag", classes: 8631 })));
  assert(lines[1].includes("a classifier of 8631 classes in it is not used"), lines.join("\n"));
  network.dispose();
});

Deno.test("BGR conventions turn to RGB with their means and deviations", () => {
  assertEquals(asRgb(CONVENTIONS["vggface2-bgr"]), CONVENTIONS.vggface2);
  assertEquals(asRgb(CONVENTIONS.expr), CONVENTIONS.expr);
  const odd = { name: "odd", order: "bgr", scale: 1, mean: [1, 2, 3], std: [4, 5, 6] } as const;
  assertEquals(asRgb(odd), { ...odd, name: "odd-as-rgb", order: "rgb", mean: [3, 2, 1], std: [6, 5, 4] });
});

Deno.test("a converted file says what it is and loads without hints", async () => {
  const hints: Hints = { graph: "torchvision", convention: "imagenet" };
  const { tensors, convention, graph } = pretrainedResNet50(fileOf({ classes: 12 }), hints);
  const header = JSON.stringify({ architecture: { network: "cnn", width: 2, graph }, convention });
  const bytes = encodeSafetensors(tensors, { format: "fervid-weights", version: "1", header });
  using file = await openWeights(new MemorySource(bytes, "converted.safetensors"));
  const again = pretrainedResNet50(file);
  assertEquals([again.graph, again.convention, again.classes], ["torchvision", CONVENTIONS.imagenet, 12]);
});
