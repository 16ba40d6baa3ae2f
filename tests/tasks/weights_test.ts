/** `weights`, `train --init` and `export` as command lines. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { readSafetensors, writeSafetensors } from "../../models/weights/safetensors.ts";
import { backboneNames } from "../../models/weights/resnet50_names.ts";
import { goldenPath, goldenValues } from "../golden/weights.ts";
import { runOnnx } from "../_onnx_runtime.ts";
import { lastLine, messageOf, task } from "./_task.ts";

const DAG = goldenPath("resnet50_dag_old.pth");
const PICKLE = goldenPath("resnet50_torchvision_names.pkl");
const HINTS = ["--graph", "caffe", "--convention", "vggface2-bgr"];

Deno.test("weights inspect lists tensors and says what a file is", async () => {
  const [odd, dag] = await Promise.all([
    task("weights", "inspect", goldenPath("odd_zip.pth")),
    task("weights", "inspect", DAG),
  ]);
  assertMatch(odd.stdout, /^state_dict\.module\.bfloat16 +BF16 +\[2, 3\]$/m);
  assertStringIncludes(odd.stdout, "model: no ResNet50");
  assertEquals(lastLine(odd).tensors, 21);
  const { model, format } = lastLine(dag);
  assertEquals(format, "PyTorch old pickle stream");
  assertEquals([model.naming, model.graph, model.width, model.classes, model.convention], [
    "dag",
    "caffe",
    4,
    7,
    null,
  ]);
});

Deno.test("weights convert and compare: as they are, and as ResNet50", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [plain, converted] = [`${folder}/plain.safetensors`, `${folder}/converted.safetensors`];
    const [first, second, unsure, missing, two] = await Promise.all([
      task("weights", "convert", goldenPath("odd_old.pth"), "--to", plain),
      task("weights", "convert", PICKLE, "--for", "resnet50", "--to", converted, ...HINTS),
      task("weights", "convert", PICKLE, "--for", "resnet50", "--to", `${folder}/no.safetensors`),
      task("weights", "convert", PICKLE),
      task("weights", "compare", PICKLE),
    ]);
    assertEquals([lastLine(first).tensors, lastLine(second).tensors], [21, 267]);
    assertStringIncludes(messageOf(unsure), "say which graph it is");
    assertStringIncludes(messageOf(missing), "--to is missing");
    assertStringIncludes(messageOf(two), "Cannot compare 1 files; expected 2");
    const [same, mapped, other, inspected] = await Promise.all([
      task("weights", "compare", goldenPath("odd_zip.pth"), plain),
      task("weights", "compare", PICKLE, converted, "--for", "resnet50", "--graph", "caffe"),
      task("weights", "compare", goldenPath("arrays.npz"), goldenPath("arrays.h5")),
      task("weights", "inspect", converted),
    ]);
    assertEquals(lastLine(same).equal, true);
    assertStringIncludes(messageOf(mapped), "say which input");
    const { equal, differing } = lastLine(other);
    assertEquals([equal, differing], [false, 1]);
    assertStringIncludes(other.stdout, "only in");
    assertEquals(lastLine(inspected).model.convention.name, "vggface2");
    await Deno.copyFile(plain, `${folder}/copy.safetensors`);
    const itself = messageOf(await task("weights", "convert", plain, "--to", plain));
    assertStringIncludes(itself, "to itself");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("weights refuses flags that an action would ignore", async () => {
  const cases: [string[], string][] = [
    [["inspect", PICKLE, "--for", "resnet50"], "Cannot inspect: --for is given; expected no flags"],
    [["inspect", PICKLE, "--tolerance", "0"], "Cannot inspect: --tolerance is given; expected no flags"],
    [
      ["convert", PICKLE, "--to", "x", "--tolerance", "3"],
      "--tolerance is given; expected --to, --for, --graph",
    ],
    [["compare", PICKLE, PICKLE, "--to", "x"], "Cannot compare: --to is given; expected --for, --graph"],
    [
      ["convert", PICKLE, "--to", "x", "--graph", "caffe"],
      "Cannot convert: --graph says how to read a ResNet50",
    ],
    [["compare", PICKLE, PICKLE, "--convention", "expr"], "--convention says how to read a ResNet50"],
  ];
  const outcomes = await Promise.all(cases.map(([args]) => task("weights", ...args, "--dry-run")));
  outcomes.forEach((outcome, i) => assertStringIncludes(messageOf(outcome), cases[i][1]));
});

Deno.test("weights compare writes an infinite difference as a text, since JSON has no infinity", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const paths = [];
    for (const value of [1, NaN, 1.5]) {
      paths.push(`${folder}/${value}.safetensors`);
      const tensor = { dtype: "F32" as const, shape: [1], data: Float32Array.of(value) };
      await writeSafetensors(paths.at(-1)!, new Map([["x", tensor]]));
    }
    const [one, nan, more] = paths;
    const [infinite, finite] = await Promise.all([
      task("weights", "compare", one, nan, "--tolerance", "1"),
      task("weights", "compare", one, more, "--tolerance", "1"),
    ]);
    assertEquals([lastLine(infinite).largestDifference, lastLine(infinite).equal], ["Infinity", false]);
    assertEquals([lastLine(finite).largestDifference, lastLine(finite).equal], [0.5, true]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("train --init refuses what does not fit before it reads any data", async () => {
  const init = ["--data", "nowhere", "--preset", "tiny", "--width", "4", "--init"];
  const outcomes = await Promise.all([
    task("train", "cnn", ...init, DAG),
    task("train", "cnn", ...init, DAG, "--convention", "vggface2", "--label-set", "action_units"),
    task("train", "cnn", ...init, PICKLE, ...HINTS),
    task("train", "cnn", ...init, "nothing.pth"),
    task("train", "rnn", ...init, DAG, "--convention", "vggface2", "--backbone", "x.safetensors"),
  ]);
  const [input, head, width, none, both] = outcomes.map(messageOf);
  assertStringIncludes(input, "say which input it was trained on: --convention");
  assertStringIncludes(head, "a classifier of 7 classes but the network has one of 12; pass --new-head");
  assertStringIncludes(width, "has width 2 but the network has width 4");
  assertStringIncludes(none, "nothing.pth");
  assertStringIncludes(both, "both --init and --backbone");
});

Deno.test("train --init takes backbone and input from the file; export writes what it learned", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [data, out] = [`${folder}/data`, `${folder}/out`];
    lastLine(await task("synthesize", "--out", data, "--tracks", "4", "--frames", "9", "--size", "48"));
    const small = [
      "--data",
      data,
      "--out",
      out,
      "--preset",
      "tiny",
      "--width",
      "4",
      "--size",
      "32",
      "--epochs",
      "1",
    ];
    const init = ["--init", DAG, "--convention", "vggface2", "--batch-size", "2"];
    const trained = await task("train", "rnn", ...small, ...init);
    assertEquals(lastLine(trained).networks.rnn.epochs, 1);
    assertStringIncludes(trained.stdout, "a classifier of 7 classes in it is not used");
    const checkpoint = `${out}/rnn.safetensors`;
    const { tensors, metadata } = await readSafetensors(checkpoint);
    assertEquals(JSON.parse(metadata.header).convention.name, "vggface2");
    for (const name of backboneNames(4)) {
      assertEquals(tensors.get(name.dag)!.data, goldenValues(name), name.dag);
    }
    const record = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
    assertEquals([record.run.convention, record.run.init.file], ["vggface2", DAG]);
    assertMatch(record.run.init.sha256, /^[0-9a-f]{64}$/);

    const ensemble = `${folder}/ensemble.json`;
    await Deno.writeTextFile(ensemble, JSON.stringify({ weights: { rnn: 1 }, checkpoints: [checkpoint] }));
    const [one, all] = await Promise.all([
      task("export", checkpoint, "--onnx", `${folder}/rnn.onnx`),
      task("export", ensemble, "--onnx", `${folder}/ensemble.onnx`),
    ]);
    assertEquals(lastLine(one).networks, { rnn: 1 });
    assertEquals(lastLine(all).networks, { rnn: 1 });
    const images = { data: new Float32Array(3 * 3 * 32 * 32).fill(100), dims: [1, 3, 3, 32, 32] };
    for (
      const [file, output, shape] of [["rnn", "logits", [1, 3, 7]], ["ensemble", "probabilities", [
        1,
        7,
      ]]] as const
    ) {
      const result = await runOnnx(`${folder}/${file}.onnx`, images, output);
      assertEquals(result.shape, [...shape]);
      assert(result.data.every(Number.isFinite));
    }
    const before = await Deno.readFile(checkpoint);
    const units = `${out}/units.safetensors`;
    const header = JSON.stringify({ ...JSON.parse(metadata.header), labelSet: "action_units" });
    await writeSafetensors(units, tensors, { ...metadata, header });
    const ensembleOf = async (name: string, checkpoints: string[]) => {
      await Deno.writeTextFile(`${folder}/${name}`, JSON.stringify({ weights: { rnn: 1 }, checkpoints }));
      return `${folder}/${name}`;
    };
    const [twice, wrongLabels] = [
      await ensembleOf("twice.json", [checkpoint, checkpoint]),
      await ensembleOf("units.json", [units]),
    ];
    const refused = await Promise.all([
      task("export", checkpoint, "--onnx", checkpoint),
      task("export", ensemble, "--onnx", ensemble),
      task("export", ensemble, "--onnx", checkpoint),
      task("export", twice, "--onnx", `${folder}/x.onnx`),
      task("export", wrongLabels, "--onnx", `${folder}/x.onnx`),
    ]);
    const reasons = [
      "is read from there",
      "is read from there",
      "is read from there",
      "are of the rnn",
      "action_units",
    ];
    refused.forEach((outcome, i) => assertStringIncludes(messageOf(outcome), reasons[i]));
    assertEquals(await Deno.readFile(checkpoint), before);
    const wrong = messageOf(await task("export", DAG, "--onnx", `${folder}/x.onnx`));
    assertStringIncludes(wrong, "expected a safetensors file");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
